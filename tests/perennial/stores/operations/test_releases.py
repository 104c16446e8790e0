"""Releases and rollbacks: one transaction with the ledger, whoever else is at it, whenever it is killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.deployment import Refusal, Released, Version
from perennial.promotion.dossier import Dossier, Verdict
from perennial.stores.operations import Operations

Gate = Literal["passed", "refused", "not_comparable"]


def sha(number: int) -> str:
    return f"{number:064x}"


def add_version(
    operations: Operations, at: datetime, bundle: int, *, as_of: str = "2024-01", pipeline: str = "eta"
) -> int:
    return operations.register_version(pipeline, sha(bundle), as_of, {"rows": 10 * bundle}, at=at)


def judge(
    operations: Operations,
    bundle: int,
    *outcomes: Gate,
    champion: int | None = None,
    as_of: str = "2024-01",
    pipeline: str = "eta",
) -> None:
    verdicts = tuple(Verdict(gate=f"gate{n}", outcome=outcome, reason="why") for n, outcome in enumerate(outcomes))
    operations.save_dossier(
        Dossier(pipeline=pipeline, bundle_sha256=sha(bundle), as_of=as_of, champion=champion, verdicts=verdicts)
    )


def release(operations: Operations, at: datetime, number: int, pipeline: str = "eta") -> Released | Refusal:
    return operations.release(pipeline, number, actor="ann", reason="better", at=at)


def served(operations: Operations, at: datetime, count: int) -> None:
    """Release versions 1 to `count`, one after the other."""
    for bundle in range(1, count + 1):
        number = add_version(operations, at, bundle)
        judge(operations, bundle, "passed", champion=number - 1 or None)
        assert isinstance(release(operations, at, number), Released)


def test_a_release_sets_the_route_and_says_who_why_and_from_where(operations: Operations, at: datetime) -> None:
    served(operations, at, 1)
    add_version(operations, at, 2, as_of="2024-02")
    judge(operations, 2, "passed", "passed", champion=1, as_of="2024-02")

    answer = release(operations, at, 2)

    entry = operations.ledger("eta")[0]
    version = Version(
        pipeline="eta", number=2, bundle_sha256=sha(2), as_of="2024-02", attributes={"rows": 20}, registered_at=at
    )
    assert answer == Released(version=version, previous=1, entry=entry.id)
    assert operations.champion("eta") == version
    assert operations.routes() == {"eta": version}
    assert (entry.kind, entry.subject, entry.from_version, entry.to_version) == ("release", "version 2", 1, 2)
    assert (entry.actor, entry.reason, entry.at) == ("ann", "better", at)
    assert entry.details["gates"] == {"gate0": "passed", "gate1": "passed"}
    assert entry.details["bundle_sha256"] == sha(2)


def test_releasing_what_serves_gives_the_same_answer_and_writes_nothing(operations: Operations, at: datetime) -> None:
    served(operations, at, 2)
    before = operations.ledger()

    again = release(operations, at, 2)

    assert isinstance(again, Released)
    assert (again.version.number, again.previous, again.entry, again.repeated) == (2, 1, before[0].id, True)
    assert operations.ledger() == before


def test_every_refusal_keeps_the_route_and_is_a_row_of_the_ledger(operations: Operations, at: datetime) -> None:
    served(operations, at, 2)
    unjudged, unproven, refused, incomparable, stale, older = (
        add_version(operations, at, bundle, as_of="2023-12" if bundle == 8 else "2024-01") for bundle in range(3, 9)
    )
    judge(operations, unproven, champion=2)
    judge(operations, refused, "passed", "refused", champion=2)
    judge(operations, incomparable, "not_comparable", champion=2)
    judge(operations, stale, "passed", champion=1)
    judge(operations, older, "passed", champion=2, as_of="2023-12")
    rules = {
        99: "version_is_known",
        unjudged: "dossier_exists",
        unproven: "gates_passed",
        refused: "gates_passed",
        incomparable: "gates_passed",
        stale: "champion_is_the_judged_one",
        older: "as_of_is_not_older",
    }

    for number, rule in rules.items():
        answer = release(operations, at, number)

        assert isinstance(answer, Refusal)
        assert answer.rule == rule
        entry = operations.ledger("eta", kind="refusal")[0]
        assert (entry.reason, entry.details["rule"], entry.details["asked_because"]) == (answer.reason, rule, "better")
        assert (entry.from_version, entry.to_version, entry.actor) == (2, number, "ann")
    assert [entry.to_version for entry in operations.ledger(kind="refusal")] == list(reversed(rules))
    champion = operations.champion("eta")
    assert champion is not None
    assert champion.number == 2


def test_the_gates_are_read_again_at_release(operations: Operations, at: datetime) -> None:
    add_version(operations, at, 1)
    judge(operations, 1, "passed")
    judge(operations, 1, "refused")

    assert isinstance(release(operations, at, 1), Refusal)


def test_an_equal_as_of_is_allowed(operations: Operations, at: datetime) -> None:
    served(operations, at, 2)

    assert [version.as_of for version in operations.versions("eta")] == ["2024-01", "2024-01"]


def test_a_dossier_is_kept_and_the_newest_counts(operations: Operations, at: datetime) -> None:
    assert operations.dossier("eta", sha(1)) is None
    judge(operations, 1, "refused")
    judge(operations, 1, "passed")
    judge(operations, 1, "passed")

    found = operations.dossier("eta", sha(1))

    assert found is not None
    assert found.passed
    with operations.reading() as transaction:
        assert transaction.exec_driver_sql("SELECT count(*) FROM dossiers").scalar() == 2


def test_a_bundle_has_one_number_in_its_pipeline(operations: Operations, at: datetime) -> None:
    numbers = [add_version(operations, at, bundle, pipeline=name) for name in ("eta", "fare") for bundle in (1, 2, 1)]

    assert numbers == [1, 2, 1, 1, 2, 1]
    assert [version.number for version in operations.versions("eta")] == [1, 2]
    assert operations.version("eta", 3) is None
    assert operations.champion("eta") is None


def test_a_rollback_returns_to_the_version_before_and_is_a_row_of_the_ledger(
    operations: Operations, at: datetime
) -> None:
    served(operations, at, 3)

    first, second, third = (operations.rollback("eta", actor="bob", reason="errors", at=at) for _ in range(3))

    assert isinstance(first, Version)
    assert isinstance(second, Version)
    assert (first.number, second.number) == (2, 1)
    assert isinstance(third, Refusal)
    assert third.reason == "version 1 serves, and before it served none that was not rolled back from"
    rows = [(entry.kind, entry.from_version, entry.to_version) for entry in operations.ledger("eta", limit=3)]
    assert rows == [("refusal", 1, None), ("rollback", 2, 1), ("rollback", 3, 2)]
    assert operations.ledger("eta", kind="rollback")[0].reason == "errors"


def test_a_rollback_from_what_no_longer_serves_changes_nothing(operations: Operations, at: datetime) -> None:
    served(operations, at, 3)

    answers = [operations.rollback("eta", actor="bob", reason="errors", at=at, leaving=3) for _ in range(2)]

    assert isinstance(answers[0], Version)
    assert isinstance(answers[1], Refusal)
    assert answers[1].rule == "rollback_leaves_the_champion"
    assert operations.routes()["eta"].number == 2


def test_a_rollback_before_any_release_is_refused(operations: Operations, at: datetime) -> None:
    assert operations.rollback("eta", actor="bob", reason="errors", at=at) == Refusal(
        rule="rollback_has_a_target", reason="no version ever served: 0 deployments in the ledger"
    )


def test_what_was_rolled_back_from_serves_again_only_after_it_was_judged_again(
    operations: Operations, at: datetime
) -> None:
    served(operations, at, 2)
    operations.rollback("eta", actor="bob", reason="errors", at=at)

    refused = release(operations, at, 2)
    judge(operations, 2, "passed", champion=1)
    allowed = release(operations, at, 2)

    assert isinstance(refused, Refusal)
    assert refused.rule == "not_rolled_back_since_judged"
    assert isinstance(allowed, Released)


steps = st.lists(
    st.tuples(st.just("release"), st.integers(1, 4), st.booleans()) | st.tuples(st.just("rollback")), max_size=8
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.uuids())
def test_the_route_is_always_what_the_ledger_says_last(
    sqlite: Operations, at: datetime, steps: list[tuple[str, int, bool] | tuple[str]], name: object
) -> None:
    pipeline = str(name)
    for bundle in range(1, 5):
        add_version(sqlite, at, bundle, as_of=f"2024-0{bundle // 2 + 1}", pipeline=pipeline)
    for step in steps:
        before = sqlite.champion(pipeline)
        if len(step) == 3:
            serving = before.number if before else None
            judge(sqlite, step[1], "passed", champion=serving if step[2] else 1, pipeline=pipeline)
            release(sqlite, at, step[1], pipeline)
        else:
            sqlite.rollback(pipeline, actor="bob", reason="errors", at=at)
        check_route(sqlite, pipeline)


def check_route(operations: Operations, pipeline: str) -> None:
    champion = operations.champion(pipeline)
    changes = [e for e in reversed(operations.ledger(pipeline, 1000)) if e.kind in {"release", "rollback"}]
    assert (champion.number if champion else None) == (changes[-1].to_version if changes else None)
    assert [e.from_version for e in changes] == [None, *(e.to_version for e in changes)][: len(changes)]


def test_of_releases_at_once_in_threads_one_wins_and_the_others_are_refused(
    operations: Operations, at: datetime
) -> None:
    for bundle in range(1, 9):
        add_version(operations, at, bundle)
        judge(operations, bundle, "passed")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: release(operations, at, number), range(1, 9)))

    won = [answer for answer in answers if isinstance(answer, Released)]
    assert len(won) == 1
    assert {answer.rule for answer in answers if isinstance(answer, Refusal)} == {"champion_is_the_judged_one"}
    assert operations.routes()["eta"] == won[0].version
    assert len(operations.ledger("eta", kind="refusal")) == 7
    assert len(operations.ledger("eta", kind="release")) == 1


RELEASES_WHEN_TOLD = """
import sys, pathlib, datetime, time
from perennial.stores.operations import Operations
url, ready, go, number = sys.argv[1:]
pathlib.Path(ready).touch()
while not pathlib.Path(go).exists():
    time.sleep(0.001)
