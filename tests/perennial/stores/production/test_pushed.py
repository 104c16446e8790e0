"""Pushed events on disk: what was accepted is read once, in the order of arrival, whatever was torn or repeated."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perennial import Late
from perennial.errors import SourceUnreachable
from perennial.ingestion.landing import land
from perennial.ingestion.pushed import intake_of
from perennial.stores.production import pushed
from perennial.stores.production.pushed import (
    EventLog,
    PushedEvents,
    batch_id,
    find_intake,
    known_intakes,
    publish,
    publish_all,
)
from perennial.stores.production.segments import segments_in
from perennial.validation.verdicts import split_rows
from pipelines.delivery_eta import delivery_eta
from tests.pushes import an_event, pushed_pipeline

PIPELINE = pushed_pipeline()
INTAKE = intake_of(PIPELINE)
NOW = datetime(2024, 1, 2, tzinfo=UTC)
HOUR = "2024-01-01T00"


def keep(log: EventLog, *events: dict[str, Any], batch: str | None = None, at: datetime = NOW) -> None:
    partitions = INTAKE.partitions_of(INTAKE.reader.check(events), now=NOW)
    log.keep("rides", batch or batch_id(None, b""), partitions, at=at)


def riders(root: Path, hour: str = HOUR) -> dict[str, int]:
    arrival = PushedEvents(root).read(PIPELINE, hour, fetched_at=NOW)
    return dict(arrival.frame.select("rideId", "riders").rows())


def test_events_are_read_with_where_they_came_from(tmp_path: Path) -> None:
    keep(EventLog(root=tmp_path), an_event(0), an_event(1), an_event(100))

    arrival = PushedEvents(tmp_path).read(PIPELINE, HOUR, fetched_at=NOW)

    assert arrival.frame["rideId"].to_list() == ["ride-0", "ride-1"]
    assert arrival.uri == (tmp_path / "rides" / HOUR).as_uri()
    assert arrival.size > 0
    assert PushedEvents(tmp_path).signatures(PIPELINE, [HOUR, "2024-01-01T01", "2024-01-01T02"]).keys() == {
        HOUR, "2024-01-01T01",
    }  # fmt: skip


def test_a_correction_counts_from_its_arrival_and_a_repetition_changes_nothing(tmp_path: Path) -> None:
    log = EventLog(root=tmp_path)
    keep(log, an_event(0, riders=1), batch="first")
    before = PushedEvents(tmp_path).read(PIPELINE, HOUR, fetched_at=NOW)
    signature = PushedEvents(tmp_path).signatures(PIPELINE, [HOUR])
    keep(log, an_event(0, riders=1), batch="first")
    again = PushedEvents(tmp_path).read(PIPELINE, HOUR, fetched_at=NOW)

    keep(EventLog(root=tmp_path), an_event(0, riders=2), at=NOW + timedelta(seconds=1))
    keep(EventLog(root=tmp_path), an_event(0, riders=1), batch="first", at=NOW + timedelta(seconds=2))

    assert again.sha256 == before.sha256
    assert PushedEvents(tmp_path).signatures(PIPELINE, [HOUR]) != signature
    assert riders(tmp_path) == {"ride-0": 2}, "the first request, sent again, does not undo the correction"


def test_the_clock_of_a_process_does_not_turn_the_order_round(tmp_path: Path) -> None:
    log = EventLog(root=tmp_path)
    keep(log, an_event(0, riders=1), at=NOW)
    keep(log, an_event(0, riders=2), at=NOW - timedelta(hours=1))

    assert riders(tmp_path) == {"ride-0": 2}


def test_a_torn_line_is_nobodys_and_a_spoilt_one_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog(root=tmp_path)
    keep(log, an_event(0))
    [segment] = segments_in(tmp_path / "rides" / HOUR)
    with segment.open("ab") as file:
        file.write(b'\0\0\0\n{"id": "torn", "events": [')

    with caplog.at_level(logging.WARNING):
        assert riders(tmp_path) == {"ride-0": 1}

    assert "line 2 is no batch of events" in caplog.text


def test_few_segments_stay_open_however_many_hours_events_belong_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushed, "MOST_OPEN", 3)
    log = EventLog(root=tmp_path)
    for number in range(40):
        keep(log, an_event(number * 100 + number))

    assert len(log._writers) == 3
    assert sum(len(riders(tmp_path, f"2024-01-01T{hour:02d}")) for hour in range(20)) == 40


def test_an_event_is_known_when_it_was_received_and_not_before(tmp_path: Path) -> None:
    pipeline = pushed_pipeline(late=Late(accept_for=timedelta(hours=1)))
    end = pipeline.time.known_at(HOUR)
    log = EventLog(root=tmp_path)
    keep(log, an_event(0), an_event(1), at=end - timedelta(minutes=5))
    keep(log, an_event(1), an_event(2), at=end + timedelta(minutes=30))
    keep(log, an_event(0, riders=2), an_event(3), at=end + timedelta(hours=30))

    landed = land(pipeline, PushedEvents(tmp_path).read(pipeline, HOUR, fetched_at=end + timedelta(hours=48)))

    late = {"ride-0": 30.0, "ride-1": 0.0, "ride-2": 0.5, "ride-3": 30.0}
    known = landed.frame.select("ride", (pl.col("known_at") - end).dt.total_minutes() / 60)
    assert dict(known.rows()) == late
    split = split_rows(landed.frame, pipeline.judged, pipeline.time)
    assert split.accepted["ride"].to_list() == ["ride-1", "ride-2"]


def test_an_hour_without_events_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=f"rides {HOUR}: no event was pushed"):
        PushedEvents(tmp_path).read(PIPELINE, HOUR, fetched_at=NOW)


def test_looking_for_arrivals_tells_the_server_what_is_declared_now(tmp_path: Path) -> None:
    assert find_intake(tmp_path, "rides") is None
    assert PushedEvents(tmp_path).signatures(PIPELINE, [HOUR]) == {}
    found = find_intake(tmp_path, "rides")
    assert found is not None
    assert found[1] == INTAKE

    inode = (tmp_path / "rides" / "intake.json").stat().st_ino
    publish(tmp_path, PIPELINE)

    assert (tmp_path / "rides" / "intake.json").stat().st_ino == inode, "equal text is not written again"
    assert known_intakes(tmp_path) == ["rides"]


def test_only_pushed_sources_are_published(tmp_path: Path) -> None:
    publish_all(tmp_path, [PIPELINE, delivery_eta])

    assert known_intakes(tmp_path) == ["rides"]


def test_a_request_is_named_by_its_key_and_body_and_without_a_key_by_chance() -> None:
    assert batch_id("key", b"body") == batch_id("key", b"body")
    assert len({batch_id("key", b"body"), batch_id("key", b"other"), batch_id("kez", b"body")}) == 3
    assert batch_id(None, b"body") != batch_id(None, b"body")
