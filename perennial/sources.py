"""Sources: where a pipeline's partitions come from, as declared values.

Reading them is `perennial.stores.sources`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class env:  # noqa: N801 - reads as the value it stands for: root=env("TAXI_ETA_SOURCE")
    """The value of an environment variable, looked up when it is needed and never before."""

    name: str
    default: str | None = None
    """Used where the variable is not set; `{home}` in it stands for PERENNIAL_HOME."""


@dataclass(frozen=True, slots=True)
class Files:
    """One parquet file a partition, found by a pattern such as `{root}/orders_{partition:%Y-%m-%d}.parquet`."""

    pattern: str
    root: env | str = ""
    licence: str = "unknown"
    simulated_by: str | None = None
    """Name of a simulated world that can write these files when the folder is empty."""
