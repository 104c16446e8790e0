"""As of: what the assets of one training have in common; each run of them handles one as-of partition."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dagster as dg

from assets.partitioning import partitions_of
from perennial.declaration import Pipeline
from perennial.training.training_set import SplitKeys

Build = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def as_of_asset(
    pipeline: Pipeline,
    name: str,
    *,
    stage: str,
    deps: Iterable[dg.AssetDep | dg.AssetKey],
    kinds: set[str],
    description: str | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] | None = None,
) -> Build:
    """Decorator: an asset of one training, partitioned by as-of; without `description`, its docstring is shown."""
    return dg.asset(
        key=[pipeline.name, name],
        deps=list(deps),
        group_name=f"{pipeline.name}_{stage}",
        owners=[pipeline.owner],
        tags={"pipeline": pipeline.name},
        kinds=kinds,
        partitions_def=partitions_of(pipeline.time),
        description=description,
        check_specs=check_specs,
    )


def key_of(pipeline: Pipeline, name: str) -> dg.AssetKey:
    """The asset `name` of `pipeline`."""
    return dg.AssetKey([pipeline.name, name])


def span(keys: SplitKeys) -> dict[str, str]:
    """First and last partition of each split, for a person."""
    return {
        split: f"{getattr(keys, split)[0]} to {getattr(keys, split)[-1]}" for split in ("train", "validation", "test")
    }
