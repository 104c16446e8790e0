"""Monitoring: a segment leaves the disk when the lake has it and the sensor knows of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RemoteInstigatorOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from perennial.stores.production.inference_log import pending_partitions
from perennial.stores.production.segments import SegmentWriter, segments_in
from resources.runs import _origin
from tests.assets.house import House, open_house
from tests.records import a_record


def test_an_old_segment_is_removed_once_it_is_in_the_lake_and_told_to_the_sensor(tmp_path: Path) -> None:
    with open_house(tmp_path / "home") as house:
        folder = house.home.inference / house.pipeline.name
        two_days_ago = time.time() - 2 * 86_400
        for day in ("2024-03-01", "2024-03-02"):
            writer = SegmentWriter(folder)
            writer.append([a_record(int(day[-1]), partition=day)])
            writer.close()
        old, young = segments_in(folder)
        os.utime(old, (two_days_ago, two_days_ago))
        _sensor_has_read(house, json.dumps({young.name: 1}))

        assert house.run("inference_log", keys="2024-03-01").success
        untold = segments_in(folder)
        _sensor_has_read(house, pending_partitions(house.home, house.pipeline.name, None)[0])
        assert house.run("inference_log", keys="2024-03-01").success

        assert untold == [old, young]
        assert segments_in(folder) == [young]
        assert house.tables.lakehouse.scan(house.pipeline.table("inference_log")).collect().height == 2


def _sensor_has_read(house: House, answers: str) -> None:
    """Leave what the daemon stores after a tick of the monitoring sensor that ended with this cursor."""
    origin = RemoteInstigatorOrigin(_origin(), f"{house.pipeline.name}_monitoring")
    data = SensorInstigatorData(cursor=json.dumps({"answers": answers}))
    state = InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
    known = house.instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
    (house.instance.update_instigator_state if known else house.instance.add_instigator_state)(state)
