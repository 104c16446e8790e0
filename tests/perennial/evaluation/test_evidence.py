"""Plain JSON of whatever a decision rested on."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perennial.evaluation.evidence import plain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
)


@given(values)
def test_what_comes_out_survives_json_and_is_left_as_it_is(value: object) -> None:
    once = plain(value)

    assert json.loads(json.dumps(once, allow_nan=False)) == once
    assert plain(once) == once


def test_numpy_sets_and_instants_become_what_json_can_say() -> None:
    value = {"n": np.int64(3), "e": np.float32(0.5), "nan": np.float64("nan"), "keys": {"b", "a"}}

    assert plain(value) == {"n": 3, "e": 0.5, "nan": None, "keys": ["a", "b"]}
    assert plain(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01 00:00:00+00:00"
