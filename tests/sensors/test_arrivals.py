"""Arrivals: each new or changed file is asked for once, in ranges, and the second tick asks for nothing."""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import dagster as dg
import sqlalchemy as sa

from perennial.beside import Lookup, Timeline
from perennial.graph.records import PartitionRecord
from perennial.sources import Files, env
from perennial.stores.sources.timelines import Timelines
from perennial.time import hours
from resources.tags import REASON
from sensors.arrivals import build_arrivals
from tests.eta import DATA
from tests.sensors.conftest import NOW, World, end_runs


def deliver(source: Path, *keys: str, content: str = "rows") -> None:
    for key in keys:
        path = source / f"{key}.parquet"
        path.write_text(content)
        os.utime(path, ns=(1, len(content)))


def land(
    world: World, *keys: str, status: Literal["ok", "blocked"] = "ok", at: datetime = NOW, **provenance: object
) -> None:
    signatures = world.stores["sources"].signatures(world.pipeline, list(keys))
    records = [
        PartitionRecord(
            partition=key,
            revision=1,
            content_hash=key,
            rows=1,
            status=status,
            provenance={"signature": signatures[key], **provenance},
        )
        for key in keys
    ]
    world.operations.record_partitions("eta", "landed", records, at=at)


def test_consecutive_files_are_one_request_for_every_data_asset(world: World) -> None:
    deliver(world.source, "2024-01-03", "2024-01-04", "2024-01-06")

    tick = world.tick(build_arrivals(world.pipeline))

    first, second = tick.run_requests
    assert first.tags["dagster/asset_partition_range_start"] == "2024-01-03"
    assert first.tags["dagster/asset_partition_range_end"] == "2024-01-04"
    assert first.tags[REASON] == "2 new in the source: 2024-01-03 to 2024-01-04"
    assert second.tags["dagster/partition"] == "2024-01-06"
    assert [key.path for key in first.asset_selection] == [["eta", name] for name in DATA]


def test_the_same_files_give_the_same_run_key(world: World) -> None:
    deliver(world.source, "2024-01-03")
    sensor = build_arrivals(world.pipeline)

    (once,), (again,) = world.tick(sensor).run_requests, world.tick(sensor).run_requests

    assert once.run_key == again.run_key


def test_what_has_landed_is_not_asked_for_again_and_a_blocked_file_neither(world: World) -> None:
    deliver(world.source, "2024-01-03", "2024-01-04")
    land(world, "2024-01-03")
    land(world, "2024-01-04", status="blocked")

    tick = world.tick(build_arrivals(world.pipeline))

    assert tick.run_requests == []
    assert tick.skip_message == "none of 2 files is new or changed"


def test_what_waits_for_a_lookup_is_asked_for_once_its_file_is_another(world: World, tmp_path: Path) -> None:
    zones = tmp_path / "zones.csv"
    lookup = Lookup(
        name="zones", source=Files(str(zones)), key="id", on="zone", columns={"borough": "string"}
    )  # fmt: skip
    waiting = replace(world.pipeline, lookups=[lookup])
    deliver(world.source, "2024-01-03", "2024-01-04")
    land(world, "2024-01-03")
    land(world, "2024-01-04", status="blocked", awaits={"zones": ""})

    away = world.tick(build_arrivals(waiting))
    zones.write_text("id,borough\n1,Queens\n")
    there = world.tick(build_arrivals(waiting))

    assert away.run_requests == []
    (request,) = there.run_requests
    assert request.tags["dagster/partition"] == "2024-01-04"
    land(world, "2024-01-04", status="blocked", awaits=world.stores["sources"].look_at_lookups(waiting))
    assert world.tick(build_arrivals(waiting)).run_requests == []


