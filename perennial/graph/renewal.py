"""Renewal: what is to be run so that one landed partition follows, in every table, from the rules of now.

Its features read the aggregates of partitions before it, and those the rows of their windows. What is out of
date there is made again first; what does not bear on the partition stays as it is, for a backfill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perennial.featurization.lineage import BEHIND
from perennial.graph.lineage import Standing
from perennial.graph.online import renewed_assets
from perennial.graph.ranges import Range, ranges_of

WINDOW = ("accepted", "quarantined", "partials")
"""What a partition adds to the windows that it lies in, and all that it is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewing:
    """One run: assets, and the partitions that it covers."""

    names: tuple[str, ...]
    range: Range


def renewal(standing: Standing, key: str) -> list[Renewing]:
    """The runs that renew partition `key`, in their order; the last is of the partition itself."""
    pipeline = standing.pipeline
    seen = _behind(standing, "features", [key])
    windows = _behind(standing, "aggregates", [*seen, key]) - {key}
    before = [
        Renewing(names=names, range=span)
        for names, keys in ((WINDOW, windows), (("aggregates",), seen - {key}))
        for span in ranges_of(pipeline.time, keys)
    ]
    return [*before, Renewing(names=renewed_assets(pipeline), range=(key, key))]


def _behind(standing: Standing, name: str, keys: Iterable[str]) -> set[str]:
    """The other partitions that `keys` of table `name` read, and that are to be made again before."""
    return {
        part.partition("/")[0]
        for key in keys
        if (revision := standing.newest(key)) is not None
        for part, found in standing.across(name, key, revision).items()
        if found.startswith(BEHIND) and not found.startswith(f"{BEHIND}landed ")
    }
