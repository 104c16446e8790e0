"""Alarms: how often validation by history blocks days in which nothing is wrong, and which faults it finds.

    python -m benchmarks.alarms          # writes build/alarms.md, and its tables into docs/validation.md

The grid of faults and sizes lies in `benchmarks.faults`; the seeds here were never looked at while the
thresholds were set.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.faults import FAULTS, Fault, Struck
from benchmarks.in_order import judge_in_order
from benchmarks.rows import Row
from benchmarks.stationary import WORLDS, World
from perennial.settings import CLONE
from perennial.validation.seasons.judgement import (
    ORDER,
    Judgement,
    Seasons,
    Verdict,
    history_of,
    judge,
    min_history_of,
)  # fmt: skip
from perennial.validation.seasons.panel import panel_of
from perennial.validation.seasons.summaries import summarize_partitions, watched_columns

LIMIT = 0.01
"""Largest share of unremarkable partitions that may be blocked."""
TUNED_ON = {"city": (101, 102), "shop": (101, 102)}
EVALUATED_ON = {"city": (2111, 2223), "shop": (7001, 7002)}
DAYS = 264
"""Of each seed; the first 14 lack the history that a verdict needs, so that 4 x 250 are judged."""
STRUCK = 8
"""Days of each world that every fault and size is tried on."""
TABLES = CLONE / "build" / "alarms.md"
BATCH = 64
PAGE = CLONE / "docs" / "validation.md"
BEGIN, END = "<!-- begin: python -m benchmarks.alarms -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class Lived:
    """One seed of a world: its days, their summaries, and what was thought of each."""

    world: World
    seed: int
    days: Sequence[pl.DataFrame]
    summaries: pl.DataFrame
    verdicts: Mapping[str, Judgement]

    @property
    def judged(self) -> list[Judgement]:
        """The verdicts on days with enough history."""
        needed = min_history_of(Seasons(), self.world.pipeline.time)
        return [self.verdicts[key] for key in sorted(self.verdicts)[needed:]]


def run(seeds: Mapping[str, Sequence[int]] = EVALUATED_ON, *, days: int = DAYS, struck: int = STRUCK) -> list[Row]:
    """The blocked share of stationary days beside its limit, the other verdicts, and what is found of the faults."""
    lived = [live(world, seed, days) for world in WORLDS for seed in seeds[world.name]]
    quiet = quiet_rates(lived)
    found = {world.name: detection(next(each for each in lived if each.world is world), struck) for world in WORLDS}
    TABLES.parent.mkdir(exist_ok=True)
    TABLES.write_text("\n".join([*quiet_table(lived), "", *fault_table(found, struck)]) + "\n")
    judged = sum(len(each.judged) for each in lived)
    rows = [
        Row(
            name=f"{judged:,} stationary partitions: share of verdict {verdict}",
            value=quiet[verdict],
            limit=LIMIT if verdict == "block" else None,
            ok=verdict != "block" or quiet[verdict] <= LIMIT,
            detail=f"{round(quiet[verdict] * judged)} partitions",
        )
        for verdict in ("block", "retrain", "warn")
    ]
    return rows + [_fault_row(world, fault, found[world]) for world in found for fault in FAULTS]


def live(world: World, seed: int, days: int) -> Lived:
    """Let `days` days of a world pass, and judge each when it comes."""
    drawn = world.days(seed, days)
    summaries = pl.concat(
        summarize_partitions(pl.concat(drawn[first : first + BATCH]), world.pipeline) for first in range(0, days, BATCH)
    )
    panel = panel_of(summaries)
    verdicts = judge_in_order(
        panel,
        panel.partitions,
        [],
        columns=watched_columns(world.pipeline),
        calendar=world.pipeline.time,
        seasons=Seasons(),
    )
    return Lived(world=world, seed=seed, days=drawn, summaries=summaries, verdicts=verdicts)


def quiet_rates(lived: Sequence[Lived]) -> dict[Verdict, float]:
    """The share of each verdict among days in which nothing is wrong."""
    counted = Counter(judgement.verdict for each in lived for judgement in each.judged)
    total = sum(counted.values())
    return {verdict: counted[verdict] / total for verdict in ORDER}


def detection(lived: Lived, struck: int) -> dict[tuple[str, float], Counter[Verdict]]:
    """Of each fault and size: the verdicts on so many days that it strikes, the last of a life."""
    places = [len(lived.days) - 1 - 3 * number for number in range(struck)]
    found: dict[tuple[str, float], Counter[Verdict]] = {}
    for place in places:
        for name, size, judgement in _strike_all(lived, place):
            found.setdefault((name, size), Counter())[judgement.verdict] += 1
    return found


def _strike_all(lived: Lived, place: int) -> Iterator[tuple[str, float, Judgement]]:
    import numpy as np

    world = lived.world
    key = lived.days[place]["partition"][0]
    length = history_of(Seasons(), world.pipeline.time)
    past = [day["partition"][0] for day in lived.days[max(0, place - length) : place]]
    past = [each for each in past if lived.verdicts[each].verdict != "block"]
    history = lived.summaries.filter(pl.col("partition").is_in(past))
    for number, (name, (fault, sizes, _)) in enumerate(FAULTS.items()):
        for size in sizes:
            struck = Struck(
                rows=lived.days[place],
                yesterday=lived.days[place - 1],
                target=world.target,
                rng=np.random.default_rng([place, number, int(size * 1000)]),
            )
            yield name, size, _judge_one(world, history, past, key, fault, struck, size)


def _judge_one(  # noqa: PLR0917 - what a verdict rests on
    world: World, history: pl.DataFrame, past: Sequence[str], key: str, fault: Fault, struck: Struck, size: float
) -> Judgement:
    summary = summarize_partitions(fault(struck, size), world.pipeline)
    return judge(
        panel_of(pl.concat([history, summary])),
        key,
        past,
        columns=watched_columns(world.pipeline),
        calendar=world.pipeline.time,
        seasons=Seasons(),
    )


def _fault_row(world: str, fault: str, found: Mapping[tuple[str, float], Counter[Verdict]]) -> Row:
    sizes = FAULTS[fault][1]
    by_size = [found[fault, size] for size in sizes]
    shares = [1 - verdicts["pass"] / verdicts.total() for verdicts in by_size]
    detail = ", ".join(f"{size:g}: {share:.0%}" for size, share in zip(sizes, shares, strict=True))
    return Row(name=f"{world}: {fault}, found at the largest size", value=shares[-1], detail=detail)


def quiet_table(lived: Sequence[Lived]) -> list[str]:
    """Verdicts on stationary days, in Markdown."""
    lines = ["| world | seed | days judged | block | retrain | warn |", "|---|---|---|---|---|---|"]
    for each in lived:
        rates = quiet_rates([each])
        lines.append(
            f"| {each.world.name} | {each.seed} | {len(each.judged)} | "
            + " | ".join(f"{rates[v]:.1%}" for v in ("block", "retrain", "warn"))
            + " |"
        )
    total = quiet_rates(lived)
    lines.append(
        f"| all | | {sum(len(each.judged) for each in lived):,} | "
        + " | ".join(f"{total[v]:.1%}" for v in ("block", "retrain", "warn"))
        + " |"
    )
    return lines


def fault_table(found: Mapping[str, Mapping[tuple[str, float], Counter[Verdict]]], struck: int) -> list[str]:
    """What became of each fault and size, in Markdown: blocked / retrain / warned of `struck` days."""
    lines = [
        f"Blocked / retrain / warned, of {struck} days of each world; sizes from small to large.",
        "",
        "| fault | size counts | world | 1 | 2 | 3 | 4 | 5 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fault, (_, sizes, counts) in FAULTS.items():
        lines.append(f"| **{fault}** | {counts} | | " + " | ".join(f"*{size:g}*" for size in sizes) + " |")
        for world, verdicts in found.items():
            cells = [_cell(verdicts[fault, size]) for size in sizes]
            lines.append(f"| | | {world} | " + " | ".join(cells) + " |")
    return lines


def _cell(verdicts: Counter[Verdict]) -> str:
    if verdicts["pass"] == verdicts.total():
        return "missed"
    return " / ".join(str(verdicts[v]) for v in ("block", "retrain", "warn"))


def refresh(page: Path, tables: str) -> None:
    """Put the tables where `page` shows them."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables}{END}{after}")


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row.name}: {row.value} {row.detail}\n")
    refresh(PAGE, TABLES.read_text())
