"""Stages: the assets of a pipeline by what makes them run together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.graph.lineage import steps_of

if TYPE_CHECKING:
    from perennial.declaration import Pipeline

ANSWERED = ("inference_log", "ground_truth", "performance")
"""What is measured of the answers of a monitoring partition, whatever serves now."""
MONITORING = (*ANSWERED, "drift")
"""What is measured of a monitoring partition that the champion has not learned from."""


def data_assets(pipeline: Pipeline) -> tuple[str, ...]:
    """What an arrived partition of `pipeline` becomes, parents before children."""
    return (*steps_of(pipeline), *(("online_features",) if pipeline.aggregates else ()))


LEARNED_FROM = ("features", "labels", "summary")
"""What must stand of each partition of a training window: without a summary nobody has judged its rows."""


def training_assets(pipeline: Pipeline) -> tuple[str, ...]:
    """The assets of one training, from its rows to its release."""
    candidates = [candidate.name for candidate in pipeline.candidates]
    return (
        *("training_set", *candidates, "selected", "bundle", "evaluation", "dossier"),
        *("registered_model", "release"),
    )
