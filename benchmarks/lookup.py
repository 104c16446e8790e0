"""Lookup: 8 features of one entity within the server, on SQLite, beside the same requests that carry them.

The server's own clock is read: the histogram of its /metrics counts how long a micro-batch was looked up.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.load import drive
from benchmarks.rows import Row
from benchmarks.serving import CONNECTIONS, ROUNDS, SECONDS, Target, release, serve
from perennial.bundle.bundle import Bundle
from perennial.featurization.aggregates import Rolling
from perennial.featurization.views import feature_views
from perennial.settings import home_at
from perennial.stores.online.feature_store import FeatureStore, Moment
from perennial.stores.production.model_server import to_instances

ENTITIES = 30_000
FEATURES = 8
LIMIT_MS = 2.0
"""Of the slowest lookup in a hundred."""


def run() -> list[Row]:
    """p99 of a lookup, what it costs the server, and how fast values come online."""
    from pipelines.delivery_eta import delivery_eta

    rolling = [Rolling(by="restaurant", how="count", days=days, default=0.0) for days in range(1, FEATURES + 1)]
    pipeline = replace(delivery_eta, aggregates=rolling)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = home_at(Path(folder))
        bundle = release(home, pipeline)
        seconds = _bring_online(FeatureStore(root=home.feature_store, online_url=home.online_store), pipeline, bundle)
        target = stack.enter_context(serve(home, bundle))
        carrying = [json.dumps({"instances": [instance]}).encode() for instance in to_instances(bundle.golden, bundle)]
        names = {lookup.name for lookup in bundle.schema.lookups}
        asking = [_without(body, names) for body in carrying]
        alone = _one_after_another(target, asking)
        p99, counted = _slowest(target)
        carried, looked_up = _rates(target, carrying, asking)
    seen = f"{FEATURES} features of one of {ENTITIES} entities; {counted} lookups; whole request p99 {alone:.2f} ms"
    return [
        Row(name="lookup: p99 in ms", value=p99, limit=LIMIT_MS, ok=p99 <= LIMIT_MS, detail=seen),
        Row(
            name="lookup: requests/s over those that carry the values",
            value=looked_up / carried,
            detail=f"{looked_up:.0f} and {carried:.0f} requests/s",
        ),
        Row(
            name="lookup: values that come online a second",
            value=ENTITIES * FEATURES / seconds,
            detail=f"{ENTITIES} entities in {seconds:.1f} s, through Feast",
        ),
    ]


def _rates(target: Target, *sides: list[bytes]) -> list[float]:
    """Requests a second of each of `sides`, which take turns."""
    rates: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for measured, bodies in zip(rates, sides, strict=True):
            driven = drive(target.port, target.path, bodies, connections=CONNECTIONS, seconds=SECONDS)
            measured.append(driven.requests_a_second)
    return [statistics.median(measured) for measured in rates]


def _bring_online(store: FeatureStore, pipeline: Any, bundle: Bundle) -> float:
    """Seconds in which the values of all entities came online."""
    (view,) = feature_views(pipeline)
    known = bundle.golden.get_column("restaurant").unique(maintain_order=True).to_list()
    names = (known + [f"restaurant {number}" for number in range(ENTITIES)])[:ENTITIES]
    day = str(bundle.golden.get_column(pipeline.time.event_time).dt.date().min())
    at = pipeline.time.window(day).start  # a value that is known later than the request happened is not looked up
    states = pl.DataFrame({"restaurant": names}).with_columns(
        *(pl.lit(float(n), pl.Float32).alias(name) for n, name in enumerate(view.features)), known_at=pl.lit(at)
    )
    with store.feast([view]):
        pass  # Feast is imported and the tables are made
    began = time.perf_counter()
    store.materialize(view, states, Moment(partition=day, known_at=at), at=datetime.now(UTC))
    return time.perf_counter() - began


def _without(body: bytes, names: set[str]) -> bytes:
    (instance,) = json.loads(body)["instances"]
    return json.dumps({"instances": [{n: v for n, v in instance.items() if n not in names}]}).encode()


def _one_after_another(target: Target, bodies: list[bytes]) -> float:
    """The p99 of whole requests on one connection, in ms; none of them may have a default."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}{target.path}", bodies[0]) as answer:
        content = json.loads(answer.read())
    if "defaulted" in content:
        raise RuntimeError(f"a lookup had its default: {content['defaulted']}")
    return drive(target.port, target.path, bodies, connections=1, seconds=SECONDS).p99 * 1000


def _slowest(target: Target) -> tuple[float, int]:
    """The p99 of lookups in ms by the server's histogram, the bound of its bucket, and how many it counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    buckets = [
        (float(line.split('le="')[1].split('"')[0]), float(line.rpartition(" ")[2]))
        for line in lines
        if line.startswith("perennial_lookup_seconds_bucket")
    ]
    total = buckets[-1][1]
    bound = next(bound for bound, count in buckets if count >= 0.99 * total)
    return bound * 1000, int(total)
