"""Sources: what cannot be read is one clear error that names what, where and what was expected."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import polars as pl
import pytest

from perennial.errors import SourceError, SourceUnreachable
from perennial.sources import env
from perennial.stores.sources import Sources, content
from perennial.stores.sources import folder as folders
from pipelines.delivery_eta import delivery_eta
from pipelines.taxi_eta import taxi_eta
from tests.perennial.stores.sources.placing import placed

AT = datetime(2024, 2, 1, 12, tzinfo=UTC)
ROWS = pl.DataFrame({"order_id": ["a", "b"]})


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "files").mkdir()
    environment = {"DELIVERY_ETA_SOURCE": str(tmp_path / "files"), "TAXI_ETA_SOURCE": str(tmp_path / "taxi")}
    return Sources(home=tmp_path, environment=environment)


def failure(sources: Sources, partition: str, pipeline: object = delivery_eta) -> str:
    with pytest.raises(SourceError) as caught:
        sources.read(pipeline, partition, fetched_at=AT)  # type: ignore[arg-type]
    assert caught.value.expected
    return str(caught.value)


def test_reads_a_partition_with_its_provenance(sources: Sources) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    ROWS.write_parquet(path)

    arrival = sources.read(delivery_eta, "2024-01-05", fetched_at=AT)

    content = path.read_bytes()
    assert path.name == "orders_2024-01-05.parquet"
    assert arrival.frame.equals(ROWS)
    assert (arrival.sha256, arrival.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (arrival.uri, arrival.fetched_at) == (path.as_uri(), AT)
    assert sources.signatures(delivery_eta, ["2024-01-04", "2024-01-05"]) == {"2024-01-05": arrival.signature}


def test_a_root_has_a_default_or_must_be_set(tmp_path: Path) -> None:
    bare = Sources(home=tmp_path, environment={})

    assert bare.folder(delivery_eta) == tmp_path / "world" / "delivery_eta"
    unset = placed(taxi_eta, root=env("TAXI_ETA_SOURCE"))
    message = failure(bare, "2023-02", unset)
    for word in ("taxi_eta", "not configured", "TAXI_ETA_SOURCE", "set TAXI_ETA_SOURCE=/path"):
        assert word in message


def test_the_taxi_months_come_from_their_publisher_unless_a_folder_is_set(sources: Sources, tmp_path: Path) -> None:
    bare = Sources(home=tmp_path, environment={})

    assert bare.look_every(taxi_eta, lookups=False) == timedelta(minutes=15)
    assert sources.look_every(taxi_eta, lookups=False) == timedelta(0)
    assert sources.folder(taxi_eta) == tmp_path / "taxi"
    with pytest.raises(SourceError, match=r"the source is no folder, found https://.*/trip-data, expected a local"):
        bare.folder(taxi_eta)


def test_a_scheme_that_nothing_here_reads_is_named(tmp_path: Path) -> None:
    away = placed(delivery_eta, root="ftp://host/orders")

    message = failure(Sources(home=tmp_path, environment={}), "2024-01-05", away)

    assert "unknown scheme, found ftp://, expected a folder, or one of http://, https://, s3://" in message


def test_a_disk_that_takes_no_copy_is_an_error_of_the_source(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "IN_MEMORY", 10)
    ROWS.write_parquet(sources.path(delivery_eta, "2024-01-05"))
    (tmp_path / "sources").write_text("no folder")

    assert "expected room for it under PERENNIAL_HOME" in failure(sources, "2024-01-05")


def test_a_file_that_is_written_while_it_is_read_is_an_error_and_the_next_attempt_reads_the_new_one(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    ROWS.write_parquet(path)

    def take_then_write(*given: object, **named: object) -> content.Content:
        taken = content.take(*given, **named)  # type: ignore[arg-type]
        ROWS.reverse().write_parquet(path)
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(folders, "take", take_then_write)
        message = failure(sources, "2024-01-05")

    assert "orders_2024-01-05.parquet changed while it was read" in message
    assert sources.read(delivery_eta, "2024-01-05", fetched_at=AT).frame.equals(ROWS.reverse())


def test_a_folder_that_is_not_there(sources: Sources, tmp_path: Path) -> None:
    message = failure(sources, "2023-02", taxi_eta)

    for word in ("taxi_eta 2023-02", "folder is not there", str(tmp_path / "taxi"), "green_tripdata_2023-02.parquet"):
        assert word in message


def test_a_month_that_is_not_there(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "taxi").mkdir()
    message = failure(sources, "2023-02", taxi_eta)

    for word in ("taxi_eta 2023-02", "No such file", "green_tripdata_2023-02.parquet", "a readable file"):
        assert word in message


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "0 bytes"), (b"<html>404</html>", "an HTML page"), (b"PAR1 cut", "b'PAR1'")],
)
def test_a_file_that_is_not_parquet_under_the_right_name(sources: Sources, content: bytes, found: str) -> None:
    sources.path(delivery_eta, "2024-01-05").write_bytes(content)

    message = failure(sources, "2024-01-05")

    for word in ("delivery_eta 2024-01-05: orders_2024-01-05.parquet is ", found, "a complete parquet file"):
        assert word in message


def test_a_damaged_file_is_an_error_of_the_source_or_still_holds_a_table(sources: Sources) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    ROWS.write_parquet(path)
    whole, chance = path.read_bytes(), random.Random(7)
    told = set()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(4, len(content) - 4)] ^= chance.randint(1, 255)
        path.write_bytes(content)
        try:
            sources.read(delivery_eta, "2024-01-05", fetched_at=AT)
            told.add("a table")
        except SourceError as error:
            told.add(error.what)

    assert told == {"a table", "orders_2024-01-05.parquet is a damaged parquet file"}


def test_a_signature_changes_with_the_file_and_reads_no_content(sources: Sources) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    path.write_bytes(b"not parquet")
    before = sources.signatures(delivery_eta, ["2024-01-05"])

    path.write_bytes(b"not parquet either")

    assert sources.signatures(delivery_eta, ["2024-01-05"]) != before


def test_a_root_may_be_a_plain_folder(tmp_path: Path) -> None:
    pipeline = placed(delivery_eta, root=str(tmp_path / "here"))

    path = Sources(home=tmp_path, environment={}).path(pipeline, "2024-01-05")

    assert path == tmp_path / "here" / "orders_2024-01-05.parquet"


def test_a_file_that_is_replaced_while_it_is_read_keeps_the_signature_of_what_was_judged(
    sources: Sources, tmp_path: Path
) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    path.write_bytes(b"")
    ended = threading.Event()

    def replace_it() -> None:
        size = 0
        while not ended.is_set():
            size = (size + 1) % 1000
            (tmp_path / "next").write_bytes(b"x" * size)
            (tmp_path / "next").replace(path)

    replacing = threading.Thread(target=replace_it)
    replacing.start()
    judged = []
    for _ in range(500):
        with pytest.raises(SourceError) as caught:
            sources.read(delivery_eta, "2024-01-05", fetched_at=AT)
        judged.append((caught.value.found, str(caught.value.signature).split("-")[0]))
    ended.set()
    replacing.join()

    assert [(found, size) for found, size in judged if not str(found).startswith(f"{size} bytes ")] == []


@pytest.mark.parametrize(
    ("code", "hint"), [(errno.ENOSPC, "free some disk"), (errno.EDQUOT, "free some disk"), (errno.EACCES, "rights")]
)
def test_a_copy_that_cannot_be_made_says_what_to_do_about_it(
    sources: Sources, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    def full(*_args: object, **_kwargs: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    sources.path(delivery_eta, "2024-01-05").write_bytes(b"x" * 100)
    monkeypatch.setattr("perennial.stores.sources.content.IN_MEMORY", 10)
    monkeypatch.setattr("perennial.stores.sources.content.tempfile.mkstemp", full)

    with pytest.raises(SourceUnreachable, match=f"cannot be copied, found {os.strerror(code)}.*{hint}"):
        sources.read(delivery_eta, "2024-01-05", fetched_at=AT)


def test_a_source_without_its_folder_is_no_source_without_files(sources: Sources, tmp_path: Path) -> None:
    for folder in (tmp_path / "taxi", tmp_path / "taxi" / "below a file"):
        mistyped = replace(sources, environment={"TAXI_ETA_SOURCE": str(folder)})
        with pytest.raises(SourceUnreachable, match="folder is not there, found no folder"):
            mistyped.signatures(taxi_eta, ["2023-02"])
        assert "folder is not there" in failure(mistyped, "2023-02", taxi_eta)
        (tmp_path / "taxi").touch()


def test_a_file_that_cannot_be_looked_at_is_an_error_of_the_source(sources: Sources) -> None:
    path = sources.path(delivery_eta, "2024-01-05")
    path.symlink_to(path)

    with pytest.raises(SourceUnreachable, match="cannot be looked into"):
        sources.signatures(delivery_eta, ["2024-01-05"])
    assert "cannot be read" in failure(sources, "2024-01-05")
