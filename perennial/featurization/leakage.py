"""Leakage: which features know what nobody could know when the prediction was made.

Two proofs for each feature. Sampled past rows are computed again from what was first known of them: a value that
changed later came from the future. And its power alone is measured: what is almost the label was made from it.
Canaries that are known to leak go the same way; an audit that misses one has proved nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import polars as pl

from perennial.policies import LeakageAudit

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

BINS = 50
"""Numbers are cut into so many equally full bins, so that a power which is not monotonic shows."""
AWAITED = 0.5
"""Where the outcomes of more than this share of a typical partition take time, nobody can know how long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What one feature knows of the outcome, and whether it knew it too early."""

    name: str
    power: float
    """How well it alone orders the outcomes, 0 to 1: |2 AUC - 1| of two classes, else |rank correlation|."""
    missing: float
    """The same of the bare fact that it is missing."""
    purity: float | None
    """Of its most certain value, the share of the other class that one would expect and does not find;
    None for a number to predict."""
    changed: float | None
    """Share of a typical partition's rows whose value is not what was first known; None if not recomputed."""
    caught: tuple[str, ...]
    """Why it is caught; empty when it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport:
    """Every feature's suspicion, and whether the canaries were caught."""

    features: tuple[Suspicion, ...]
    canaries: tuple[Suspicion, ...]
    rows: int
    """Sampled rows that were judged."""
    deliveries: int
    """Partitions that were delivered again since; without any, only powers can catch a feature."""
    one_outcome: bool = False
    """Whether no power can be measured, since all sampled rows have the same outcome."""

    @property
    def leaks(self) -> tuple[Suspicion, ...]:
        """The features that are caught."""
        return tuple(each for each in self.features if each.caught)

    @property
    def missed(self) -> tuple[str, ...]:
        """The canaries that are not caught."""
        return tuple(each.name for each in self.canaries if not each.caught)

    @property
    def reason(self) -> str | None:
        """Why nobody may learn from these features, or None."""
        found = [f"feature {each.name!r} {' and '.join(each.caught)}" for each in self.leaks]
        if self.one_outcome:
            return "; ".join([*found, f"all {self.rows:,} sampled rows have one outcome: the audit cannot judge them"])
        found += [f"the audit misses its canary {name!r} and proves nothing" for name in self.missed]
        return "; ".join(found) or None


def audit(pipeline: Pipeline, rows: pl.DataFrame, *, first: pl.DataFrame, deliveries: int = 0) -> LeakageReport:
    """Judge every feature of `rows`, a sample of a training set.

    `rows` has partition, event time, `label`, `label_known_at` and the features as they are stored; `first`
    the features computed from what was first known of the same rows, in the same order.
    """
    policy, binary = pipeline.leakage, pipeline.objective.task == "binary classification"
    stored = {feature.name: rows[feature.name] for feature in pipeline.checked_features}
    again = {name: first[name] for name in stored if name in first.columns}
    canaries, their_first = _canaries(rows, policy, group=_group(pipeline, rows), seed=pipeline.seed)

    def judged(values: Mapping[str, pl.Series], recomputed: Mapping[str, pl.Series]) -> tuple[Suspicion, ...]:
        return tuple(
            _suspicion(name, value, recomputed.get(name), rows, policy, binary=binary) for name, value in values.items()
        )

    return LeakageReport(
        features=judged(stored, again),
        canaries=judged(canaries, their_first),
        rows=rows.height,
        deliveries=deliveries,
        one_outcome=rows["label"].n_unique() == 1,
    )


def power(values: pl.Series, label: pl.Series, *, binary: bool) -> float:
    """How well `values` alone order the labels, 0 to 1, whatever the direction and shape; nulls are a value too.

    Texts and bins of numbers are scored by the mean label of the other half of the rows, so that a category
    of one row does not know its own label.
    """
    shapes = [_held_out_means(_cells(values), label)]
    if values.dtype.is_numeric():
        shapes.append(values.fill_nan(None).rank("average").fill_null(0.0))
    return max(_order(shape, label, binary=binary) for shape in shapes)


