"""Training: which rows fit and judge a model as of an instant.

Forward in time, train before validation before a sealed test; one row a key; only labels known by
the as-of instant. The same inputs give the same rows and the same content hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.errors import HistoryTooShort, NoMatureLabels
from perennial.labels.labelling import trusted

SPLITS = ("train", "validation", "test")
ROW_KNOWN = "row known at"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitKeys:
    """The partitions of each split, oldest first."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Every partition of the window, oldest first."""
        return self.train + self.validation + self.test

    @property
    def fitted(self) -> tuple[str, ...]:
        """The partitions that the shipped model learns from."""
        return self.train + self.validation


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Rows to fit and judge: key, partition, event time, `split`, `label`, one column a feature."""

    frame: pl.DataFrame
    content_hash: str
    immature: int
    """Rows left out because their label was not known by the as-of instant, or never came."""
    duplicates: int
    """Rows left out because another row of the same key says the same, or was known later."""
    contradicted: int = 0
    """Keys left out because their rows say different things and nothing tells which of them holds."""
    unsure: int = 0
    """Rows left out because their label has too little confidence."""

    def rows(self, *splits: str) -> pl.DataFrame:
        """The rows of the given splits, in order of time."""
        return self.frame.filter(pl.col("split").is_in(splits))


def split_keys(pipeline: Pipeline, as_of: str, *, end: str | None = None) -> SplitKeys:
    """The window of a training as of `as_of`, cut forward in time.

    It ends with partition `end`, the newest whose labels are mature, or with `as_of` itself. Raises
    HistoryTooShort when it reaches back before the pipeline's first partition.
    """
    windows = pipeline.windows
    keys = pipeline.time.preceding(end or as_of, windows.length)
    if keys[0] < pipeline.time.start:
        needed = pipeline.time.keys(pipeline.time.start, as_of)
        raise HistoryTooShort(
            f"a training window of {windows.length} partitions reaches back to {keys[0]}",
            where=f"{pipeline.name} as of {as_of}",
            found=f"{len(needed)} partitions from {pipeline.time.start}",
            expected=f"at least {windows.length}",
            hint="train a later as-of, or declare shorter windows",
        )
    cut = len(keys) - windows.test
    return SplitKeys(
        train=tuple(keys[: windows.train]), validation=tuple(keys[windows.train : cut]), test=tuple(keys[cut:])
    )


def build_training_set(
    pipeline: Pipeline, *, features: pl.DataFrame, labels: pl.DataFrame, keys: SplitKeys, as_of: datetime
) -> TrainingSet:
    """Join `features` with the `labels` known by `as_of`, keep one row of each key, and name each row's split.

    Of rows with one key the last known by `as_of` counts. Where several were known then and differ, in a
    feature or in their outcome, the key is left out: to pair the features of one with the label of another
    would be a guess. A label of too little confidence is no label.

    Raises NoMatureLabels when a split is left without rows.
    """
    on = [*pipeline.key, "partition"]
    seen = last_known(features, on, as_of).sort("partition", maintain_order=True)
    known = _told_by(pipeline, labels, seen, as_of)
    sure = trusted(known, pipeline.label).select(*on, "label")
    doubtful = pl.concat([_contradicted(rows, on) for rows in (seen.drop("known_at"), sure)]).unique()
    one_each, sure = (rows.unique(on, keep="first", maintain_order=True) for rows in (seen, sure))
    unique = one_each.join(doubtful, on=on, how="anti", nulls_equal=True, maintain_order="left")
    unsure = unique.join(sure, on=on, how="anti").join(known, on=on, how="semi").height
    frame = (
        unique.join(sure, on=on, how="inner", maintain_order="left")
        .with_columns(split=_split_of(keys))
        .sort("event_time", maintain_order=True)
    )
    _check_splits(frame, keys, where=f"{pipeline.name} as of {as_of.isoformat()}")
    return TrainingSet(
        frame=frame,
        content_hash=content_hash(frame),
        immature=unique.height - frame.height - unsure,
        duplicates=features.height - one_each.height,
        contradicted=one_each.height - unique.height,
        unsure=unsure,
    )


def last_known(rows: pl.DataFrame, on: Sequence[str], as_of: datetime) -> pl.DataFrame:
    """`rows` in their order, of those that share `on` only the ones that were known last by `as_of`."""
    known = rows.filter(pl.col("known_at") <= as_of)
    repeated = known.select(on).is_duplicated()
    if not repeated.any():
        return known
    return known.filter(~repeated | (pl.col("known_at") == pl.col("known_at").max().over(on)))


def _told_by(pipeline: Pipeline, labels: pl.DataFrame, seen: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """The `labels` known by `as_of`; where rows have times of their own, none of a row older than the one `seen`.

    So a row that was known later corrects the outcome of its key, or takes it back.
    """
    told = labels.filter(pl.col("known_at") <= as_of)
    if pipeline.time.row_known_at is None:
        return told
    on = [*pipeline.key, "partition"]
    rows = seen.select(*on, pl.col("known_at").alias(ROW_KNOWN)).unique()
    dated = told.join(rows, on=on, how="inner", maintain_order="left")
    return dated.filter(pl.col("known_at") >= pl.col(ROW_KNOWN)).drop(ROW_KNOWN)


def _contradicted(rows: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """The keys `on` which different rows share."""
    different = rows.filter(rows.select(on).is_duplicated()).unique().select(on)
    return different.filter(different.is_duplicated()).unique()


def _split_of(keys: SplitKeys) -> pl.Expr:
    names = {key: split for split in SPLITS for key in getattr(keys, split)}
    return pl.col("partition").replace_strict(names, return_dtype=pl.String)


def _check_splits(frame: pl.DataFrame, keys: SplitKeys, *, where: str) -> None:
    present = set(frame.get_column("split").unique())
    for split in SPLITS:
        if split not in present:
            raise NoMatureLabels(
                f"no row of the {split} split has a label known by then",
                where=where,
                found=f"0 labelled rows in {_span(getattr(keys, split))}",
                expected="at least one",
                hint="check the label's expression, its known_at and its confidence, or train a later as-of",
            )


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
