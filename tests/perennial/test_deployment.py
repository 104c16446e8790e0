"""Release and rollback rules, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from perennial.deployment import Deployment, Refusal, Version, decide_release, decide_rollback
from perennial.promotion.dossier import Dossier, Verdict

Outcome = Literal["passed", "refused", "not_comparable"]
MONTHS = ["2024-01", "2024-02", "2024-03"]
bundles = st.sampled_from(["a" * 64, "b" * 64])
outcomes: st.SearchStrategy[Outcome] = st.sampled_from(["passed", "passed", "passed", "refused", "not_comparable"])


def version(number: int = 2, as_of: str = "2024-02", bundle: str = "a" * 64) -> Version:
    return Version(
        pipeline="eta",
        number=number,
        bundle_sha256=bundle,
        as_of=as_of,
        registered_at=datetime(2024, 4, 1, tzinfo=UTC),
    )


def dossier(*outcomes: Outcome, champion: int | None = None, bundle: str = "a" * 64) -> Dossier:
    verdicts = tuple(
        Verdict(gate=f"gate{index}", outcome=outcome, reason="because") for index, outcome in enumerate(outcomes)
    )
    return Dossier(pipeline="eta", bundle_sha256=bundle, as_of="2024-02", champion=champion, verdicts=verdicts)


@given(
    st.none() | st.builds(dossier, outcomes, outcomes, champion=st.none() | st.integers(1, 2), bundle=bundles),
    st.none() | st.builds(version, number=st.integers(1, 2), as_of=st.sampled_from(MONTHS)),
    st.builds(version, number=st.just(3), as_of=st.sampled_from(MONTHS), bundle=bundles),
    st.booleans(),
)
def test_a_version_is_released_only_when_every_rule_holds(
    evidence: Dossier | None, champion: Version | None, candidate: Version, rolled_back: bool
) -> None:
    answer = decide_release(evidence, champion, candidate, rolled_back=rolled_back)

    allowed = (
        evidence is not None
        and evidence.bundle_sha256 == candidate.bundle_sha256
        and all(verdict.outcome == "passed" for verdict in evidence.verdicts)
        and evidence.champion == (champion.number if champion else None)
        and (champion is None or candidate.as_of >= champion.as_of)
        and not rolled_back
    )
    assert (answer is None) == allowed
    assert answer is None or answer.reason


def test_each_refusal_names_what_was_found() -> None:
    champion = version(number=1, as_of="2024-03", bundle="c" * 64)
    said = {
        rule: (answer.rule, answer.reason)
        for rule, answer in {
            "none": decide_release(None, None, version()),
            "empty": decide_release(dossier(), None, version()),
            "gate": decide_release(dossier("passed", "refused"), None, version()),
            "changed": decide_release(dossier("passed"), champion, version()),
            "gone": decide_release(dossier("passed", champion=1), None, version()),
            "older": decide_release(dossier("passed", champion=1), champion, version()),
            "back": decide_release(dossier("passed"), None, version(), rolled_back=True),
        }.items()
        if answer
    }

    assert said == {
        "none": ("dossier_exists", "version 2: found no dossier, expected one for its own bundle aaaaaaaaaaaa"),
        "empty": ("gates_passed", "version 2: its dossier holds no verdict at all"),
        "gate": ("gates_passed", "version 2: 1 of 2 gates did not pass (gate1 refused: because)"),
        "changed": (
            "champion_is_the_judged_one",
            "version 2 was judged against no champion, and now version 1 serves: judge it again",
        ),
        "gone": (
            "champion_is_the_judged_one",
            "version 2 was judged against version 1, and now nothing serves: judge it again",
        ),
        "older": ("as_of_is_not_older", "version 2 is as of 2024-02, and version 1 serves as of 2024-03"),
        "back": (
            "not_rolled_back_since_judged",
            "version 2 was rolled back from since it was judged: judge it again, or train another",
        ),
    }


@st.composite
def histories(draw: st.DrawFn) -> list[Deployment]:
    """Deployments as they can happen: a release of any version but the champion, or a rollback to any earlier one."""
    history: list[Deployment] = []
    for _ in range(draw(st.integers(0, 8))):
        current = history[-1].version if history else 0
        left_over = {change.version for change in history} - {current}
        back = bool(left_over) and draw(st.booleans())
        target = draw(st.sampled_from(sorted(left_over) if back else sorted({1, 2, 3, 4, 5, 6, 7} - {current})))
        history.append(Deployment(kind="rollback" if back else "release", version=target, previous=current or None))
    return history


@given(histories())
def test_a_rollback_leads_to_the_last_version_that_served_and_was_never_left_by_a_rollback(
    history: list[Deployment],
) -> None:
    answer = decide_rollback(history)

    current = history[-1].version if history else None
    left = {change.previous for change in history if change.kind == "rollback"}
    served_well = [change.version for change in history if change.version not in left and change.version != current]
    if served_well:
        assert answer == served_well[-1]
    else:
        assert isinstance(answer, Refusal)
        assert answer.rule == "rollback_has_a_target"


def test_rolling_back_twice_goes_back_two_steps() -> None:
    history = [Deployment(kind="release", version=n, previous=n - 1 or None) for n in (1, 2, 3)]

    assert decide_rollback(history) == 2
    history.append(Deployment(kind="rollback", version=2, previous=3))
    assert decide_rollback(history) == 1
    history.append(Deployment(kind="rollback", version=1, previous=2))
    assert isinstance(decide_rollback(history), Refusal)


def test_a_rollback_from_a_version_that_no_longer_serves_is_refused() -> None:
    history = [Deployment(kind="release", version=n, previous=n - 1 or None) for n in (1, 2)]

    assert decide_rollback(history, leaving=2) == 1
    assert decide_rollback(history, leaving=1) == Refusal(
        rule="rollback_leaves_the_champion", reason="version 1 was to be left, and version 2 serves now"
    )