def purity(values: pl.Series, label: pl.Series, *, expected: int) -> float:
    """Of the value after which the outcome is most certain, the share of the rarer class that is not there.

    1 when no row with that value has the other class. Values that would hold fewer than `expected` rows of
    it by chance say nothing.
    """
    share = float(label.mean() or 0.0)  # type: ignore[arg-type]
    cells = pl.DataFrame({"value": values.cast(pl.String), "label": label}).group_by("value").agg(
        ones=pl.col("label").sum(), rows=pl.len()
    )  # fmt: skip
    found: list[float] = [
        1 - seen / (rows * odds)
        for _, ones, rows in cells.iter_rows()
        for seen, odds in ((ones, share), (rows - ones, 1 - share))
        if rows * odds >= expected
    ]
    return max([0.0, *found])


def changed_share(stored: pl.Series, first: pl.Series, partition: pl.Series) -> float:
    """The share of rows whose value is not what was first known, in the partition in the middle.

    A correction touches one or two partitions; a value that comes with the outcome changes in all of them.
    """
    frame = pl.DataFrame({"partition": partition, "changed": stored.ne_missing(first)})
    shares = frame.group_by("partition").agg(pl.col("changed").mean())["changed"].to_list()
    return float(median(shares)) if shares else 0.0


def _suspicion(
    name: str,
    values: pl.Series,
    first: pl.Series | None,
    rows: pl.DataFrame,
    policy: LeakageAudit,
    *,
    binary: bool,
) -> Suspicion:
    label = rows["label"]
    alone = power(values, label, binary=binary)
    missing = _order(values.is_null().cast(pl.Float64), label, binary=binary)
    certain = purity(values, label, expected=policy.expected) if binary else None
    changed = None if first is None else changed_share(values, first, rows["partition"])
    reasons = (
        (alone > policy.power, f"alone orders the outcomes almost as they are ({alone:.3f} > {policy.power:g})"),
        (missing > policy.missing, f"is missing or not by the outcome ({missing:.3f} > {policy.missing:g})"),
        (
            (certain or 0.0) > policy.purity,
            f"has a value that is certain of the outcome ({certain or 0:.3f} > {policy.purity:g})",
        ),
        (
            (changed or 0.0) > policy.changed,
            f"is not what was first known ({changed or 0:.1%} of the rows > {policy.changed:.1%})",
        ),
    )
    return Suspicion(
        name=name,
        power=alone,
        missing=missing,
        purity=certain,
        changed=changed,
        caught=tuple(reason for holds, reason in reasons if holds),
    )


def _order(score: pl.Series, label: pl.Series, *, binary: bool) -> float:
    ranks = score.rank("average")
    if not binary:
        found = pl.DataFrame({"a": ranks, "b": label.rank("average")}).select(pl.corr("a", "b")).item()
        return abs(found) if found is not None and found == found else 0.0  # noqa: PLR0124 - a constant gives NaN
    positive = label > 0.5
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return 0.0
    area = (float(ranks.filter(positive).sum()) - ones * (ones + 1) / 2) / (ones * zeros)
    return abs(2 * area - 1)


def _cells(values: pl.Series) -> pl.Series:
    """Texts as they are; numbers by the bin that holds them, a few values by themselves."""
    if not values.dtype.is_numeric() or values.n_unique() <= BINS:
        return values.cast(pl.String).fill_null("")
    known = values.cast(pl.Float64).fill_nan(None)
    bins = (known.rank("average") * BINS / max(known.count(), 1)).floor()
    return bins.cast(pl.String).fill_null("")