at = datetime.datetime.now(datetime.UTC)
answer = Operations(url).release("eta", int(number), actor=number, reason="race", at=at)
print(type(answer).__name__)
"""


def test_of_releases_at_once_in_processes_one_wins_and_the_others_are_refused(
    operations: Operations, at: datetime, tmp_path: Path
) -> None:
    for bundle in range(1, 5):
        add_version(operations, at, bundle)
        judge(operations, bundle, "passed")
    url = operations.url.render_as_string(hide_password=False)
    racers = [start(RELEASES_WHEN_TOLD, url, tmp_path / f"ready{n}", tmp_path / "go", n) for n in range(1, 5)]
    while len(list(tmp_path.glob("ready*"))) < len(racers):
        time.sleep(0.01)

    (tmp_path / "go").touch()

    assert sorted(racer.communicate(timeout=60)[0].strip() for racer in racers) == ["Refusal"] * 3 + ["Released"]
    assert len(operations.ledger("eta", kind="refusal")) == 3
    check_route(operations, "eta")


DIES_AT_ITS_NTH_STATEMENT = """
import sys, os, signal, datetime
import sqlalchemy as sa
from perennial.stores.operations import Operations
url, nth = sys.argv[1], int(sys.argv[2])
operations, seen = Operations(url), 0

