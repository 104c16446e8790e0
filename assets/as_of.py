"""As of: what the assets of one training have in common; each run of them handles one as-of partition."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from assets.partitioning import partitions_of
from perennial.declaration import Pipeline
from perennial.training import SplitKeys


def as_of_asset(
    pipeline: Pipeline, name: str, *, stage: str, deps: Iterable[Any], kinds: set[str], **rest: Any
) -> dict[str, Any]:
    """Arguments of `dg.asset` for an asset of one training, partitioned by as-of."""
    return {
        "key": [pipeline.name, name],
        "deps": list(deps),
        "group_name": f"{pipeline.name}_{stage}",
        "owners": [pipeline.owner],
        "tags": {"pipeline": pipeline.name},
        "kinds": kinds,
        "partitions_def": partitions_of(pipeline.time),
        **rest,
    }


def key_of(pipeline: Pipeline, name: str) -> dg.AssetKey:
    """The asset `name` of `pipeline`."""
    return dg.AssetKey([pipeline.name, name])


def span(keys: SplitKeys) -> dict[str, str]:
    """First and last partition of each split, for a person."""
    return {
        split: f"{getattr(keys, split)[0]} to {getattr(keys, split)[-1]}" for split in ("train", "validation", "test")
    }