def _held_out_means(cells: pl.Series, label: pl.Series) -> pl.Series:
    """The mean label of each row's cell among the rows of the other half; the mean of all where it has none."""
    frame = pl.DataFrame({"cell": cells, "label": label}).with_row_index().with_columns(half=pl.col("index") % 2)
    means = frame.group_by("cell", half=1 - pl.col("half")).agg(mean=pl.col("label").mean())
    joined = frame.join(means.with_columns(pl.col("half").cast(pl.UInt32)), on=["cell", "half"], how="left")
    return joined.sort("index")["mean"].fill_null(label.mean())


def _canaries(
    rows: pl.DataFrame, policy: LeakageAudit, *, group: pl.Series, seed: int
) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
    """Columns that leak by construction, as stored, and as they could be known when each prediction was made.

    What comes next can never be. Nor how long an outcome will take, unless it is there with the event.
    """
    label = rows["label"]
    noisy = _with_noise(label, share=(1 - policy.power) / 4, seed=seed)
    later = {"the mean of the group's next outcomes": _next_mean(rows, group)}
    if _share_awaited(rows) > AWAITED:
        later["how long the outcome took"] = (rows["label_known_at"] - rows["event_time"]).dt.total_seconds()
    unknown = {name: values.clear(rows.height) for name, values in later.items()}
    return {**_marks(label, policy), "the label": label, "the label, a few of them wrong": noisy, **later}, unknown


def _share_awaited(rows: pl.DataFrame) -> float:
    """The share of rows on whose outcome one waits, in the partition in the middle."""
    waits = (pl.col("label_known_at") > pl.col("event_time")).mean().alias("waits")
    return float(rows.group_by("partition").agg(waits)["waits"].median() or 0.0)  # type: ignore[arg-type]


def _with_noise(label: pl.Series, *, share: float, seed: int) -> pl.Series:
    """`label` with a `share` of its values wrong: of two classes the same share of each, else drawn from other rows.

    A share of all rows alike could spoil most of a rare class by chance, and leave a canary that no longer leaks.
    """
    chance = random.Random(seed)  # noqa: S311 - noise, no secret
    values = label.to_list()
    if label.n_unique() == 2:
        first, second = sorted(set(values))
        for own, other in ((first, second), (second, first)):
            members = (label == own).arg_true().to_list()
            for row in chance.sample(members, int(share * len(members))):
                values[row] = other
        return pl.Series(values, dtype=label.dtype)
    drawn = chance.sample(range(len(values)), int(share * len(values)))
    for row in drawn:
        values[row] = label[chance.randrange(len(values))]
    return pl.Series(values, dtype=label.dtype)


def _marks(label: pl.Series, policy: LeakageAudit) -> dict[str, pl.Series]:
    """A mark that only rows of class 0 get, on so many that it counts; nothing where there are too few of them."""
    share = float(label.mean() or 0.0)  # type: ignore[arg-type]
    negatives = (label == 0).arg_true()
    needed = math.ceil(2 * policy.expected / share) if share else label.len() + 1
    if label.n_unique() != 2 or len(negatives) < needed:
        return {}
    marked = negatives.gather_every(len(negatives) // needed)
    return {"a mark that only one outcome gets": pl.Series(range(label.len())).is_in(marked.implode())}


def _next_mean(rows: pl.DataFrame, group: pl.Series) -> pl.Series:
    """The mean of the outcomes that the ten next rows of the same group have."""
    ordered = rows.select("label", "event_time", group=group).with_row_index().sort("event_time")
    after = pl.col("label").reverse().shift(1).rolling_mean(10, min_samples=1).reverse().over("group")
    return ordered.with_columns(mean=after).sort("index")["mean"]


def _group(pipeline: Pipeline, rows: pl.DataFrame) -> pl.Series:
    """The values of the first feature that is a category, or one group of all rows, also where most end at once."""
    names: Sequence[str] = [f.name for f in pipeline.checked_features if f.kind == "category"]
    if names and 2 * rows[names[0]].n_unique() <= rows.height:
        return rows[names[0]]
    return pl.Series(["all"]).new_from_index(0, rows.height)
