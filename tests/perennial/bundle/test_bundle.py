"""Bundle: its name vouches for each byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.bundle.bundle import FILES, MANIFEST, open_bundle, seal, sha256_of
from perennial.errors import BundleError
from tests.bundles import small_bundle, small_pipeline

SEALED = small_bundle()


def test_an_opened_bundle_says_what_was_sealed() -> None:
    pipeline = small_pipeline()

    bundle = open_bundle(SEALED, sha256_of(SEALED))

    assert (bundle.pipeline, bundle.as_of) == ("rides", "2024-01-31")
    assert bundle.features == pipeline.checked_features
    assert [column.name for column in bundle.schema.columns] == list(pipeline.request_columns)
    assert [column.name for column in bundle.schema.optional] == ["ride_id"]
    assert bundle.schema.clock.key_of(pipeline.time.window("2024-02-29").start) == "2024-02-29"
    assert bundle.thresholds.drift_columns == pipeline.drift_columns
    assert bundle.golden.height == bundle.reference.height == 40


def test_equal_parts_make_an_equal_name_in_any_order() -> None:
    parts = {name: SEALED[name] for name in FILES}
    backwards = dict(reversed(parts.items()))

    names = {
        sha256_of(seal(parts, {"pipeline": "a", "as_of": "b"})),
        sha256_of(seal(backwards, {"as_of": "b", "pipeline": "a"})),
    }

    assert len(names) == 1


@given(name=st.sampled_from([*FILES, MANIFEST]), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found_and_named(name: str, at: float, bit: int) -> None:
    content = bytearray(SEALED[name])
    content[int(at * len(content))] ^= 1 << bit

    with pytest.raises(BundleError) as caught:
        open_bundle(SEALED | {name: bytes(content)}, sha256_of(SEALED))

    assert name in str(caught.value)
    assert "sha256" in (caught.value.found or "")
    assert "sha256" in (caught.value.expected or "")


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(name: str) -> None:
    with pytest.raises(BundleError, match=name):
        open_bundle({other: content for other, content in SEALED.items() if other != name})


def test_a_file_that_the_manifest_does_not_know_is_refused() -> None:
    with pytest.raises(BundleError, match=r"extra\.py"):
        open_bundle(SEALED | {"extra.py": b""})


def test_another_bundle_under_the_name_is_refused() -> None:
    with pytest.raises(BundleError, match=sha256_of(SEALED)):
        open_bundle(small_bundle(3.0), sha256_of(SEALED))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        open_bundle(tmp_path / "nothing")
