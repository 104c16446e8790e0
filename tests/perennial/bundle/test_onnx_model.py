"""ONNX model: the graph alone, fed with nothing but a frame of features."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from perennial.bundle.onnx_model import answer_with_onnx
from perennial.featurization.expressions import declare_features
from perennial.objective import Regression, ShareWithin
from perennial.training.candidates.base import Rows
from perennial.training.candidates.median import Median

SCHEMA = pl.Schema({"zone": pl.String, "km": pl.Float64})
FEATURES = declare_features([pl.col("zone"), pl.col("km")], SCHEMA, where="eta")
FITTED = Median(by="zone").fit(
    Rows(
        features=pl.DataFrame({"zone": ["a", "a", "b", None], "km": [1.0, 2.0, 3.0, 4.0]}),
        label=np.array([10.0, 20.0, 40.0, 7.0]),
    ),
    None,
    features=FEATURES,
    objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(1.0)),
    seed=0,
)
GRAPH = FITTED.to_onnx()


@given(st.lists(st.none() | st.sampled_from(["a", "b", "", "never seen", "é"]), min_size=1, max_size=9))
def test_each_row_has_one_answer_in_order_unseen_and_null_included(zones: list[str | None]) -> None:
    rows = pl.DataFrame({"zone": zones, "km": [None] * len(zones)}, schema=SCHEMA)

    answers = answer_with_onnx(GRAPH, rows)

    known = {"a": 15.0, "b": 40.0, "": 7.0, None: 7.0}
    assert answers.dtype == np.float64
    assert answers.tolist() == [known.get(zone, 15.0) for zone in zones]
