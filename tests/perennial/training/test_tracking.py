"""Tracking: one record, one id; what waits on disk says the same later."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name

from perennial.training.tracking import (
    BUNDLE_TAG,
    VERSION_TAG,
    ChampionMirror,
    RunRecord,
    VersionMirror,
    mirror_from_json,
    mirror_to_json,
    record_from_json,
    record_id,
    record_to_json,
    with_safe_names,
)

AT = datetime(2024, 3, 1, tzinfo=UTC)
words = st.text(max_size=40)
asked = st.fixed_dictionaries(dict.fromkeys(("pipeline", "as_of", "candidate", "content_hash", "attempt"), words))
numbers = st.floats(allow_nan=False)


def a_record(**changes: Any) -> RunRecord:
    given_: dict[str, Any] = {"id": "a", "experiment": "eta", "name": "linear", "started_at": AT, "ended_at": AT}
    return RunRecord(**{**given_, **changes})


@given(one=asked, other=asked)
def test_two_fits_share_an_id_only_if_they_share_all_that_names_them(one: dict[str, str], other: dict[str, str]):
    assert (record_id(**one) == record_id(**other)) == (one == other)


def test_words_that_flow_together_give_another_id():
    same = {"as_of": "2024", "candidate": "c", "content_hash": "h", "attempt": "1"}
    one = record_id(pipeline="eta", **same)
    other = record_id(pipeline="eta", **{**same, "candidate": "c-h", "content_hash": ""})

    assert one != other
    assert one.startswith("eta-2024-c-")


@given(asked=asked)
def test_every_id_is_one_that_a_record_takes(asked: dict[str, str]):
    assert a_record(id=record_id(**asked)).id == record_id(**asked)


@given(values=st.dictionaries(words | st.text("a_/.[ ", max_size=6), numbers, max_size=8))
def test_safe_names_are_mlflows_and_lose_no_value(values: dict[str, float]):
    safe = with_safe_names(values)

    assert sorted(safe.values()) == sorted(values.values())
    for name in safe:
        _validate_metric_name(name)
        _validate_param_name(name)
        _validate_tag_name(name)


def test_a_name_that_is_safe_stays_as_it_is():
    assert with_safe_names({"mae/zone_7_": 1, "mae/zone[7]": 2})["mae/zone_7_"] == 1


@given(
    metrics=st.dictionaries(words, numbers, max_size=3),
    tags=st.dictionaries(words, words, max_size=3),
    curve=st.lists(numbers, max_size=5).map(tuple),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_a_record_comes_back_from_its_text(metrics, tags, curve, at):
    record = a_record(metrics=metrics, curves={f"curve{len(metrics)}-of-them": curve}, tags=tags, ended_at=at)

    assert record_from_json(record_to_json(record)) == record


@given(number=st.integers(min_value=1), tags=st.dictionaries(words, words, max_size=3), run=st.none() | words)
def test_a_mirror_comes_back_from_its_text(number: int, tags: dict[str, str], run: str | None):
    version = VersionMirror(pipeline="eta", number=number, bundle_sha256="ab", source="/b", run_id=run, tags=tags)
    champion = ChampionMirror(pipeline="eta", number=number)

    assert mirror_from_json(mirror_to_json(version)) == version
    assert mirror_from_json(mirror_to_json(champion)) == champion


def test_no_given_tag_hides_which_version_a_mirror_is():
    mirror = VersionMirror(
        pipeline="eta", number=7, bundle_sha256="ab", source="/b", tags={VERSION_TAG: "9", BUNDLE_TAG: "x", "git": "c"}
    )

    assert mirror.all_tags[VERSION_TAG] == "7"
    assert mirror.all_tags[BUNDLE_TAG] == "ab"
    assert mirror.all_tags["git"] == "c"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "../a"}, "record id '../a' is not of the form"),
        ({"ended_at": AT.replace(tzinfo=None)}, "must be aware"),
        ({"metrics": {"mae": 1.0}, "curves": {"mae": (1.0,)}}, r"\['mae'\] are metrics and curves"),
        ({"artifacts": {"../x": b""}}, r"artifact paths \['../x'\] are not relative and plain"),
        ({"artifacts": {"/x": b""}}, "not relative and plain"),
        ({"artifacts": {"a//x": b""}}, "not relative and plain"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        a_record(**changes)