def test_a_lookup_on_another_machine_is_asked_less_often_and_slows_the_rows_only_while_something_waits_for_it(
    world: World,
) -> None:
    zones = Lookup(
        name="zones", source=Files("http://127.0.0.1:9/zones.csv"), key="id", on="zone", columns={"borough": "string"}
    )  # fmt: skip
    sensor, now = build_arrivals(replace(world.pipeline, lookups=[zones])), NOW.isoformat()
    deliver(world.source, "2024-01-03")
    land(world, "2024-01-03")

    none_waits = world.tick(sensor, cursor=now)
    land(world, "2024-01-03", status="blocked", awaits={"zones": ""})
    one_waits = world.tick(sensor, cursor=now)

    assert none_waits.skip_message == "none of 1 files is new or changed"
    assert "is looked at every 0:15:00" in str(one_waits.skip_message)


def test_what_has_landed_is_not_read_before_the_source_is_to_be_looked_at(world: World) -> None:
    away = Files("{root}/{partition:%Y-%m-%d}.parquet", root="https://example.invalid/rides")
    with world.operations.writing("test") as transaction:
        transaction.execute(sa.text("DROP TABLE partitions"))

    tick = world.tick(build_arrivals(replace(world.pipeline, source=away)), NOW.isoformat())

    assert tick.skip_message == f"last looked at {NOW.isoformat()}; this source is looked at every 0:15:00"


def test_a_lookup_that_has_no_place_yet_holds_up_no_rows(world: World) -> None:
    zones = Lookup(
        name="zones", source=Files("{root}/zones.csv", env("ZONES")), key="id", on="zone", columns={"borough": "string"}
    )  # fmt: skip
    deliver(world.source, "2024-01-03", "2024-01-04")
    land(world, "2024-01-03", status="blocked", awaits={"zones": ""})

    (request,) = world.tick(build_arrivals(replace(world.pipeline, lookups=[zones]))).run_requests

    assert request.tags["dagster/partition"] == "2024-01-04"


def test_readings_of_another_source_that_changed_are_a_change_and_ones_that_are_away_are_none(
    world: World, tmp_path: Path
) -> None:
    weather = tmp_path / "weather"
    weather.mkdir()
    timeline = Timeline(
        name="weather", source=Files("{root}/{partition:%Y-%m-%d}.csv", str(weather)), event_time="at",
        known_after=hours(0), within=hours(1), columns={"celsius": "float64"},
    )  # fmt: skip
    joined = replace(world.pipeline, timelines=[timeline])
    days = ["2024-01-03", "2024-01-04", "2024-01-05", "2024-01-06"]
    deliver(world.source, *days[1:])
    for day in days:
        (weather / f"{day}.csv").write_text("at,celsius\n")
    look = Timelines(sources=world.stores["sources"]).look
    for day in days[1:3]:
        land(world, day, readings=look(joined, [day])[day])
    land(world, days[3])  # before the timeline was declared: that it is out of date is told elsewhere
    assert world.tick(build_arrivals(joined)).run_requests == []

    (weather / f"{days[0]}.csv").write_text("at,celsius\n2024-01-03 23:00,1\n")
    (changed,) = world.tick(build_arrivals(joined)).run_requests
    (weather / f"{days[0]}.csv").unlink()

    assert changed.tags[REASON] == "1 changed in the source: 2024-01-04"
    assert world.tick(build_arrivals(joined)).run_requests == []


def test_a_changed_file_is_asked_for_under_another_key(world: World) -> None:
    sensor = build_arrivals(world.pipeline)
    deliver(world.source, "2024-01-03")
    (new,) = world.tick(sensor).run_requests
    land(world, "2024-01-03")

    deliver(world.source, "2024-01-03", content="other rows")

    (changed,) = world.tick(sensor).run_requests
    assert changed.tags[REASON] == "1 changed in the source: 2024-01-03"
    assert changed.run_key != new.run_key


def test_a_partition_that_is_not_complete_yet_waits(world: World) -> None:
    deliver(world.source, "2024-01-30", "2024-01-31")

    (request,) = world.tick(build_arrivals(world.pipeline)).run_requests

    assert request.tags["dagster/partition"] == "2024-01-30"


