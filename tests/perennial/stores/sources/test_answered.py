"""Answered: a partition is what was asked in it, with what the bundle that answered says of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Column, Daily, Hourly, Median, Schema
from perennial.bundle.bundle import MANIFEST, seal
from perennial.bundle.manifest import describe_requests
from perennial.content import content_hash
from perennial.declaration import Pipeline
from perennial.errors import SourceError, SourceUnreachable
from perennial.ingestion.landing import land
from perennial.settings import home_at
from perennial.stores.models.bundles import BundleStore
from perennial.stores.operations import Operations, Outcome
from perennial.stores.production.inference_log import take_in
from perennial.stores.production.segments import Record, SegmentWriter
from perennial.stores.sources import Sources
from tests.answers import COLUMNS, reading_pipeline
from tests.bundles import an_instance, small_bundle, small_pipeline

LATER = datetime(2026, 1, 1, tzinfo=UTC)
EARLY = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAYS = ["2024-02-29", "2024-03-01", "2024-03-02", "2024-03-03"]
READING = reading_pipeline()


@dataclass(frozen=True, kw_only=True)
class Served:
    """A home whose server answered for `rides`."""

    root: Path
    operations: Operations

    @property
    def sources(self) -> Sources:
        return Sources(home=self.root, environment={}, state=home_at(self.root))

    def bundle(self, files: dict[str, bytes]) -> str:
        return BundleStore(home_at(self.root).bundles).put(files)

    def answer(self, *records: Record) -> None:
        """Log these and take them into the lake."""
        home = home_at(self.root)
        writer = SegmentWriter(home.inference / "rides")
        writer.append(records)
        writer.close()
        take_in(home.inference / "rides", f"{home.lake}/rides/inference_log")

    def report(self, number: int, label: float, *, at: datetime = LATER, partition: str = "2024-03-01") -> None:
        outcome = Outcome(prediction_id=f"id-{number:03}", partition=partition, label=label)
        self.operations.add_feedback("rides", [outcome], at=at)

    def rows(self, day: str, pipeline: Pipeline = READING) -> pl.DataFrame:
        return land(pipeline, self.sources.read(pipeline, day, fetched_at=LATER)).frame

    def signatures(self, pipeline: Pipeline = READING, days: Sequence[str] = DAYS) -> dict[str, str]:
        return self.sources.signatures(pipeline, list(days))


def opened(root: Path) -> Served:
    root.mkdir(parents=True, exist_ok=True)
    operations = Operations(home_at(root).operations_url)
    operations.migrate()
    return Served(root=root, operations=operations)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = opened(tmp_path / "home")
    yield served
    served.operations.close()


def a_record(number: int, at: datetime, bundle: str, **instance: Any) -> Record:
    return Record(
        id=f"id-{number:03}", at=at, event_time=EARLY, pipeline="rides", version=1, bundle=bundle,
        partition="2024-03-01", prediction=float(number), latency_ms=0.5, features={},
        instance=instance or an_instance(number),
    )  # fmt: skip


def with_requests(pipeline: Pipeline) -> dict[str, bytes]:
    """The small bundle, with the requests of `pipeline`."""
    files = small_bundle()
    sealed = {name: content for name, content in files.items() if name != MANIFEST}
    manifest = {"pipeline": "rides", "as_of": "2024-01-31", "candidate": "by_hand", "declaration_hash": pipeline.hash}
    return seal({**sealed, "schema.json": describe_requests(pipeline)}, manifest)


def test_while_nothing_was_taken_in_there_is_no_log(served: Served) -> None:
    for look in (lambda: served.rows(DAYS[1]), served.signatures):
        with pytest.raises(
            SourceUnreachable, match=r"no inference log yet, found no table .*rides/inference_log.*Hint"
        ):
            look()


def test_the_log_lies_in_the_lake_of_the_home_that_is_given_wherever_that_is(served: Served, tmp_path: Path) -> None:
    home = replace(home_at(served.root), lake=str(tmp_path / "elsewhere"))
    away = Sources(home=home.root, environment={}, state=home)
    served.answer(a_record(1, EARLY, served.bundle(small_bundle())))
    Path(home_at(served.root).lake).rename(home.lake)

    assert set(away.signatures(READING, DAYS)) == {"2024-03-01"}
    with pytest.raises(SourceError, match=r"rides_error: an inference log is read in no home.*Hint: Sources\(home="):
        Sources(home=home.root, environment={}).signatures(READING, DAYS)


def test_a_log_is_looked_at_every_five_minutes(served: Served) -> None:
    assert served.sources.look_every(READING, lookups=True) == timedelta(minutes=5)


def test_a_day_on_which_nobody_asked_is_told(served: Served) -> None:
    served.answer(a_record(1, EARLY, served.bundle(small_bundle())))

    with pytest.raises(
        SourceError, match=r"rides_error 2024-03-02: the log has no answers of the partition, found none"
    ):
        served.rows("2024-03-02")
    assert set(served.signatures()) == {"2024-03-01"}


def test_a_row_lies_where_it_was_asked_by_the_readers_own_calendar(served: Served) -> None:
    bundle = served.bundle(small_bundle())
    times = [datetime(2024, 3, 1, 22, 59, 59, 999_999, UTC), datetime(2024, 3, 1, 23, tzinfo=UTC)]  # Berlin is UTC + 1
    served.answer(*(a_record(number, at, bundle) for number, at in enumerate(times)))
    by_hour = replace(READING, time=Hourly(start="2024-01-01T00", event_time="asked_at"))

    assert served.rows("2024-03-01")["prediction_id"].to_list() == ["id-000"]
    assert served.rows("2024-03-02")["asked_at"].to_list() == [datetime(2024, 3, 2)]
    assert set(served.signatures(by_hour, ["2024-03-01T22", "2024-03-01T23", "2024-03-02T00"])) == {
        "2024-03-01T22",
        "2024-03-01T23",
    }
    assert served.rows("2024-03-01T23", by_hour)["event_time"].to_list() == [times[1]]


def test_a_row_is_known_when_it_was_asked_or_its_outcome_told_but_not_before_its_partition(served: Served) -> None:
    served.answer(*(a_record(number, EARLY, served.bundle(small_bundle())) for number in range(3)))
    told = datetime(2024, 3, 5, tzinfo=UTC)
    served.report(1, 7.0, at=told)

    rows = served.rows("2024-03-01")

    end = READING.time.known_at("2024-03-01")
    assert rows["known_at"].to_list() == [end, told, end]
    assert rows["outcome_at"].to_list() == [None, datetime(2024, 3, 5, 1), None]


def test_the_newest_outcome_counts(served: Served) -> None:
    served.answer(a_record(1, EARLY, served.bundle(small_bundle())))
    served.report(1, 7.0)
    served.report(1, 8.0, at=LATER + timedelta(days=1))

    assert served.rows("2024-03-01")["outcome"].to_list() == [8.0]


def test_what_an_older_version_was_not_asked_for_is_null(served: Served) -> None:
    more = small_pipeline("rides")
    features = [one for one in more.features if "zone" not in one.meta.root_names()]
    less = replace(more, features=features, candidates=[Median(by="hour")])
    older = {name: value for name, value in an_instance(1).items() if name not in {"zone", "note"}}
    served.answer(
        a_record(1, EARLY, served.bundle(with_requests(less)), **older),
        a_record(2, EARLY, served.bundle(small_bundle())),
    )

    assert served.rows("2024-03-01").select("prediction_id", "zone").rows() == [("id-001", None), ("id-002", "north")]


def test_versions_that_disagree_on_a_type_are_told(served: Served) -> None:
    other = small_pipeline("rides")
    columns = {**other.schema.columns, "rain": Column("string")}
    features = [f for f in other.features if "rain" not in f.meta.root_names()]
    other = replace(other, schema=Schema(columns), features=[*features, pl.col("rain")])
    served.answer(
        a_record(1, EARLY, served.bundle(with_requests(other)), **an_instance(1, rain="much")),
        a_record(2, EARLY, served.bundle(small_bundle())),
    )

    with pytest.raises(
        SourceError, match="were asked for field 'rain' in several types, found Boolean, String"
    ) as caught:
        served.rows("2024-03-01")
    assert caught.value.signature == served.signatures()["2024-03-01"]


def test_a_time_of_a_request_is_read_on_the_readers_clock(served: Served) -> None:
    served.answer(a_record(1, EARLY, served.bundle(small_bundle()), **an_instance(1, at_door="2024-03-01T08:00:00")))
    schema = Schema({**COLUMNS, "at_door": Column("datetime")}, allow_additional=True)
    berlin, tokyo = (
        replace(READING, schema=schema, time=Daily(start="2024-01-01", event_time="asked_at", timezone=zone))
        for zone in ("Europe/Berlin", "Asia/Tokyo")
    )

    assert served.rows("2024-03-01", berlin)["at_door"].to_list() == [datetime(2024, 3, 1, 8)]
    assert served.rows("2024-03-01", tokyo)["at_door"].to_list() == [datetime(2024, 3, 1, 16)]


def test_a_field_with_a_name_of_the_log_is_told_apart(served: Served) -> None:
    other = small_pipeline("rides")
    columns = {**other.schema.columns, "predicted": Column("float64")}
    other = replace(other, schema=Schema(columns), features=[*other.features, pl.col("predicted")])
    served.answer(a_record(1, EARLY, served.bundle(with_requests(other)), **an_instance(1, predicted=55.0)))
    schema = Schema({**COLUMNS, "before": Column("float64", source="request.predicted")}, allow_additional=True)

    rows = served.rows("2024-03-01", replace(READING, schema=schema))

    assert rows.select("predicted", "before").rows() == [(1.0, 55.0)]


def test_what_was_personal_when_it_was_asked_lands_nowhere_else(served: Served) -> None:
    other = small_pipeline("rides")
    columns = {**other.schema.columns, "ride_id": replace(other.schema.columns["ride_id"], pii=True)}
    other = replace(other, schema=Schema(columns))
    served.answer(a_record(1, EARLY, served.bundle(with_requests(other)), **an_instance(1, ride_id=5)))
    open_, closed = (
        replace(
            READING,
            schema=Schema({**COLUMNS, "ride": Column("int64", source="ride_id", pii=pii)}, allow_additional=True),
        )
        for pii in (False, True)
    )

    with pytest.raises(SourceError, match=r"column 'ride' is declared as no personal data, expected Column.*pii=True"):
        served.rows("2024-03-01", open_)
    assert served.rows("2024-03-01", closed)["ride"].to_list() == [5]
    assert "ride" not in served.rows("2024-03-01").columns


def test_a_bundle_that_is_damaged_is_told(served: Served) -> None:
    sha256 = served.bundle(small_bundle())
    served.answer(a_record(1, EARLY, sha256))
    (home_at(served.root).bundles / sha256 / "schema.json").write_text(json.dumps({}))

    with pytest.raises(SourceError, match=r"a bundle that answered cannot be opened, found bundle .*schema.json"):
        served.rows("2024-03-01")


def test_a_signature_differs_by_a_late_answer_an_outcome_and_one_corrected_in_the_same_instant(served: Served) -> None:
    bundle, next_day = served.bundle(small_bundle()), EARLY + timedelta(days=1)
    served.answer(a_record(1, EARLY, bundle), a_record(2, next_day, bundle))
    seen = [served.signatures()]

    served.answer(a_record(3, EARLY - timedelta(hours=1), bundle))
    seen.append(served.signatures())
    for label in (7.0, 8.0, 7.0):
        served.report(1, label)
        seen.append(served.signatures())

    assert len({each["2024-03-01"] for each in seen}) == len(seen)
    assert len({each["2024-03-02"] for each in seen}) == 1


@settings(max_examples=15)
@given(
    hours=st.lists(st.integers(0, 71), min_size=1, max_size=12),
    cut=st.integers(1, 12),
    told=st.lists(st.integers(0, 11), max_size=4),
)
def test_the_rows_are_the_log_cut_by_day_and_a_signature_changes_just_when_they_do(
    tmp_path_factory: pytest.TempPathFactory, hours: list[int], cut: int, told: list[int]
) -> None:
    served = opened(tmp_path_factory.mktemp("log"))
    bundle = served.bundle(small_bundle())
    start = datetime(2024, 2, 29, tzinfo=UTC)
    records = [a_record(number, start + timedelta(hours=hour), bundle) for number, hour in enumerate(hours)]
    served.answer(*records[:cut])
    before = seen(served)
    served.answer(*records[cut:])
    for number in told:
        served.report(number, float(number))
    after = seen(served)

    for day in DAYS:
        assert (before[day][0] == after[day][0]) == (before[day][1] == after[day][1]), day
    assert sorted(name for day in DAYS for name in after[day][2]) == [record.id for record in records]
    assert seen(served) == after
    served.operations.close()


def seen(served: Served) -> dict[str, tuple[str | None, str, list[str]]]:
    """By day: the signature, the content and the ids."""
    signatures = served.signatures()
    found = {}
    for day in DAYS:
        rows = served.rows(day) if day in signatures else pl.DataFrame({"prediction_id": []})
        found[day] = signatures.get(day), content_hash(rows), rows["prediction_id"].to_list()
    return found
