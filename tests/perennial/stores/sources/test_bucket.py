"""Bucket: objects of a real S3 server, and what it refuses, as errors of the source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from perennial.errors import SourceError, SourceUnreachable
from perennial.stores.sources import Sources, bucket
from perennial.stores.sources.bucket import Bucket
from perennial.stores.sources.content import Content, Readable, take
from pipelines.delivery_eta import delivery_eta
from tests.perennial.stores.sources.placing import placed

WHERE = "delivery_eta 2024-01-05"
FOLDER = "s3://orders/of the day/"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import httpx

    httpx.put(f"{server}/orders", headers={"host": server.removeprefix("http://")}).raise_for_status()
    return S3Store("orders")


def put(store: S3Store, day: str, content: bytes) -> str:
    obstore.put(store, f"of the day/orders_{day}.parquet", content)
    return f"{FOLDER}orders_{day}.parquet"


def test_an_object_comes_whole_with_its_hash_and_signature(store: S3Store, tmp_path: Path) -> None:
    body = b"x" * 12_000_000
    location = put(store, "2024-01-05", body)

    content = Bucket(spool=tmp_path).fetch(location, where=WHERE)

    assert (content.size, content.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (content.name, content.uri) == ("orders_2024-01-05.parquet", location)
    assert Bucket(spool=tmp_path).signatures({"a": location}, where=WHERE) == {"a": content.signature}


def test_only_objects_that_are_there_have_signatures_and_they_change_with_the_content(
    store: S3Store, tmp_path: Path
) -> None:
    locations = {day: f"{FOLDER}orders_{day}.parquet" for day in ("2024-02-01", "2024-02-02")}
    put(store, "2024-02-01", b"one")
    before = Bucket(spool=tmp_path).signatures(locations, where=WHERE)

    put(store, "2024-02-01", b"two")

    after = Bucket(spool=tmp_path).signatures(locations, where=WHERE)
    assert list(before) == list(after) == ["2024-02-01"]
    assert before != after


def test_a_pipeline_reads_its_days_from_a_bucket_by_configuration_alone(store: S3Store, tmp_path: Path) -> None:
    table = pl.DataFrame({"order_id": ["a", "b"]})
    file = tmp_path / "table"
    table.write_parquet(file)
    location = put(store, "2024-03-01", file.read_bytes())
    sources = Sources(home=tmp_path, environment={"DELIVERY_ETA_SOURCE": FOLDER})

    arrival = sources.read(delivery_eta, "2024-03-01", fetched_at=datetime(2024, 3, 2, tzinfo=UTC))

    assert arrival.frame.equals(table)
    assert (arrival.uri, arrival.size) == (location, file.stat().st_size)
    assert sources.signatures(delivery_eta, ["2024-03-01", "2024-03-02"]) == {"2024-03-01": arrival.signature}
    whole = placed(delivery_eta, pattern=location.replace(FOLDER, "{root}/"))
    with pytest.raises(SourceError, match="'ordered_at' is missing"):
        sources.signatures(whole, ["2024-03-01"])


def test_an_object_that_is_not_there(store: S3Store, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=r"orders_2023.* is not there, found no object s3://orders/of the day/"):
        Bucket(spool=tmp_path).fetch(f"{FOLDER}orders_2023-01-01.parquet", where=WHERE)
    with pytest.raises(SourceError, match=r"look at the"):
        Bucket(spool=tmp_path).signatures({"a": "s3://no-such-bucket/a"}, where=WHERE)


def test_a_store_that_is_not_there_is_one_clear_error(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = Bucket(spool=tmp_path, timeout=timedelta(seconds=1), retries=0)

    for ask in (away.fetch, lambda one, where: away.signatures({"a": one}, where=where)):
        with pytest.raises(SourceUnreachable, match=f"{WHERE}: the source cannot be reached") as caught:
            ask(f"{FOLDER}a", where=WHERE)
        assert "AWS_ENDPOINT_URL" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(str(caught.value)) < 700


def test_an_object_that_changes_while_it_is_read_is_an_error_and_the_next_attempt_reads_the_new_one(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = put(store, "2024-01-07", b"old")

    def take_then_change(stream: Readable, **given: str) -> Content:
        content = take(stream, spool=tmp_path, **given)
        put(store, "2024-01-07", b"new")
        return content

    with monkeypatch.context() as patch:
        patch.setattr(bucket, "take", lambda stream, spool, **given: take_then_change(stream, **given))
        with pytest.raises(SourceUnreachable, match="changed while it was read"):
            Bucket(spool=tmp_path).fetch(location, where=WHERE)

    assert Bucket(spool=tmp_path).fetch(location, where=WHERE).opened().read() == b"new"
