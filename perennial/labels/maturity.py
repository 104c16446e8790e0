"""Maturity: how complete a partition's outcomes are as of an instant, and from when one may learn from them.

Outcomes arrive late, and which come first is not chance: cancellations sooner than stays. So a partition of which
few outcomes are known shows those of the quick rows only, and no row of it may teach or judge a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from perennial.errors import NoMatureLabels
from perennial.policies import Maturity

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

DAY = timedelta(days=1)
CURVE_STEPS = 10_000
"""Of a curve: fewer than a picture can show, and than a report rounds to."""
SHORTEST = {"1h": DAY / 24, "1d": DAY * 23 / 24, "1mo": 28 * DAY}
"""The shortest partition of each calendar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """How many of a partition's rows have a known outcome, and how many should by the delay curve."""

    partition: str
    rows: int
    known: int
    expected: float | None = None
    """Share of the rows whose outcome should be known by now; None without a curve."""
    mature: bool = True

    @property
    def share(self) -> float:
        """Share of the rows whose outcome is known; an empty partition is complete."""
        return self.known / self.rows if self.rows else 1.0


@dataclass(frozen=True, slots=True)
class DelayCurve:
    """The share of outcomes known by the age of their row: a step at each of `ages`."""

    ages: Sequence[timedelta]
    shares: Sequence[float]

    def share(self, age: timedelta) -> float:
        """The share of outcomes known at `age`; beyond the oldest row, what was known by then.

        >>> DelayCurve([timedelta(days=1), timedelta(days=9)], [0.25, 1.0]).share(timedelta(days=3))
        0.25
        """
        known = [share for at, share in zip(self.ages, self.shares, strict=True) if at <= age]
        return known[-1] if known else 0.0


def delays(rows: pl.DataFrame, labels: pl.DataFrame, *, key: Sequence[str], as_of: datetime) -> pl.DataFrame:
    """Each row known before `as_of`: its key, `partition`, `age` and whether its outcome was `known` by then.

    `age` is how long the outcome took, or, while it is not known, how old the row is: a censored delay.
    Of rows with one key the first counts.
    """
    on = [*key, "partition"]
    known = labels.filter(pl.col("known_at") <= as_of).unique(on, keep="first", maintain_order=True)
    there = rows.filter(pl.col("event_time") <= as_of).unique(on, keep="first", maintain_order=True)
    joined = there.select(*on, "event_time").join(
        known.select(*on, outcome_at="known_at"), on=on, how="left", nulls_equal=True, maintain_order="left"
    )
    took = (pl.coalesce("outcome_at", pl.lit(as_of)) - pl.col("event_time")).clip(lower_bound=timedelta(0))
    return joined.select(*on, "event_time", age=took, known=pl.col("outcome_at").is_not_null())


def delay_curve(delays: pl.DataFrame) -> DelayCurve:
    """The share of outcomes known by age, from complete and unfinished partitions alike.

    The product-limit estimator: a row whose outcome is not known yet counts as waiting up to its age and
    for no longer (Kaplan and Meier 1958, JASA 53:457-481), so that young rows do not look like slow ones.
    Millions of rows make at most `CURVE_STEPS` steps, each off by less than one part of them.
    """
    steps = (
        delays.select("age", "known")
        .sort("age")  # in order they are counted as they stand; to find their places takes twice the memory
        .group_by("age", maintain_order=True)
        .agg(known=pl.col("known").sum(), left=pl.len())
        .select("age", "known", waiting=pl.col("left").reverse().cum_sum().reverse())
        .filter(pl.col("known") > 0)
        .select("age", share=1 - (1 - pl.col("known") / pl.col("waiting")).cum_prod())
        .unique((pl.col("share") * CURVE_STEPS).floor(), keep="last", maintain_order=True)
    )
    return DelayCurve(steps["age"].to_list(), steps["share"].to_list())


def completeness(
    pipeline: Pipeline, delays: pl.DataFrame, *, as_of: datetime, curve: DelayCurve | None = None
) -> dict[str, Completeness]:
    """How complete each partition of `delays` is as of `as_of`, beside what `curve` expects."""
    counted = delays.group_by("partition").agg(pl.len().alias("rows"), pl.col("known").sum()).sort("partition")
    expected = _expected(delays, curve, as_of) if curve else {}
    return {
        row["partition"]: Completeness(
            **row,
            expected=expected.get(row["partition"]),
            mature=is_mature(pipeline, row["partition"], row["known"] / row["rows"], as_of=as_of),
        )
        for row in counted.iter_rows(named=True)
    }


