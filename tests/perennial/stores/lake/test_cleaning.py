"""Clean-up of files: what is old and not needed goes, what somebody may still ask for stays."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perennial.bundle.bundle import FILES, seal
from perennial.settings import Home
from perennial.stores.lake.cleaning import Cleaning
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.operations import Operations

NOW = datetime(2024, 4, 1, tzinfo=UTC)


def age(path: Path, days: float) -> Path:
    """Let `path` and all in it be so old at NOW."""
    at = (NOW - timedelta(days=days)).timestamp()
    for each in (path, *path.rglob("*")):
        os.utime(each, (at, at))
    return path


def write(path: Path, days: float, content: bytes = b"12345") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return age(path, days)


@pytest.fixture
def cleaning(home: Home) -> Cleaning:
    home.root.mkdir(parents=True)
    operations = Operations(home.operations_url)
    operations.migrate()
    return Cleaning(home=home, operations=operations)


def bundle(cleaning: Cleaning, name: str, days: float) -> str:
    sha256 = BundleStore(cleaning.home.bundles).put(seal(dict.fromkeys(FILES, b"{}"), {"pipeline": name}))
    age(cleaning.home.bundles / sha256, days)
    return sha256


def test_pages_past_their_time_go_and_the_newest_of_each_kind_stays(cleaning: Cleaning) -> None:
    folder = cleaning.home.reports / "eta"
    for number, days in enumerate((400, 200, 10)):
        age(write(folder / "drift" / f"2024-01-0{number}" / "page.html", days).parent, days)
    age(write(folder / "expectations" / "2023-01-01" / "page.html", 500).parent, 500)

    report = cleaning.clean(now=NOW, dry_run=False)

    assert [(done.kind, done.items, done.size) for done in report.done] == [("reports", 2, 10)]
    assert sorted(path.name for path in folder.glob("*/*")) == ["2023-01-01", "2024-01-02"]


def test_only_an_old_bundle_that_is_no_version_and_no_step_names_goes(cleaning: Cleaning) -> None:
    orphan, young, registered, awaiting = (
        bundle(cleaning, name, days)
        for name, days in (("orphan", 40), ("young", 20), ("registered", 40), ("awaiting", 40))
    )
    cleaning.operations.register_version("eta", registered, "2024-03", {}, at=NOW)
    proof = json.dumps({"sha256": awaiting}).encode()
    Artifacts(cleaning.home.artifacts).put("eta", "2024-03", "bundle", {"proof.json": proof})

    promised = cleaning.clean(now=NOW, dry_run=True)
    assert (cleaning.home.bundles / orphan).exists()
    report = cleaning.clean(now=NOW, dry_run=False)

    assert promised == report
    assert [(done.kind, done.items) for done in report.done] == [("orphan bundles", 1)]
    assert report.size > 0
    assert {path.name for path in cleaning.home.bundles.iterdir()} == {young, registered, awaiting}


def test_an_old_bundle_that_is_made_again_is_as_young_as_a_new_one(cleaning: Cleaning) -> None:
    again = bundle(cleaning, "again", 40)
    BundleStore(cleaning.home.bundles).put(seal(dict.fromkeys(FILES, b"{}"), {"pipeline": "again"}))

    assert not cleaning.clean(now=NOW, dry_run=False).done
    assert (cleaning.home.bundles / again).is_dir()


def test_what_killed_processes_left_goes_at_once(cleaning: Cleaning) -> None:
    left = [
        write(cleaning.home.bundles / ".new-abc" / "model.onnx", 0),
        write(cleaning.home.artifacts / "eta" / "2024-03" / ".old-def" / "set" / "x", 0),
        write(cleaning.home.tracking / "runs" / ".new-ghi" / "record.json", 0),
    ]
    link = cleaning.home.artifacts / "eta" / "2024-03" / ".new-selected"
    link.symlink_to(".set-selected.abc", target_is_directory=True)
    waiting = write(cleaning.home.tracking / "runs" / "record" / "record.json", 500)

    report = cleaning.clean(now=NOW, dry_run=False)

    assert [done.kind for done in report.done] == ["leftovers"] * 3
    assert report.size == 15
    assert [path.exists() for path in left] == [False] * 3
    assert not link.is_symlink()
    assert waiting.exists(), "what MLflow has not recorded is not forgotten"


def test_downloads_go_after_their_time_and_pushed_events_never(cleaning: Cleaning) -> None:
    old = write(cleaning.home.sources / "downloads" / "half.parquet", 3)
    temporary = write(cleaning.home.sources / "tmpab12", 3)
    young = write(cleaning.home.sources / "downloads" / "b.parquet", 1)
    cut = write(cleaning.home.sources / "eta" / "cut" / "rows.parquet", 3)
    pushed = write(cleaning.home.pushed / "eta" / "2024-01-01T00" / "x.jsonl", 900)

    cleaning.clean(now=NOW, dry_run=False)

    assert [path.exists() for path in (old, temporary)] == [False, False]
    assert [path.exists() for path in (young, cut, pushed)] == [True, True, True]


def test_an_empty_home_has_nothing_to_clean(cleaning: Cleaning) -> None:
    assert not cleaning.clean(now=NOW, dry_run=False).done
