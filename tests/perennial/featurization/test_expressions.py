"""Featurization: a feature looks at one row and nothing else, and that is proved."""

from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import FeatureError
from perennial.featurization.expressions import Feature, columns_of, declare_features, featurize

SCHEMA = pl.Schema({"d": pl.Float64(), "t": pl.Datetime("us"), "s": pl.String(), "n": pl.Int64()})
ROW_WISE = [
    pl.col("d").log1p().alias("log"),
    (pl.col("d") / 2 + pl.col("n")).clip(0, 10).alias("sum"),
    pl.col("t").dt.hour().alias("hour"),
    (pl.col("t").dt.weekday() >= 6).alias("weekend"),
    pl.col("s").str.to_lowercase().fill_null("none").alias("text"),
    pl.concat_str([pl.col("s"), pl.col("n").cast(pl.String)], separator="-").alias("pair"),
    pl.when(pl.col("d") > 1).then(pl.col("d")).otherwise(0.0).alias("when"),
    pl.col("n").is_in([1, 2]).alias("member"),
]


def declare(*expressions: pl.Expr) -> tuple[Feature, ...]:
    return declare_features(expressions, SCHEMA, where="pipeline 'x'")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (pl.col("d") - pl.col("d").mean(), "an aggregate"),
        (pl.col("d").map_elements(lambda value: value, return_dtype=pl.Float64).alias("f"), "a Python function"),
        (pl.col("d").map_batches(lambda values: values).alias("f"), "a Python function"),
        (pl.col("d").sum().over("s").alias("f"), "a window"),
        (pl.col("d").shift(1).alias("f"), "function Shift"),
        (pl.col("s").str.to_datetime().dt.year().alias("f"), "a time of no declared format"),
        (pl.col("d").rolling_mean(3).alias("f"), "function RollingExpr"),
        (pl.col("d").rank().alias("f"), "function Rank"),
        (pl.col("d").cum_sum().alias("f"), "function CumSum"),
        (pl.col("d").fill_null(strategy="forward").alias("f"), "function FillNullWithStrategy"),
        (pl.col("s").cast(pl.Categorical).to_physical().alias("f"), "function ToPhysical"),
        (pl.col("s").cast(pl.Categorical).alias("f"), "a cast to"),
        (pl.lit(pl.Series([1.0, 2.0])).alias("f"), "literal"),
        (pl.len().alias("f"), "expression"),
        (pl.col("d").sort().alias("f"), "expression"),
        (pl.col("d").filter(pl.col("n") > 1).alias("f"), "expression"),
        (pl.col("missing").alias("f"), "does not fit the schema"),
        (pl.col("t").alias("f"), "neither a number nor a text"),
        (pl.col("s") + 1, "does not fit the schema"),
    ],
)
def test_refuses_what_is_not_a_function_of_one_row(expression: pl.Expr, words: str) -> None:
    with pytest.raises(FeatureError, match=words):
        declare(expression)


def test_refuses_two_features_of_one_name() -> None:
    with pytest.raises(FeatureError, match="share one name"):
        declare(pl.col("d"), pl.col("n").alias("d"))


def test_checks_a_stored_feature_again_before_it_is_read_back() -> None:
    stored = pl.col("d").map_batches(lambda values: values).meta.serialize(format="json")

    with pytest.raises(FeatureError, match="a Python function"):
        _ = Feature(name="f", kind="number", stored=stored).expression


def test_numbers_are_float32_and_categories_are_texts() -> None:
    features = declare(*ROW_WISE)
    rows = pl.DataFrame({"d": [1.5], "t": [datetime(2024, 3, 2, 14)], "s": ["A"], "n": [2]}, schema=SCHEMA)

    values = featurize(rows, features)

    assert {f.name: f.kind for f in features if f.kind == "category"} == {"text": "category", "pair": "category"}
    assert values.to_dicts()[0] | {"log": None} == {
        "log": None, "sum": 2.75, "hour": 14.0, "weekend": 1.0, "text": "a", "pair": "A-2", "when": 1.5, "member": 1.0,
    }  # fmt: skip
    assert columns_of(features) == ["d", "n", "t", "s"]


def test_a_row_alone_is_divided_as_it_is_among_others() -> None:
    features = declare((pl.col("n") / 49).floor().alias("n"), (pl.col("d") / 0.1).floor().alias("d"))
    frame = pl.DataFrame({"d": [0.3, 0.7, 1.1], "n": [49, 98, 147]}, schema_overrides={"n": pl.Int64})

    alone = pl.concat([featurize(frame[row], features) for row in range(frame.height)])

    assert alone.equals(featurize(frame, features))


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1))),
        st.one_of(st.none(), st.text(max_size=4)),
        st.one_of(st.none(), st.integers(-100, 100)),
    ),
    min_size=1,
    max_size=10,
)


@given(ROWS)
def test_a_row_alone_has_the_features_that_it_has_among_others(rows: list[tuple[object, ...]]) -> None:
    features = declare(*ROW_WISE)
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    one_by_one: Callable[[int], pl.DataFrame] = lambda i: featurize(frame[i], features)  # noqa: E731

    together = featurize(frame, features)

    assert pl.concat([one_by_one(i) for i in range(frame.height)]).equals(together, null_equal=True)
