"""Maintenance: what a deployment may forget, and what it must keep; pure rules, the clock is an argument.

A version of a table that a registered model's manifest names is held by it until the model is retired by
name. Landed revisions are rows of a table's current version, which no rule here ever touches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from perennial.errors import VersionHeld


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How long what is no longer current stays; what is needed stays longer, whatever these say."""

    old_versions: timedelta = timedelta(days=30)
    """Past versions of a table, for readers of today and for questions about last month."""
    small_files: int = 8
    """A table is compacted when a partition of it has so many small files."""
    bundles: timedelta = timedelta(days=30)
    """Bundles that never became a version."""
    reports: timedelta = timedelta(days=90)
    """Pages of Evidently and Great Expectations; the newest of each kind always stays."""
    downloads: timedelta = timedelta(days=2)
    """Files that were fetched and have landed, and halves of files whose download died."""
    runs: timedelta = timedelta(days=180)
    """Dagster's runs with their events; a run that made what stands now always stays."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hold:
    """A version of a table that must stay readable, and who needs it."""

    table: str
    """`pipeline/table`."""
    version: int
    holder: str
    """For a person: `delivery_eta version 3 (as of 2024-02-14)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing that was cleaned up, or would be."""

    kind: str
    where: str
    items: int
    size: int
    """Bytes that it frees; of a compaction none, until the old files go."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one maintenance did or would do, and what it kept for whom."""

    done: Sequence[Done] = ()
    holds: Sequence[Hold] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """What was left alone although its time had come, and why; each is for a person to look at."""

    @property
    def size(self) -> int:
        """Bytes freed in all."""
        return sum(one.size for one in self.done)

    def __add__(self, other: Report) -> Report:
        return Report(
            done=(*self.done, *other.done),
            holds=(*self.holds, *other.holds),
            refused={**self.refused, **other.refused},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a registered model says of the tables that it was made from."""

    number: int
    as_of: str
    table_versions: Mapping[str, int] | None
    """By the table's name within the pipeline; None when neither its bundle nor its attributes say."""


def holds_of(pipeline: str, models: Iterable[Needs], retired: Collection[int]) -> list[Hold]:
    """The table versions that the models of `pipeline` hold, but for those of `retired` models.

    Raises VersionHeld when a model does not say what it needs: then nothing of the pipeline may go.
    """
    holds = []
    for model in models:
        holder = f"{pipeline} version {model.number} (as of {model.as_of})"
        if model.number in retired:
            continue
        if model.table_versions is None:
            raise VersionHeld(
                "a registered model does not say which table versions it was made from",
                where=pipeline,
                found=f"neither a readable bundle nor attributes of {holder}",
                expected="its table_versions",
                hint=f"restore its bundle, or: perennial retire {pipeline} {model.number}",
            )
        holds += [
            Hold(table=f"{pipeline}/{name}", version=version, holder=holder)
            for name, version in model.table_versions.items()
        ]
    return sorted(holds)


def check_nothing_held_goes(
    table: str, doomed: Collection[str], held: Mapping[int, Collection[str]], holds: Sequence[Hold]
) -> None:
    """Refuse to remove a file that a held version of `table` is made of: raises VersionHeld with the holders.

    `held` names, by version, the files it is made of.
    """
    for version, files in sorted(held.items()):
        if lost := sorted(set(doomed) & set(files)):
            holders = [hold.holder for hold in holds if (hold.table, hold.version) == (table, version)]
            raise VersionHeld(
                f"version {version} is held by {', '.join(holders)}",
                where=table,
                found=f"{len(lost)} of its files to be removed, such as {lost[0]}",
                expected="none",
                hint="retire the model by name before its training data are forgotten: perennial retire",
            )


def files_by_slot(files: Iterable[tuple[str, int]], small: int) -> dict[str, int]:
    """How many files smaller than `small` bytes each slot (a folder of a table) has, of (path, size) pairs."""
    counts: dict[str, int] = defaultdict(int)
    for path, size in files:
        counts[path.rpartition("/")[0]] += size < small
    return dict(counts)


def orphans(written: Mapping[str, datetime], needed: Collection[str], *, before: datetime) -> list[str]:
    """The names of `written` that nobody needs and that were last written before `before`, oldest first."""
    return sorted((name for name, at in written.items() if name not in needed and at < before), key=written.__getitem__)


def outlived(written: Mapping[str, datetime], *, before: datetime) -> list[str]:
    """The names of `written` from before `before`, oldest first; the newest of all never is."""
    newest = max(written, key=written.__getitem__, default="")
    return orphans(written, {newest}, before=before)
