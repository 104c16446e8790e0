"""ONNX model: an exported graph, run on a frame of features by itself.

The server and batch go through `perennial.prediction.scoring.Predictor`; this is the second opinion that parity asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import numpy as np


def answer_with_onnx(model: bytes, features: pl.DataFrame) -> np.ndarray[Any, Any]:
    """The graph's float64 answer for each row of features."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = {
        node.name: _column(features[node.name], text=node.type == "tensor(string)") for node in session.get_inputs()
    }
    return np.asarray(session.run(None, inputs)[0], dtype=np.float64).ravel()


def _column(values: pl.Series, *, text: bool) -> np.ndarray[Any, Any]:
    import numpy as np

    if text:
        return np.array([value or "" for value in values], dtype=object).reshape(-1, 1)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32).reshape(-1, 1)
