"""Bundles: folders that appear whole, once, and are never changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perennial.bundle.bundle import sha256_of
from perennial.errors import BundleError
from perennial.stores.models.bundles import BundleStore
from tests.bundles import small_bundle

FILES = small_bundle()


def test_what_was_put_is_got_under_its_name(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles")

    sha256 = store.put(FILES)

    assert sha256 == sha256_of(FILES)
    assert store.get(sha256).files == FILES
    assert store.get(sha256).path == store.path(sha256)


def test_putting_again_changes_nothing(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    path = store.path(store.put(FILES))
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}

    store.put(FILES)

    assert {file.name: file.stat().st_mtime_ns for file in path.iterdir()} == before
    assert [folder.name for folder in tmp_path.iterdir()] == [path.name]


def test_many_writers_of_one_bundle_leave_one_whole_folder(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(store.put, [FILES] * 16))

    assert [folder.name for folder in tmp_path.iterdir()] == list(names)
    assert store.get(names.pop()).files == FILES


def test_a_damaged_bundle_is_neither_read_nor_overwritten(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    sha256 = store.put(FILES)
    model = store.path(sha256) / "model.onnx"
    model.write_bytes(b"damaged")

    with pytest.raises(BundleError, match=r"model\.onnx"):
        store.get(sha256)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        store.put(FILES)

    assert model.read_bytes() == b"damaged"


def test_files_that_contradict_their_manifest_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx"):
        BundleStore(tmp_path).put(FILES | {"model.onnx": b"another"})

    assert list(tmp_path.iterdir()) == []
