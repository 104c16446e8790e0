"""Large: a partition that goes through every data asset in parts leaves what it would leave whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from perennial import Maturity
from perennial.graph.lineage import steps_of
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import House, open_house, simulate_days

DAYS = ("2024-01-01", "2024-01-02")
LABEL = replace(delivery_eta.label, mature_after=Maturity(completeness=0.9, at_latest=timedelta(days=9)))
PIPELINE = replace(delivery_eta, label=LABEL)
LIMITS = {
    "perennial.stores.sources.content.IN_MEMORY": 10,
    "perennial.stores.lake.large.LARGE_ROWS": 100,
    "perennial.stores.lake.tables.PART_ROWS": 97,
    "perennial.validation.by_partition.VALUES": 1,
}
TOLD = ("labels", "profile", "summary", "partials")


def run(house: House) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """What the tables hold in the end, and what was reported of each partition."""
    result = replace(house, illustrated=True).run(*steps_of(PIPELINE), keys=DAYS)
    assert result.success
    records = [r for name in TOLD for r in house.instance.fetch_materializations(house.key(name), limit=10).records]
    found = [r.asset_materialization for r in records if r.asset_materialization]
    told = {f"{m.asset_key} {m.partition}: {name}": str(v.value) for m in found for name, v in m.metadata.items()}
    return house.hashes(steps_of(PIPELINE)), told


def test_in_parts_all_data_assets_have_the_content_and_the_report_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.range_run.MAX_ROWS", 1)  # a report is of one batch
    simulate_days(tmp_path / "city", *DAYS)
    source = str(tmp_path / "city" / "world" / "delivery_eta")
    with open_house(tmp_path / "whole", pipeline=PIPELINE, DELIVERY_ETA_SOURCE=source) as house:
        whole, told = run(house)

    for name, limit in LIMITS.items():
        monkeypatch.setattr(name, limit)
    with open_house(tmp_path / "parts", pipeline=PIPELINE, DELIVERY_ETA_SOURCE=source) as house:
        parts, told_of_parts = run(house)

    assert set(whole) == set(steps_of(PIPELINE))
    assert parts == whole
    assert len(told) > 20
    assert {name: value for name, value in told_of_parts.items() if value != told[name]} == {}