def test_what_a_run_is_landing_is_not_asked_for(world: World) -> None:
    deliver(world.source, "2024-01-03", "2024-01-04", "2024-01-05")
    key = dg.AssetKey(["eta", "landed"])

    @dg.asset(key=key, partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
    def landed() -> None: ...

    job = dg.Definitions(assets=[landed]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": "2024-01-03", "dagster/asset_partition_range_end": "2024-01-04"}
    world.instance.create_run_for_job(job, asset_selection={key}, tags=tags, status=dg.DagsterRunStatus.STARTED)

    (request,) = world.tick(build_arrivals(world.pipeline)).run_requests

    assert request.tags["dagster/partition"] == "2024-01-05"


def test_a_long_history_is_cut_into_requests_that_a_crash_may_lose(world: World) -> None:
    pipeline = replace(world.pipeline, time=replace(world.pipeline.time, start="2023-01-01"))
    deliver(world.source, *pipeline.time.keys("2023-01-01", "2023-05-30"))

    requests = world.tick(build_arrivals(pipeline)).run_requests

    assert [request.tags["dagster/asset_partition_range_end"] for request in requests] == [
        "2023-03-05", "2023-05-08", "2023-05-30",
    ]  # fmt: skip


def test_a_source_without_a_folder_says_so(world: World) -> None:
    nowhere = Files("{root}/{partition:%Y-%m-%d}.parquet", root=env("NO_SUCH_SETTING"))
    pipeline = replace(world.pipeline, source=nowhere)

    tick = world.tick(build_arrivals(pipeline))

    assert "NO_SUCH_SETTING" in tick.skip_message


def test_a_landing_that_failed_is_asked_for_three_times_in_all_and_then_told(world: World) -> None:
    deliver(world.source, "2024-01-03")
    sensor = build_arrivals(world.pipeline)
    keys = set()
    for _ in range(3):
        tick = world.tick(sensor)
        keys.add(tick.run_requests[0].run_key)
        end_runs(world, tick, status=dg.DagsterRunStatus.FAILURE)

    tick = world.tick(sensor)

    assert len(keys) == 3
    assert tick.run_requests == []
    assert "1 new in the source: 2024-01-03: run" in tick.skip_message
    assert "is failure" in tick.skip_message


def test_a_file_that_comes_back_after_another_is_landed_again_each_time(world: World) -> None:
    sensor = build_arrivals(world.pipeline)
    keys = []
    for hour, content in enumerate(["rows", "other rows", "rows", "other rows", "rows"]):
        deliver(world.source, "2024-01-03", content=content)
        tick = world.tick(sensor)
        keys.append(tick.run_requests[0].run_key)
        end_runs(world, tick)
        land(world, "2024-01-03", at=NOW + timedelta(hours=hour))

    assert len(set(keys)) == 5


def test_a_landing_that_a_person_ended_is_not_started_again(world: World) -> None:
    deliver(world.source, "2024-01-03")
    sensor = build_arrivals(world.pipeline)
    end_runs(world, world.tick(sensor), status=dg.DagsterRunStatus.CANCELED)

    tick = world.tick(sensor)

    assert tick.run_requests == []
    assert "is canceled" in tick.skip_message


def test_a_source_whose_folder_is_not_there_says_so(world: World) -> None:
    world.source.rmdir()

    tick = world.tick(build_arrivals(world.pipeline))

    assert f"no folder {world.source}" in tick.skip_message


def test_a_source_on_another_machine_is_looked_at_less_often(world: World) -> None:
    away = Files("http://127.0.0.1:9/{partition:%Y-%m-%d}.parquet")
    time = replace(world.pipeline.time, start="2024-01-30")
    sensor = build_arrivals(replace(world.pipeline, source=away, time=time))

    first, second = (world.tick(sensor, cursor=cursor) for cursor in (None, NOW.isoformat()))

    assert "cannot be reached" in str(first.skip_message)
    assert first.cursor == NOW.isoformat()
    assert "is looked at every 0:15:00" in str(second.skip_message)
