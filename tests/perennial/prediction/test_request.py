"""Request: an instance fits exactly, or is refused with the name of its field."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perennial.bundle.bundle import open_bundle
from perennial.errors import RequestError
from perennial.prediction.request import BodyError, FieldError, RequestReader, list_in
from tests.bundles import an_instance, looking_up_bundle, small_bundle

READER = RequestReader(open_bundle(small_bundle()).schema)

BAD_FIELDS: list[tuple[str, Any]] = [
    ("distance", None),
    ("distance", "far"),
    ("distance", True),
    ("distance", float("nan")),
    ("distance", float("inf")),
    ("distance", -float("inf")),
    ("distance", 10**400),
    ("weight", 1e39),
    ("seats", 2.5),
    ("seats", 2.0),
    ("seats", 2**31),
    ("seats", True),
    ("meters", 2**63),
    ("meters", -(2**63) - 1),
    ("zone", None),
    ("zone", 7),
    ("zone", ["north"]),
    ("zone", "\ud800"),
    ("note", 1.5),
    ("rain", 1),
    ("rain", "true"),
    ("at_door", None),
    ("at_door", "yesterday"),
    ("at_door", "2024-02-30T10:00:00"),
    ("at_door", 1_709_280_000),
    ("at_door", "1899-12-31T23:59:59"),
    ("at_door", "2200-01-01T00:00:00"),
    ("at_door", "0001-01-01T00:00:00+14:00"),
    ("ride_id", "seven"),
    ("colour", "red"),
]


def _body(*instances: Any) -> bytes:
    return json.dumps({"instances": instances}).encode()


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_value_that_does_not_fit_is_refused_with_field_found_and_expected(field: str, value: Any) -> None:
    with pytest.raises(FieldError) as caught:
        READER.decode(_body(an_instance(), an_instance() | {field: value}))

    error = caught.value
    assert (error.index, error.field) == (1, field)
    assert error.found
    assert error.expected
    assert field in str(error)


@pytest.mark.parametrize("field", [column.name for column in READER.schema.columns])
def test_a_missing_field_is_named_even_where_null_is_allowed(field: str) -> None:
    instance = an_instance()
    del instance[field]

    with pytest.raises(FieldError, match=f"field '{field}' is missing"):
        READER.decode(_body(instance))


@pytest.mark.parametrize("instance", [None, 7, "text", [], [1]])
def test_an_instance_that_is_no_object_is_refused(instance: Any) -> None:
    with pytest.raises(FieldError, match="not an object"):
        READER.decode(_body(instance))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"a"',
        b'{"instances": {}}',
        b'{"instances": [], "more": 1}',
        b"{}",
        b"\xff",
        b"[" * 9999,
    ],
)
def test_a_body_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(BodyError):
        READER.decode(body)


def test_a_key_may_be_sent_and_is_kept_beside_what_the_model_reads() -> None:
    (row,) = READER.decode(_body(an_instance(ride_id=7)))

    assert msgspec.json.decode(msgspec.json.encode(row))["ride_id"] == 7
    assert READER.frame([row]).columns == [column.name for column in READER.schema.columns]


def test_no_instances_are_an_empty_frame_of_the_declared_types() -> None:
    frame = READER.frame(READER.decode(_body()))

    assert frame.schema == READER.schema.polars
    assert frame.height == 0


@pytest.mark.parametrize("sent", ["2024-07-01T10:30:00+02:00", "2024-07-01T08:30:00Z", "2024-07-01T10:30:00"])
def test_a_time_is_wall_clock_time_of_the_pipeline_whatever_its_offset(sent: str) -> None:
    (row,) = READER.decode(_body(an_instance(at_door=sent)))

    assert READER.frame([row])["at_door"].to_list() == [datetime(2024, 7, 1, 10, 30)]
    assert READER.event_time(row) == datetime(2024, 7, 1, 8, 30, tzinfo=UTC)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]),
    st.datetimes().map(datetime.isoformat), st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
)  # fmt: skip


@given(
    number=st.integers(0, 99),
    changes=st.dictionaries(st.sampled_from([*READER.schema.polars, "ride_id", "colour"]), VALUES, max_size=2),
)
@example(number=0, changes={"seats": 1.0})
@example(number=0, changes={"distance": 1})
def test_decoding_and_checking_agree_on_every_instance(number: int, changes: dict[str, Any]) -> None:
    instance = an_instance(number) | changes
    body = _body(instance)

    def outcome(read: Any, argument: Any) -> Any:
        try:
            return [msgspec.structs.astuple(row) for row in read(argument)]
        except RequestError as error:
            return str(error)

    assert outcome(READER.decode, body) == outcome(READER.check, list_in(body, "instances"))


@given(st.binary(max_size=40) | st.recursive(VALUES, lambda v: st.lists(v) | st.dictionaries(st.text(), v)).map(_body))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(BodyError, FieldError):
        READER.decode(body)


def looking_up(*instances: Any) -> list[Any]:
    return RequestReader(open_bundle(looking_up_bundle()).schema).decode(_body(*instances))


def test_a_lookup_may_be_carried_left_out_or_null_and_these_are_three_things() -> None:
    reader = RequestReader(open_bundle(looking_up_bundle()).schema)
    sent = [an_instance(), an_instance(zone_mean_7d=2.5), an_instance(zone_mean_7d=None)]

    carried = [reader.carried(row) for row in looking_up(*sent)]

    assert [one[0] for one in carried] == [msgspec.UNSET, 2.5, None]
    assert carried == [reader.carried(row) for row in reader.check(sent)]


def test_without_a_store_a_lookup_that_is_left_out_has_its_default() -> None:
    reader = RequestReader(open_bundle(looking_up_bundle()).schema)
    rows = looking_up(an_instance(), an_instance(zone_count_7d=None), an_instance(zone_mean_7d=1.0, zone_count_7d=2.0))

    frame = reader.frame(rows)

    assert frame["zone_mean_7d"].to_list() == [None, None, 1.0]
    assert frame["zone_count_7d"].to_list() == [0.5, None, 2.0]
    assert frame.columns == reader.schema.polars.names()


def test_the_log_writes_down_only_the_lookups_that_came() -> None:
    (left_out, carried) = looking_up(an_instance(), an_instance(zone_count_7d=2.0))

    assert "zone_count_7d" not in json.loads(msgspec.json.encode(left_out))
    assert json.loads(msgspec.json.encode(carried))["zone_count_7d"] == 2.0


@pytest.mark.parametrize("value", ["many", True, [1.0], 1e39])
def test_a_carried_lookup_of_another_type_is_named(value: Any) -> None:
    with pytest.raises(FieldError) as caught:
        looking_up(an_instance(zone_count_7d=value))

    assert caught.value.field == "zone_count_7d"
