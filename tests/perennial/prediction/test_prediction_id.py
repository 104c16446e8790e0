"""Prediction ids: only what was issued is accepted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import UnknownPrediction
from perennial.prediction.prediction_id import issue, verify

SECRET = bytes(range(32))
partitions = st.sampled_from(["2024-02-29", "2024-02", "2024-02-29T13"]) | st.from_regex(r"\A[0-9A-Za-z-]{1,20}\Z")


@given(partitions, st.from_regex(r"\A[a-z][a-z0-9_]{1,20}\Z"))
def test_an_id_tells_its_partition_to_the_pipeline_that_issued_it(partition: str, pipeline: str) -> None:
    prediction_id = issue(pipeline, partition, SECRET)

    assert verify(pipeline, prediction_id, SECRET) == partition
    assert re.fullmatch(re.escape(partition) + r"-[0-9a-f]{16}-[0-9a-f]{16}", prediction_id)


@given(partitions, st.data())
def test_an_id_with_one_character_changed_is_unknown(partition: str, data: st.DataObject) -> None:
    prediction_id = issue("eta", partition, SECRET)
    at = data.draw(st.integers(0, len(prediction_id) - 1))
    other = data.draw(st.characters().filter(lambda sign: sign != prediction_id[at]))

    with pytest.raises(UnknownPrediction):
        verify("eta", prediction_id[:at] + other + prediction_id[at + 1 :], SECRET)


@given(st.text())
def test_any_other_text_is_unknown(text: str) -> None:
    with pytest.raises(UnknownPrediction):
        verify("eta", text, SECRET)


def test_an_id_of_another_pipeline_or_another_system_is_unknown() -> None:
    prediction_id = issue("eta", "2024-02-29", SECRET)

    for pipeline, secret in (("fare", SECRET), ("eta", bytes(32))):
        with pytest.raises(UnknownPrediction, match=f"{pipeline}: no such prediction was made, found '2024-02-29-"):
            verify(pipeline, prediction_id, secret)


def test_ten_thousand_ids_are_all_different() -> None:
    assert len({issue("eta", "2024-02-29", SECRET) for _ in range(10_000)}) == 10_000