def early_means(labels: pl.DataFrame, ages: Sequence[timedelta]) -> dict[str, dict[str, float]]:
    """The mean outcome of each partition: of those known within each age, and of all.

    Where the lines part, a model that learned from the first outcomes would learn another truth.
    """
    took = pl.col("known_at") - pl.col("event_time")
    known = {f"known within {age / DAY:g} days": took <= age for age in ages} | {"all known": pl.lit(value=True)}
    means = {  # lazy: of the rows that are left only the two columns are copied, and those of one age at a time
        name: labels.lazy().filter(which).group_by("partition").agg(pl.col("label").mean()).sort("partition").collect()
        for name, which in known.items()
    }
    return {name: dict(mean.iter_rows()) for name, mean in means.items()}


def is_mature(pipeline: Pipeline, partition: str, share: float, *, as_of: datetime) -> bool:
    """Whether one may learn from `partition`, of which `share` of the outcomes is known as of `as_of`."""
    return is_cohort_mature(pipeline, age=as_of - pipeline.time.window(partition).end, share=share)


def is_cohort_mature(pipeline: Pipeline, *, age: timedelta, share: float) -> bool:
    """Whether rows that ended `age` ago, of which `share` of the outcomes is known, show how things went."""
    rule = pipeline.label.mature_after
    if rule is None:
        return True
    if isinstance(rule, Maturity):
        return share >= rule.completeness or age >= rule.at_latest
    return age >= rule


def mature_since(pipeline: Pipeline, partition: str, *, rows: int, known_at: pl.Series) -> datetime | None:
    """The instant from which `partition` of so many accepted `rows`, whose outcomes are known at `known_at`, is mature.

    None for a rule that every partition fulfils.
    """
    rule, end = pipeline.label.mature_after, pipeline.time.window(partition).end
    if rule is None:
        return None
    if not isinstance(rule, Maturity):
        return end + rule
    needed = math.ceil(rule.completeness * rows - 1e-9)
    times = known_at.drop_nulls().sort()
    if not rows or len(times) < needed:
        return end + rule.at_latest
    complete: datetime = times[max(needed, 1) - 1]
    return min(complete, end + rule.at_latest)


def within_reach(pipeline: Pipeline, as_of: str) -> list[str]:
    """The partitions that a training window as of `as_of` may hold, oldest first: later ones may not be mature yet."""
    reach = pipeline.time.preceding(as_of, pipeline.windows.length + lag(pipeline))
    return [key for key in reach if key >= pipeline.time.start]


def newest_mature(pipeline: Pipeline, as_of: str, shares: Mapping[str, float]) -> str:
    """The newest partition up to `as_of` that ends a window of mature partitions.

    `shares` is the share of outcomes known by the as-of instant, by partition; one that is not there has
    none. Raises NoMatureLabels when no partition back to the pipeline's first ends such a window.
    """
    keys, length = within_reach(pipeline, as_of), pipeline.windows.length
    if pipeline.label.mature_after is None or len(keys) < length:
        return as_of
    instant = pipeline.time.known_at(as_of)
    mature = [is_mature(pipeline, key, shares.get(key, 0.0), as_of=instant) for key in keys]
    for end in range(len(keys), length - 1, -1):
        if all(mature[end - length : end]):
            return keys[end - 1]
    first = keys[mature.index(False)]
    raise NoMatureLabels(
        f"no {length} partitions in a row have mature labels",
        where=f"{pipeline.name} as of {as_of}",
        found=f"{shares.get(first, 0.0):.1%} of the outcomes of {first} known",
        expected=rule_of(pipeline),
        hint="train a later as-of, declare shorter windows, or change the label's mature_after",
    )


def lag(pipeline: Pipeline) -> int:
    """By how many partitions, at most, a training window ends before its as-of."""
    rule = pipeline.label.mature_after
    if rule is None:
        return 0
    longest = rule.at_latest if isinstance(rule, Maturity) else rule
    return math.ceil(longest / SHORTEST[pipeline.time.every])


def rule_of(pipeline: Pipeline) -> str:
    """When a partition's labels are mature, in words."""
    rule = pipeline.label.mature_after
    if rule is None:
        return "mature when the partition is complete"
    if isinstance(rule, Maturity):
        return f"{rule.completeness:.0%} of the outcomes known, or {rule.at_latest.days} days after the partition's end"
    return f"{rule / DAY:g} days after the partition's end"


def _expected(delays: pl.DataFrame, curve: DelayCurve, as_of: datetime) -> dict[str, float]:
    """The mean over each partition's rows of the share that the curve knows at their age."""
    steps = pl.DataFrame(
        {"age": curve.ages, "share": curve.shares}, schema={"age": pl.Duration("us"), "share": pl.Float64}
    )
    aged = delays.select("partition", age=as_of - pl.col("event_time")).sort("age")
    joined = aged.join_asof(steps, on="age", strategy="backward").with_columns(pl.col("share").fill_null(0.0))
    return dict(joined.group_by("partition").agg(pl.col("share").mean()).iter_rows())