def step(*_):
    global seen
    seen += 1
    if seen == nth:
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(operations._engine, "before_cursor_execute", step)
sa.event.listen(operations._engine, "commit", step)
operations.release("eta", 2, actor="ann", reason="better", at=datetime.datetime.now(datetime.UTC))
print(seen)
"""


def test_a_release_killed_at_any_statement_leaves_route_and_ledger_as_before(sqlite: Operations, at: datetime) -> None:
    served(sqlite, at, 1)
    add_version(sqlite, at, 2)
    judge(sqlite, 2, "passed", champion=1)
    before, url = sqlite.ledger(), sqlite.url.render_as_string()
    killed = 0

    while (child := start(DIES_AT_ITS_NTH_STATEMENT, url, killed + 1)).wait(60) == -signal.SIGKILL:
        child.communicate()
        killed += 1
        assert sqlite.routes()["eta"].number == 1
        assert sqlite.ledger() == before

    assert int(child.communicate()[0]) == killed
    assert killed >= 7
    assert sqlite.routes()["eta"].number == 2
    check_route(sqlite, "eta")


RELEASES_WITHOUT_END = """
import sys, itertools, datetime
from perennial.promotion.dossier import Dossier, Verdict
from perennial.stores.operations import Operations
operations, at = Operations(sys.argv[1]), datetime.datetime.now(datetime.UTC)
passed = (Verdict(gate="g", outcome="passed", reason="r"),)
while True:
    champion = operations.champion("eta")
    serving = champion.number if champion else None
    sha = f"{(serving or 0) + 1:064x}"
    number = operations.register_version("eta", sha, "2024-01", {}, at=at)
    operations.save_dossier(
        Dossier(pipeline="eta", bundle_sha256=sha, as_of="2024-01", champion=serving, verdicts=passed)
    )
    operations.release("eta", number, actor="ann", reason="on", at=at)
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", range(4))
def test_releases_killed_at_a_random_moment_leave_route_and_ledger_agreeing(sqlite: Operations, seed: int) -> None:
    child = start(RELEASES_WITHOUT_END, sqlite.url.render_as_string())
    assert child.stdout is not None
    assert child.stdout.readline() == "1\n"

    time.sleep(random.Random(seed).uniform(0.0, 0.2))
    child.kill()
    child.communicate()

    check_route(sqlite, "eta")
    assert sqlite.ledger("eta", 1)[0].to_version == sqlite.routes()["eta"].number


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
