"""Prediction: a bundle's answer for rows, the same object in batch and behind the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from perennial.bundle.bundle import Bundle
from perennial.errors import BundleError
from perennial.featurization.expressions import select_features, selection
from perennial.featurization.views import feature_views
from perennial.prediction.request import RequestReader
from perennial.training.candidates.base import OUTPUT

if TYPE_CHECKING:
    import numpy as np

    from perennial.declaration import Pipeline


class Predictor:
    """Featurizes and scores rows by one bundle; one thread, so that callers decide on parallelism."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.reader = RequestReader(bundle.schema)
        self._session = _open_session(bundle)
        self.inputs = [node.name for node in self._session.get_inputs()]
        """Features that the model reads, in its order."""
        self._selection = selection(bundle.features)
        self._numbers = {feature.name for feature in bundle.features if feature.kind == "number"}

    def featurize(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The features of each row: numbers as Float32, categories as String, nulls kept."""
        return select_features(rows, self._selection)

    def score(self, features: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One float64 prediction a row of features. A null is NaN or "" at the model's door."""
        import numpy as np

        if features.height == 0:
            return np.empty(0, np.float64)
        (answer,) = self._session.run([OUTPUT], {name: self._input(features[name]) for name in self.inputs})
        return np.asarray(answer, np.float64).reshape(-1)

    def predict(self, rows: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One float64 prediction a row; columns that the features do not read are ignored."""
        return self.score(self.featurize(rows))

    def predict_rows(self, rows: pl.DataFrame, *, key: Sequence[str], version: int) -> pl.DataFrame:
        """The `key` columns of `rows` with `version`, `bundle` and `prediction`, a row for each."""
        return rows.select(*dict.fromkeys(key)).with_columns(
            version=pl.lit(version, pl.Int64),
            bundle=pl.lit(self.bundle.sha256),
            prediction=pl.Series("prediction", self.predict(rows), pl.Float64),
        )

    def warm_up(self) -> None:
        """Answer golden rows once, so that the first request does not pay for what is made lazily."""
        self.predict(self.bundle.golden.head(16))

    def _input(self, values: pl.Series) -> Any:
        import numpy as np

        if values.name in self._numbers:
            return values.to_numpy().reshape(-1, 1)  # Polars gives a null as NaN
        texts = ["" if value is None else value for value in values.to_list()]
        return np.array(texts, dtype=object).reshape(-1, 1)


def refuse_other_lookups(bundle: Bundle, pipeline: Pipeline) -> None:
    """Raise BundleError when `bundle` learned from aggregates that `pipeline` does not declare so today."""
    meanings = {name: sha256 for view in feature_views(pipeline) for name, sha256 in view.features.items()}
    today = {a.name: (meanings[a.name], a.default) for a in pipeline.checked_aggregates}
    other = [look.name for look in bundle.schema.lookups if today.get(look.name) != (look.declared, look.default)]
    if other:
        raise BundleError(
            f"it looks up {', '.join(other)}, which today's declaration does not hold so",
            where=f"{pipeline.name} as of {bundle.as_of}",
            found=f"bundle {bundle.sha256}",
            expected=f"today's aggregates: {', '.join(today) or 'none'}",
            hint=f"perennial train {pipeline.name} AS_OF, or declare them again as they were",
        )


def _open_session(bundle: Bundle) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    known = {feature.name for feature in bundle.features}
    stray = sorted({node.name for node in session.get_inputs()} - known)
    if stray:
        raise BundleError(
            f"the model reads {', '.join(stray)}, which is no feature",
            where=f"bundle {bundle.sha256}",
            expected=f"inputs among {', '.join(sorted(known))}",
        )
    return session
