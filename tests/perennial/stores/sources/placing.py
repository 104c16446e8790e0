"""Placing: a pipeline whose declared source is changed in a test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perennial.declaration import Pipeline
from perennial.sources import Pushed


def placed(pipeline: Pipeline, **changed: Any) -> Pipeline:
    """`pipeline` with some fields of its source changed."""
    assert not isinstance(pipeline.source, Pushed)
    return replace(pipeline, source=replace(pipeline.source, **changed))
