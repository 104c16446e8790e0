"""Answered: a pipeline reads an inference log that is there, and keeps what is personal or barred so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perennial import Column, Daily, InferenceLog, Median, Rules, Schema, col
from perennial.declaration import Pipeline
from perennial.errors import DeclarationError
from perennial.ingestion.answered import check_log
from tests.answers import COLUMNS, reading_pipeline
from tests.bundles import small_pipeline

LOGGED = small_pipeline("rides")


def reading(**columns: Column) -> Pipeline:
    return reading_pipeline(schema=Schema({**COLUMNS, **columns}, allow_additional=True))


def personal(name: str, rules: Rules | None = None) -> Pipeline:
    """The logged pipeline with a personal column."""
    columns = {**LOGGED.schema.columns, name: replace(LOGGED.schema.columns[name], pii=True)}
    return replace(LOGGED, schema=Schema(columns), rules=rules or Rules(pii_in_features=True))


def refused(pipeline: Pipeline, logged: Pipeline = LOGGED) -> str:
    with pytest.raises(DeclarationError) as caught:
        check_log(pipeline, {"rides": logged})
    return str(caught.value)


def test_a_pipeline_that_fits_the_log_loads_and_so_does_one_that_reads_none() -> None:
    check_log(reading_pipeline(), {"rides": LOGGED})
    check_log(reading(ride=Column("int64", source="ride_id")), {"rides": LOGGED})
    check_log(LOGGED, {})


def test_a_log_of_no_pipeline_is_refused_with_those_there_are() -> None:
    pipeline = reading_pipeline(source=InferenceLog("riddes"))

    assert refused(pipeline) == (
        "pipeline 'rides_error': field 'source' does not fit, found 'riddes', expected a pipeline that loads (rides)."
    )


@pytest.mark.parametrize("source", ["colour", col("zone") + col("colour")])
def test_a_column_that_is_not_in_the_log_is_refused_with_those_that_are(source: Any) -> None:
    error = refused(reading(place=Column("string", source=source)))

    assert "field 'schema[place].source' does not fit, found 'colour'" in error
    assert "a column of the log of rides (prediction_id, asked_at, predicted," in error
    assert "at_door, " in error


def test_a_column_known_with_the_label_is_not_in_the_log() -> None:
    assert "found 'ended'" in refused(reading(ended=Column("datetime")))


@pytest.mark.parametrize("column", [Column("string"), Column("string", source=col("zone") + "!")])
def test_what_is_personal_where_it_was_asked_for_is_declared_personal_by_who_reads_it(column: Column) -> None:
    open_, closed = reading(zone=column), reading_pipeline(
        schema=Schema({**COLUMNS, "zone": replace(column, pii=True)}, allow_additional=True),
        features=[col("distance")], candidates=[Median(by="distance")],
    )  # fmt: skip

    error = refused(open_, personal("zone"))
    check_log(closed, {"rides": personal("zone")})

    assert "field 'schema[zone]' does not fit, found no personal data, expected Column(..., pii=True)" in error


def test_what_is_barred_where_it_was_asked_for_is_barred_by_who_reads_it() -> None:
    logged = replace(LOGGED, rules=Rules(barred=("ride_id",)))
    column = Column("int64", source="ride_id")

    error = refused(reading(ride=column), logged)
    check_log(replace(reading(ride=column), rules=Rules(barred=("ride_id",))), {"rides": logged})

    assert "field 'schema[ride]' does not fit, found ride_id, expected a column that is barred here too" in error


def test_its_partitions_are_cut_by_when_it_was_asked() -> None:
    columns = {**COLUMNS, "door": Column("datetime", source="at_door"), "asked": Column("datetime", source="asked_at")}
    schema = Schema(columns, allow_additional=True)

    with pytest.raises(DeclarationError, match=r"'time.event_time' does not fit, found 'door', expected the log's"):
        reading_pipeline(schema=schema, time=Daily(start="2024-01-01", event_time="door"))
    reading_pipeline(schema=schema, time=Daily(start="2024-01-01", event_time="asked"))


def test_a_log_may_be_that_of_the_pipeline_itself() -> None:
    own = reading_pipeline(source=InferenceLog("rides_error"))
    check_log(own, {"rides_error": own})

    both = replace(own, schema=Schema({**COLUMNS, "then": Column("datetime", source="request.asked_at")}))
    check_log(both, {"rides_error": both})
