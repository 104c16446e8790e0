"""Pushed events: what a source takes, where an event lands, and which of several with one key counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import Column, Daily, Schema
from perennial.casting import cast_partition
from perennial.errors import DeclarationError
from perennial.ingestion.pushed import AHEAD, Intake, frame_of, intake_of
from perennial.prediction.request import FieldError
from tests.pushes import an_event, pushed_pipeline

PIPELINE = pushed_pipeline()
INTAKE = intake_of(PIPELINE)
NOW = datetime(2024, 1, 2, tzinfo=UTC)


def checked(*events: dict[str, Any], intake: Intake = INTAKE) -> dict[str, list[Any]]:
    return intake.partitions_of(intake.reader.check(events), now=NOW)


def test_an_intake_is_read_back_as_it_was_published() -> None:
    assert Intake.from_json(INTAKE.to_json().encode()) == INTAKE
    assert [column.name for column in INTAKE.schema.columns] == ["rideId", "startedAt", "distance", "riders"]
    assert [column.name for column in INTAKE.schema.optional] == ["endedAt"]


def test_an_event_lands_in_the_hour_of_its_own_time() -> None:
    found = checked(
        an_event(0),
        an_event(1, startedAt="2024-01-01T13:59:59.999"),
        an_event(2, startedAt="2024-01-01T15:30:00+02:00"),
    )

    assert {key: len(rows) for key, rows in found.items()} == {"2024-01-01T00": 1, "2024-01-01T13": 2}


@given(st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 1, 23)), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_the_server_and_the_graph_agree_on_the_partition(began: datetime, timezone: str) -> None:
    calendar = Daily(start="2023-12-01", event_time="began", timezone=timezone)
    intake = intake_of(pushed_pipeline(time=calendar))
    [key] = checked(an_event(0, startedAt=began.isoformat()), intake=intake)

    instant = pl.DataFrame({"began": [began]}).select(calendar.utc("began")).item()

    assert key == calendar.key_of(instant)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"riders": "two"}, r"events\[1\]: field 'riders' does not fit, found \"two\", expected an integer of 32 bits"),
        ({"riders": 2**40}, r"events\[1\]: field 'riders' does not fit"),
        ({"rideId": None}, r"events\[1\]: field 'rideId' is null, found null, expected a text"),
        ({"startedAt": None}, r"events\[1\]: field 'startedAt' is null"),
        ({"began": "2024-01-01"}, r"events\[1\]: field 'began' is not known"),
        ({"startedAt": "2023-12-31T23:59:59"}, r"lies in partition 2023-12-31T23, .*expected partition 2024-01-01T00"),
        ({"startedAt": (NOW + AHEAD + timedelta(seconds=1)).isoformat()}, r"field 'startedAt' lies in the future"),
    ],
)
def test_a_wrong_event_is_named_with_its_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message) as refused:
        checked(an_event(0), an_event(1, **changed))

    assert refused.value.index == 1


def test_null_is_for_expectations_to_judge_and_what_comes_with_the_label_may_be_absent() -> None:
    assert checked(an_event(0, distance=None), an_event(1, endedAt=None), an_event(2, endedAt="2024-01-01T01:00:00"))


def test_a_missing_field_is_named() -> None:
    event = an_event(0)
    del event["distance"]

    with pytest.raises(FieldError, match="field 'distance' is missing"):
        checked(event)


def test_a_computed_column_cannot_be_pushed() -> None:
    columns = {**PIPELINE.schema.columns, "distance": Column("float64", source=pl.col("meters") / 1000)}

    with pytest.raises(DeclarationError, match="column 'distance' of a pushed source is computed"):
        intake_of(pushed_pipeline(schema=Schema(columns)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1))
def test_of_events_with_one_key_the_last_counts_at_the_place_of_the_first(sent: list[tuple[int, int]]) -> None:
    events = [an_event(0, rideId=f"{ride}", riders=riders) for ride, riders in sent]

    frame = frame_of(events, INTAKE)

    assert dict(frame.select("rideId", "riders").rows()) == {f"{ride}": riders for ride, riders in sent}
    assert frame["rideId"].to_list() == list(dict.fromkeys(f"{ride}" for ride, _ in sent))


def test_events_become_rows_that_fit_the_declared_schema() -> None:
    events = [an_event(0, distance=None), an_event(1, distance=1, endedAt="2024-01-01T00:09:00.25"), an_event(2)]

    rows = cast_partition(frame_of(events, INTAKE), PIPELINE.schema, where="a test").frame

    assert rows.schema == PIPELINE.schema.polars
    assert rows["distance"].to_list() == [None, 1.0, 0.2]
    assert rows["ended"].to_list() == [None, datetime(2024, 1, 1, 0, 9, 0, 250_000), None]
