"""Demo: one turn of the loop on a simulated city, the second training asked for by the daemon's own sensors."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from perennial.errors import PerennialError

if TYPE_CHECKING:
    import dagster as dg
    from rich.console import Console

    from cli.session import Session
    from perennial.declaration import Pipeline
    from perennial.deployment import Version
    from perennial.stores.lake.tables import Tables
    from world.city import City
    from world.traffic import Answered

PIPELINE = "delivery_eta"
HISTORY = 60
"""Days simulated and learned from before anything is served."""
DRIFTED = 17
"""Drifted days that land: 7 judge the new version, 7 choose it, and 3 are left for every candidate to learn from."""
AT_ONCE = 2
"""Days that are served before they land."""
AFTER = 2
"""Days served and measured after the second release, from the day after its as-of on."""
PATIENCE = 240.0
"""Seconds until the daemon has retrained and released, or the demo has failed."""
IMPROVEMENT = 0.10
MATCHED = 0.95


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the stages of the demo share."""

    session: Session
    pipeline: Pipeline
    tables: Tables
    console: Console
    city: City
    began: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """One line about what happens now, with the seconds since the start."""
        self.console.print(f"[dim]{time.monotonic() - self.began:4.0f} s[/dim]  [bold]{what}[/bold]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What production showed of one version over a span of days."""

    when: str
    days: tuple[date, date]
    version: int
    predictions: int
    matched: int
    """Predictions whose label was reported for their id."""
    error: float


def run_demo() -> int:
    """Run the loop once in an unused home; 0 when the daemon retrained, the error fell and labels met predictions."""
    from cli.console import open_console
    from cli.session import open_session
    from resources.stores import open_tables
    from world.city import City

    with open_session() as session, open_console() as console:
        demo = Demo(
            session=session,
            pipeline=session.pipeline(PIPELINE),
            tables=open_tables(session.home),
            console=console,
            city=City(),
        )
        _check_unused(demo)
        measured, launched = _run(demo)
        return _conclude(demo, measured, launched)


def _check_unused(demo: Demo) -> None:
    champion = demo.tables.operations.champion(PIPELINE)
    if champion is not None:
        raise PerennialError(
            "the demo starts from nothing", where="demo", expected="a home in which nothing serves",
            found=f"version {champion.number} of {PIPELINE} in {demo.session.home.root}",
            hint="make clean-state, or PERENNIAL_HOME=/another/folder make demo",
        )  # fmt: skip


def _run(demo: Demo) -> tuple[list[Measured], dg.DagsterRun]:
    from cli.services import daemon, model_server
    from cli.up import run_stack
    from world.city import DRIFT_START, FIRST_DAY

    home, last = demo.session.home, FIRST_DAY + timedelta(days=HISTORY - 1)
    demo.say(f"simulate {HISTORY} days and compute their data")
    _land(demo, FIRST_DAY, last)
    first = _train(demo, last)
    with run_stack(home, {"server": model_server}, say=_quiet) as serving:
        url = serving.addresses["server"]
        _wait_until_served(url, first)
        calm = (last + timedelta(days=1), DRIFT_START - timedelta(days=1))
        drift = (DRIFT_START, DRIFT_START + timedelta(days=DRIFTED - 1))
        demo.say(f"send requests to version {first.number} at {url}, then report what was true; those days land")
        _live(demo, url, calm)
        before = _monitor(demo, "before", calm, first)
        demo.say(f"{DRIFTED} drifted days are served and land; then the daemon's sensors take over")
        _live(demo, url, drift)
        with run_stack(home, {"daemon": daemon}, say=_quiet) as watching:
            launched, second = _wait_for_release(demo, first, watching.check)
        during = _measure(demo, "during", drift, first)
        _wait_until_served(url, second)
        after = _after(demo, url, second)
    return [before, during, after], launched


def _live(demo: Demo, url: str, days: tuple[date, date]) -> None:
    """Serve and land `days`, a few at a time: older lookups than AT_ONCE days would be stale."""
    for first in list(_each(days))[::AT_ONCE]:
        last = min(first + timedelta(days=AT_ONCE - 1), days[1])
        _serve(demo, url, (first, last))
        _land(demo, first, last)


def _after(demo: Demo, url: str, champion: Version) -> Measured:
    """Serve, land and measure the days that follow the new champion's as-of."""
    as_of = date.fromisoformat(champion.as_of)
    days = (as_of + timedelta(days=1), as_of + timedelta(days=AFTER))
    demo.say(f"send requests to version {champion.number}; those days land; monitor them")
    _serve(demo, url, days)
    _land(demo, *days)
    return _monitor(demo, "after", days, champion)


def _land(demo: Demo, first: date, last: date) -> None:
    """Let the files of the days come, and compute what is made of them, up to the lookups of the server."""
    from cli.backfill import backfill_range
    from cli.simulate import simulate_source

    simulate_source(demo.pipeline, last, home=demo.session.home.root, console=demo.console)
    blocked = backfill_range(demo.session, demo.pipeline, str(first), str(last), everything=False, console=demo.console)
    if blocked:
        raise PerennialError("the simulated days do not pass", where="demo", found=str(dict(blocked)))


def _train(demo: Demo, as_of: date) -> Version:
    from cli.train import RELEASED, train_as_of

    demo.say(f"train as of {as_of}, judge, release")
    code = train_as_of(demo.session, demo.pipeline, str(as_of), console=demo.console)
    champion = demo.tables.operations.champion(PIPELINE)
    if code != RELEASED or champion is None:
        raise PerennialError("the first version was not released", where="demo", found=f"exit code {code}")
    return champion


def _serve(demo: Demo, url: str, days: tuple[date, date]) -> list[Answered]:
    """Ask about every order of `days`, one a request; the labels come when all of it was answered."""
    from world.traffic import day_traffic, deliver_labels, send

    orders = [order for day in _each(days) for order in day_traffic(demo.city, day)]
    answered = send(url, orders)
    told = deliver_labels(url, answered)
    demo.console.print(f"{days[0]} to {days[1]}: {len(answered)} predictions answered, {told} labels reported")
    return answered


def _monitor(demo: Demo, when: str, days: tuple[date, date], champion: Version) -> Measured:
    from cli.monitor import monitor_range

    monitor_range(demo.session, demo.pipeline, str(days[0]), str(days[1]))
    return _measure(demo, when, days, champion)


def _measure(demo: Demo, when: str, days: tuple[date, date], version: Version) -> Measured:
    """What the ground truth of `days` says of `version`."""
    import polars as pl

    rows = demo.tables.read(demo.pipeline, "ground_truth", [str(day) for day in _each(days)])
    ours = rows.filter(pl.col("version") == version.number)
    matched = ours.filter(pl.col("source") == "feedback")
    error = (matched["prediction"] - matched["label"]).abs().mean()
    return Measured(
        when=when,
        days=days,
        version=version.number,
        predictions=ours.height,
        matched=matched.height,
        error=float(str(error)) if error is not None else float("nan"),
    )


def _wait_for_release(demo: Demo, before: Version, check: Callable[[], None]) -> tuple[dg.DagsterRun, Version]:
    """The sensor's run that released the version after `before`. Raises PerennialError when it does not come."""
    deadline, told = time.monotonic() + PATIENCE, ""
    while time.monotonic() < deadline:
        check()
        champion = demo.tables.operations.champion(PIPELINE)
        launched = _sensor_run(demo, champion) if champion and champion.number != before.number else None
        if champion is not None and launched is not None:
            return launched, champion
        now = _progress(demo)
        if now != told:
            demo.say(f"daemon: {now}")
            told = now
        time.sleep(0.5)
    reasons = [entry.reason for entry in demo.tables.operations.ledger(PIPELINE, limit=3)]
    raise PerennialError(
        "no sensor's run released a new version", where="demo", expected=f"one within {PATIENCE:.0f} s",
        found=f"{told}; the last decisions: {reasons}", hint=f"the daemon's log lies in {demo.session.home.logs}",
    )  # fmt: skip


def _sensor_run(demo: Demo, champion: Version) -> dg.DagsterRun | None:
    """The finished run by which a sensor of the daemon released `champion`."""
    import dagster as dg

    from resources.tags import PARTITION

    tags = {"dagster/sensor_name": f"{PIPELINE}_retraining", PARTITION: champion.as_of}
    runs = demo.session.instance.get_runs(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.SUCCESS]))
    release = dg.AssetKey([PIPELINE, "release"])
    return next((run for run in runs if release in (run.asset_selection or ())), None)


