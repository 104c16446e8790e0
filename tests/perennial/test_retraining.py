"""The laws of retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.policies import KofN, Retraining
from perennial.retraining import AsOf, Champion, DriftVerdict, Evidence, NotNow, Train, decide_retraining

START = datetime(2024, 1, 1, tzinfo=UTC)


def as_of(day: int, evidence: str = "x") -> AsOf:
    instant = START + timedelta(days=day)
    return AsOf(key=instant.strftime("%Y-%m-%d"), instant=instant, evidence=evidence)


def drifts(*drifted: bool, first: int = 0) -> tuple[DriftVerdict, ...]:
    return tuple(
        DriftVerdict(partition=f"day {first + n}", start=START + timedelta(days=first + n), drifted=value)
        for n, value in enumerate(drifted)
    )


# Most of what is drawn here may train, so that each law is tried where it could be broken.
as_ofs = st.builds(as_of, st.integers(0, 6), st.sampled_from(["x", "y"]))
champions = st.builds(
    Champion,
    version=st.integers(1, 9),
    as_of=as_ofs,
    training_labels=st.integers(0, 100),
    known_labels=st.integers(0, 100),
)
evidences = st.builds(
    Evidence,
    newest=st.integers(0, 9).flatmap(lambda die: as_ofs if die else st.none()),
    history=st.sampled_from([8, 8, 8, 8, 8, 9, 20, 7]),
    history_needed=st.just(8),
    blocked=st.integers(0, 9).map(lambda die: () if die else ("2024-01-01",)),
    known_labels=st.integers(0, 400),
    champion=st.none() | champions,
    drift=st.lists(st.booleans(), max_size=12).map(lambda drifted: drifts(*drifted)),
    last_trained=st.none() | as_ofs,
    scheduled=st.sampled_from([True, True, False]),
)
policies = st.builds(
    Retraining,
    schedule=st.sampled_from(["0 4 * * *", "0 4 * * *", None]),
    new_labels=st.none() | st.floats(0, 2),
    drift=st.none() | st.tuples(st.integers(1, 3), st.integers(0, 4)).map(lambda kn: KofN(k=kn[0], n=sum(kn))),
    cooldown=st.integers(0, 72).map(lambda hours: timedelta(hours=hours)),
)


@settings(max_examples=400)
@given(evidences, policies)
def test_never_trains_while_cooling_down(evidence: Evidence, policy: Retraining) -> None:
    if isinstance(decide_retraining(evidence, policy), Train) and evidence.last_trained:
        assert evidence.newest is not None
        assert evidence.newest.instant >= evidence.last_trained.instant + policy.cooldown


@settings(max_examples=400)
@given(evidences, policies)
def test_never_trains_an_as_of_again_on_the_same_evidence(evidence: Evidence, policy: Retraining) -> None:
    if isinstance(decide_retraining(evidence, policy), Train):
        assert evidence.newest != evidence.last_trained
        assert evidence.champion is None or evidence.newest != evidence.champion.as_of


@settings(max_examples=400)
@given(evidences, policies)
def test_asks_for_the_newest_as_of_and_never_for_one_older_than_the_champions(
    evidence: Evidence, policy: Retraining
) -> None:
    answer = decide_retraining(evidence, policy)
    if isinstance(answer, Train):
        assert evidence.newest is not None
        assert answer.as_of == evidence.newest.key
        assert evidence.champion is None or evidence.newest.instant >= evidence.champion.as_of.instant


@settings(max_examples=400)
@given(evidences, policies)
def test_never_trains_on_a_window_that_is_short_or_blocked(evidence: Evidence, policy: Retraining) -> None:
    if isinstance(decide_retraining(evidence, policy), Train):
        assert evidence.history >= evidence.history_needed
        assert not evidence.blocked


@settings(max_examples=400)
@given(evidences, policies)
def test_every_answer_has_reasons_with_numbers(evidence: Evidence, policy: Retraining) -> None:
    answer = decide_retraining(evidence, policy)

    assert answer.reasons
    assert all(any(sign.isdigit() for sign in reason) for reason in answer.reasons)
    if isinstance(answer, Train):
        assert len(answer.triggers) == len(answer.reasons)


@settings(max_examples=400)
@given(evidences, policies)
def test_trains_only_when_a_declared_trigger_asks(evidence: Evidence, policy: Retraining) -> None:
    answer = decide_retraining(evidence, policy)
    declared = {"schedule": policy.schedule, "new_labels": policy.new_labels, "drift": policy.drift}
    if isinstance(answer, Train):
        assert answer.triggers
        assert all(declared[trigger] is not None for trigger in answer.triggers)
        assert "schedule" not in answer.triggers or evidence.scheduled


def served(drift: Sequence[DriftVerdict] = (), known_labels: int = 1000, training_labels: int = 1000) -> Evidence:
    """Version 3, as of day 10, serves; it is day 30, and nothing vetoes."""
    champion = Champion(version=3, as_of=as_of(10), training_labels=training_labels, known_labels=1000)
    return Evidence(
        newest=as_of(30),
        history=30,
        history_needed=8,
        champion=champion,
        last_trained=as_of(10),
        drift=drift,
        known_labels=known_labels,
    )


@given(st.lists(st.booleans(), max_size=18), st.integers(1, 5), st.integers(0, 4))
def test_drift_trains_when_k_of_the_last_n_after_the_champion_drifted(drifted: list[bool], k: int, more: int) -> None:
    rule = KofN(k=k, n=k + more)
    policy = Retraining(schedule=None, new_labels=None, drift=rule)

    answer = decide_retraining(served(drifts(*drifted, first=5)), policy)

    counted = [value for day, value in enumerate(drifted, start=5) if day >= 10]
    assert isinstance(answer, Train) == (sum(counted[-rule.n :]) >= k)


@given(st.lists(st.booleans(), min_size=1, max_size=18), st.integers(1, 5), st.integers(0, 4))
def test_value_skew_trains_as_drift_does_and_under_its_own_name(moved: list[bool], k: int, more: int) -> None:
    rule = KofN(k=k, n=k + more)
    policy = Retraining(schedule=None, new_labels=None, drift=rule)

    answer = decide_retraining(replace(served(), value_skew=drifts(*moved, first=5)), policy)

    counted = [value for day, value in enumerate(moved, start=5) if day >= 10]
    assert isinstance(answer, Train) == (sum(counted[-rule.n :]) >= k)
    assert answer.triggers == ("value_skew",) if isinstance(answer, Train) else "value skew: " in answer.reasons[-1]


@given(st.integers(0, 100_000), st.integers(0, 10_000), st.integers(1, 100))
def test_new_labels_train_when_they_are_the_declared_share_of_the_training_set(
    training_labels: int, new: int, percent: int
) -> None:
    policy = Retraining(schedule=None, new_labels=percent / 100, drift=None)

    answer = decide_retraining(served(known_labels=1000 + new, training_labels=training_labels), policy)

    assert isinstance(answer, Train) == (new >= 1 and Fraction(new) >= Fraction(percent, 100) * training_labels)


def test_the_first_champion_is_trained_once_history_is_long_enough() -> None:
    early, later = (
        decide_retraining(Evidence(newest=as_of(8), history=days, history_needed=8, known_labels=500), Retraining())
        for days in (7, 8)
    )

    assert early == NotNow(
        reasons=(
            "history: 7 complete partitions, needs 8",
            "new labels: 500 known, and nothing serves yet",
            "drift: 0 partitions count, nothing serves yet",
        )
    )
    assert later == Train(
        as_of="2024-01-09", triggers=("new_labels",), reasons=("new labels: 500 known, and nothing serves yet",)
    )


def test_a_quiet_day_says_how_far_each_trigger_is() -> None:
    evidence = served(drifts(True, False, True, first=20), known_labels=2204, training_labels=48_010)

    assert decide_retraining(evidence, Retraining()) == NotNow(
        reasons=(
            "new labels: 1,204 since version 3, needs 2,401 (5 % of 48,010)",
            "drift: 2 of the last 3 partitions after 2024-01-11 (day 20, day 22), needs 3 of 5",
        )
    )


def test_the_schedule_trains_what_is_not_trained_yet_and_only_that() -> None:
    due = replace(served(), scheduled=True)
    done = replace(due, last_trained=as_of(30))

    assert decide_retraining(due, Retraining()) == Train(
        as_of="2024-01-31", triggers=("schedule",), reasons=("schedule: '0 4 * * *' came round",)
    )
    assert decide_retraining(done, Retraining()).reasons[0] == "as of: 2024-01-31 was trained on the same evidence"


def test_cooling_down_ends_when_the_declared_span_has_passed_and_names_both_as_ofs() -> None:
    drifted = served(drifts(True, True, True, first=20))
    recent, rested = (replace(drifted, last_trained=as_of(day)) for day in (28, 27))

    assert decide_retraining(recent, Retraining(new_labels=None)).reasons == (
        "cooling down: 2024-01-31 lies 2 days after 2024-01-29, which was trained; needs 3 days",
        "drift: 3 of the last 3 partitions after 2024-01-11 (day 20, day 21, day 22), needs 3 of 5",
    )
    assert isinstance(decide_retraining(rested, Retraining()), Train)
    assert isinstance(decide_retraining(rested, Retraining(cooldown=timedelta(days=3, seconds=1))), NotNow)