def _progress(demo: Demo) -> str:
    """What came of what the sensors asked for last."""
    import dagster as dg

    from resources.tags import REASON

    status = dg.DagsterRunStatus
    shown = {status.STARTED: "works", status.SUCCESS: "is done", status.FAILURE: "failed"}
    runs = demo.session.instance.get_runs(limit=3)
    run = next((run for run in runs if "dagster/sensor_name" in run.tags and run.status in shown), None)
    if run is None:
        return "its sensors look"
    return f"{run.tags['dagster/sensor_name']} {shown[run.status]}: {run.tags.get(REASON, '')}"


def _wait_until_served(url: str, version: Version) -> None:
    """Block until the model server answers with `version`."""
    deadline, answer = time.monotonic() + 30, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/v1/models/{PIPELINE}", timeout=5) as response:  # noqa: S310 - our own server
                described: dict[str, Any] = json.load(response)
            answer = str(described["version"])
        except urllib.error.URLError as error:
            answer = str(error)
        if answer == str(version.number):
            return
        time.sleep(0.1)
    raise PerennialError(
        "the model server does not serve the champion", where=url, found=answer, expected=f"version {version.number}"
    )


def _conclude(demo: Demo, measured: list[Measured], launched: dg.DagsterRun) -> int:
    """Show what came of it, and return 0 when the loop did what it promises."""
    from rich.table import Table

    table = Table("", "days", "version", "predictions", "labels met by id", f"error ({demo.pipeline.objective.unit})")
    for one in measured:
        share = one.matched / max(one.predictions, 1)
        days = f"{one.days[0]} to {one.days[1]}"
        table.add_row(one.when, days, str(one.version), str(one.predictions), f"{share:.1%}", f"{one.error:.2f}")
    demo.console.print(table)
    _, during, after = measured
    predictions, matched = sum(one.predictions for one in measured), sum(one.matched for one in measured)
    claims = {
        f"run {launched.run_id[:8]}, launched by the daemon's sensor, released version {after.version}": True,
        f"the error fell by {1 - after.error / during.error:.0%} (at least {IMPROVEMENT:.0%})": after.error
        <= (1 - IMPROVEMENT) * during.error,
        f"{matched} of {predictions} labels met their predictions by id (at least {MATCHED:.0%})": predictions > 0
        and matched >= MATCHED * predictions,
    }
    for claim, holds in claims.items():
        demo.console.print(f"[green]yes[/green]  {claim}" if holds else f"[red]no[/red]   {claim}")
    demo.say("done; `make up` shows all of it: the graph, the checks, the drift reports, the two trainings, MLflow")
    return 0 if all(claims.values()) else 1


def _each(days: tuple[date, date]) -> Iterable[date]:
    return (days[0] + timedelta(days=number) for number in range((days[1] - days[0]).days + 1))


def _quiet(_: str) -> None:
    """Say nothing: the demo speaks for the stack."""
