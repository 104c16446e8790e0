"""Lookup: the server fills in what an instance leaves out, and says where it could not; it never fails for it."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import signal
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from perennial.bundle.bundle import open_bundle
from perennial.featurization.views import feature_views
from perennial.prediction.request import RequestReader
from perennial.stores.online import open_reader
from perennial.stores.online.feature_store import FeatureStore, Moment
from perennial.stores.operations.alerts import Alert
from serving.alarms import Alarms
from serving.batching import Batcher
from serving.lookup import STATE_SECONDS, TROUBLE_SECONDS, Found, Lookups
from tests.bundles import LOOKED_UP, an_instance, answer_by_hand, looking_up_bundle
from tests.servers import free_port, redis_process
from tests.serving.conftest import NOW, City, Local

KNOWN = datetime(2024, 2, 29, 23, tzinfo=UTC)
"""The end of the day before that of `an_instance()`, in Berlin."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(city: City) -> FeatureStore:
    return FeatureStore(root=city.home.feature_store, online_url=city.home.online_store)


@pytest.fixture
def served(local: Local, clock: Clock) -> Iterator[Local]:
    """Return the app with version 1 of `lookups`, whose model adds its two aggregates to the answer."""
    lookups = Lookups(open_reader(local.city.home.online_store), local.metrics, clock=clock)
    local.use(lookups)
    local.city.release(2.0, "lookups")
    local.follow()
    yield local
    local.loop.run(lookups.close())


def bring_online(
    store: FeatureStore, *rows: tuple[str, float | None, float | None], known_at: datetime = KNOWN
) -> None:
    """The state of the zones: name, mean and count."""
    (view,) = feature_views(LOOKED_UP)
    names = list(view.features)
    states = pl.DataFrame(
        {"zone": [r[0] for r in rows], names[0]: [r[1] for r in rows], names[1]: [r[2] for r in rows]},
        schema={"zone": pl.String, names[0]: pl.Float32, names[1]: pl.Float32},
    ).with_columns(known_at=pl.lit(known_at, pl.Datetime("us", "UTC")))
    store.materialize(view, states, Moment(partition=f"{known_at:%Y-%m-%d}", known_at=known_at), at=NOW)


def asked(**changes: Any) -> dict[str, Any]:
    return an_instance(0, rain=False, **changes)


def base(instance: dict[str, Any]) -> float:
    return answer_by_hand(2.0, instance)


def records(served: Local) -> list[dict[str, Any]]:
    (segment,) = (served.city.home.inference / "lookups").glob("*.jsonl")
    return [json.loads(line) for line in segment.read_text().splitlines()]


def test_what_an_instance_leaves_out_is_looked_up(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0), ("south", 7.0, 1.0))
    sent = [asked(zone="north"), asked(zone="south")]

    answer = served.predict(*sent, pipeline="lookups").json()

    assert answer["predictions"] == pytest.approx([base(sent[0]) + 34.0, base(sent[1]) + 8.0])
    assert "defaulted" not in answer


def test_the_record_holds_the_values_that_were_looked_up(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))

    served.predict(asked(), pipeline="lookups")

    (record,) = records(served)
    assert (record["features"]["zone_mean_7d"], record["features"]["zone_count_7d"]) == (30.0, 4.0)
    assert "zone_mean_7d" not in record["instance"]
    assert "defaulted" not in record


def test_a_value_that_an_instance_carries_is_taken_as_it_is(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))

    answer = served.predict(asked(zone_mean_7d=1.0), asked(zone_mean_7d=1.0, zone_count_7d=2.0), pipeline="lookups")

    assert answer.json()["predictions"] == pytest.approx([base(asked()) + 5.0, base(asked()) + 3.0])
    assert [record["instance"].get("zone_mean_7d") for record in records(served)] == [1.0, 1.0]


def test_a_null_that_an_instance_carries_is_a_null_and_no_lookup(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))

    answer = served.predict(asked(zone_mean_7d=None, zone_count_7d=1.0), pipeline="lookups").json()

    assert answer["predictions"] == pytest.approx([base(asked()) - 1000.0 + 1.0])  # the model's own answer to NaN
    assert "defaulted" not in answer


def test_an_absent_entity_has_the_declared_default_and_is_marked(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0), ("west", None, 2.0))
    sent = [asked(), asked(zone="nowhere"), asked(zone="west")]

    answer = served.predict(*sent, pipeline="lookups").json()

    marks = [{}, {"zone_mean_7d": "absent", "zone_count_7d": "absent"}, {"zone_mean_7d": "absent"}]
    assert answer["defaulted"] == marks
    # the mean's default is null, which the model answers with -1000; the count's is 0.5
    defaults = [34.0, -999.5, -998.0]
    assert answer["predictions"] == pytest.approx([base(i) + d for i, d in zip(sent, defaults, strict=True)])
    assert [record.get("defaulted", {}) for record in records(served)] == marks


def test_a_value_older_than_the_bundle_allows_is_not_used(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    last = KNOWN + timedelta(days=2)  # two partitions
    sent = [asked(at_door=at.isoformat()) for at in (last, last + timedelta(seconds=1))]

    answer = served.predict(*sent, pipeline="lookups").json()

    assert answer["defaulted"] == [{}, {"zone_mean_7d": "stale", "zone_count_7d": "stale"}]


def test_values_of_another_declaration_are_not_used(served: Local, store: FeatureStore) -> None:
    (view,) = feature_views(LOOKED_UP)
    other = replace(view, features={**view.features, "zone_mean_7d": "another"})
    states = pl.DataFrame({"zone": ["north"], "zone_mean_7d": [30.0], "zone_count_7d": [4.0], "known_at": [KNOWN]})
    store.materialize(other, states, Moment(partition="2024-02-29", known_at=KNOWN), at=NOW)

    answer = served.predict(asked(), pipeline="lookups").json()

    assert answer["defaulted"] == [{"zone_mean_7d": "unavailable"}]
    assert answer["predictions"] == pytest.approx([base(asked()) - 1000.0 + 4.0])


@pytest.mark.parametrize("idle", [0.0, 3600.0])
def test_values_that_came_online_under_another_declaration_are_used_in_no_answer(
    served: Local, store: FeatureStore, clock: Clock, idle: float
) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    served.predict(asked(), pipeline="lookups")
    (view,) = feature_views(LOOKED_UP)
    other = replace(view, features={**view.features, "zone_mean_7d": "another"})
    states = pl.DataFrame({"zone": ["north"], "zone_mean_7d": [777.0], "zone_count_7d": [5.0], "known_at": [KNOWN]})
    store.materialize(other, states, Moment(partition="2024-02-29", known_at=KNOWN), at=NOW)
    clock.now += idle

    answer = served.predict(asked(), pipeline="lookups").json()

    assert answer["defaulted"] == [{"zone_mean_7d": "unavailable"}]
    assert answer["predictions"] == pytest.approx([base(asked()) - 1000.0 + 5.0])


def test_values_that_are_exchanged_while_they_are_read_are_not_used(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    (view,) = feature_views(LOOKED_UP)
    other = replace(view, features=dict.fromkeys(view.features, "another"))
    states = pl.DataFrame({"zone": ["north"], "zone_mean_7d": [777.0], "zone_count_7d": [4.0], "known_at": [KNOWN]})
    inner = open_reader(served.city.home.online_store)

    class Between:
        """A store whose values are exchanged after each question."""

        async def read(self, *question: Any) -> Any:
            answer = await inner.read(*question)
            store.materialize(other, states, Moment(partition="2024-02-29", known_at=KNOWN), at=NOW)
            return answer

        async def close(self) -> None:
            await inner.close()

    lookups = Lookups(Between(), served.metrics)
    reader = served.models.find("lookups").predictor.reader

    async def ask() -> list[Found]:
        found = await lookups.fill("lookups", reader, reader.check([asked()]))
        await lookups.close()
        return found

    (found,) = served.loop.run(ask())

    assert found.defaulted == dict.fromkeys(view.features, "unavailable")


def test_a_newer_state_is_seen_by_the_first_request_after_it(served: Local, store: FeatureStore, clock: Clock) -> None:
    bring_online(store, ("north", 30.0, 4.0), known_at=KNOWN - timedelta(days=9))
    before = served.predict(asked(), pipeline="lookups").json()
    bring_online(store, ("north", 31.0, 4.0))
    clock.now += 3600

    answer = served.predict(asked(), pipeline="lookups").json()

    assert before["defaulted"] == [{"zone_mean_7d": "stale", "zone_count_7d": "stale"}]
    assert "defaulted" not in answer
    assert answer["predictions"] == pytest.approx([base(asked()) + 35.0])


def test_a_request_that_tells_a_time_before_the_values_were_known_does_not_get_them(
    served: Local, store: FeatureStore
) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    sent = [asked(at_door=at) for at in ("2024-03-01T00:00:00", "2024-02-29T23:59:59.999999")]

    answer = served.predict(*sent, pipeline="lookups").json()

    assert answer["defaulted"] == [{}, {"zone_mean_7d": "future", "zone_count_7d": "future"}]
    assert [answer["predictions"][1]] == pytest.approx([base(sent[1]) - 999.5])


def test_a_version_that_is_served_no_more_is_let_go(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    reader = RequestReader(open_bundle(looking_up_bundle()).schema)
    kept: list[weakref.ref[Any]] = [weakref.ref(reader), weakref.ref(reader.schema)]
    served.loop.run(served.lookups.fill("lookups", reader, reader.check([asked()])))

    del reader
    gc.collect()

    assert [one() for one in kept] == [None, None]


def test_before_anything_is_online_every_lookup_has_its_default(
    served: Local, clock: Clock, store: FeatureStore
) -> None:
    before = served.predict(asked(), pipeline="lookups")
    bring_online(store, ("north", 30.0, 4.0))
    clock.now += STATE_SECONDS
    served.predict(asked(), pipeline="lookups")  # has the store that was down looked at again, and does not wait
    after = served.predict(asked(), pipeline="lookups")

    assert before.status_code == 200
    assert before.json()["defaulted"] == [{"zone_mean_7d": "unavailable", "zone_count_7d": "unavailable"}]
    assert "defaulted" not in after.json()


def test_a_store_that_breaks_while_serving_is_marked_counted_and_raised(
    served: Local, store: FeatureStore, clock: Clock
) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    served.predict(asked(), pipeline="lookups")
    alarms = Alarms(lookups=served.lookups, alerts=served.city.operations, now=lambda: NOW, clock=clock)
    file = served.city.home.feature_store / "online.db"
    whole = file.read_bytes()
    served.loop.run(served.lookups.close())
    for part in file.parent.glob("online.db*"):
        part.unlink()
    file.write_bytes(b"no database, but bytes all the same" * 1000)

    answer = served.predict(asked(), pipeline="lookups")
    alarms.settle()
    raised = open_alerts(served)
    file.write_bytes(whole)
    served.loop.run(served.lookups.close())
    for _ in range(2):
        clock.now += TROUBLE_SECONDS
        served.predict(asked(), pipeline="lookups")
    alarms.settle()

    assert answer.status_code == 200
    assert answer.json()["defaulted"] == [{"zone_mean_7d": "unavailable", "zone_count_7d": "unavailable"}]
    metrics = served.request("GET", "/metrics").text
    counted = 'perennial_lookup_defaults_total{feature="zone_mean_7d",pipeline="lookups",reason="unavailable"} 2.0'
    assert counted in metrics  # also the request that had the store looked at again
    assert 'perennial_online_store_up{pipeline="lookups"} 1.0' in metrics
    assert [(alert.pipeline, alert.kind, alert.key) for alert in raised] == [
        ("lookups", "online_store", "online store")
    ]
    assert "not a database" in raised[0].message
    assert open_alerts(served) == []


@pytest.mark.parametrize(
    "name",
    [pytest.param("redis_url", marks=pytest.mark.redis), pytest.param("postgres_url", marks=pytest.mark.postgres)],
)
def test_other_stores_serve_the_same(local: Local, name: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(name)
    store = FeatureStore(root=local.city.home.feature_store, online_url=url)
    local.use(Lookups(open_reader(url), local.metrics))
    local.city.release(2.0, "lookups")
    local.follow()
    bring_online(store, ("north", 30.0, 4.0), ("south", 7.0, None))
    sent = [asked(), asked(zone="south"), asked(zone="east")]

    answer = local.predict(*sent, pipeline="lookups").json()

    added = [prediction - base(instance) for prediction, instance in zip(answer["predictions"], sent, strict=True)]
    assert added == pytest.approx([34.0, 7.5, -999.5])
    assert answer["defaulted"] == [
        {}, {"zone_count_7d": "absent"}, {"zone_mean_7d": "absent", "zone_count_7d": "absent"},
    ]  # fmt: skip
    local.loop.run(local.lookups.close())


@pytest.mark.redis
def test_a_store_that_hangs_holds_up_one_answer_for_a_moment_and_no_other(local: Local) -> None:
    binary = shutil.which("redis-server")
    assert binary is not None
    with redis_process(port := free_port(), binary) as process:
        url = f"redis://127.0.0.1:{port}/0"
        clock = Clock()
        local.use(Lookups(open_reader(url), local.metrics, clock=clock))
        local.city.release(2.0, "lookups")
        local.follow()
        bring_online(FeatureStore(root=local.city.home.feature_store, online_url=url), ("north", 30.0, 4.0))
        good = local.predict(asked(), pipeline="lookups").json()

        process.send_signal(signal.SIGSTOP)
        began = time.perf_counter()
        first = local.predict(asked(), pipeline="lookups")
        waited = time.perf_counter() - began
        second = local.predict(asked(), pipeline="lookups")
        quickly = time.perf_counter() - began - waited
        process.send_signal(signal.SIGCONT)
        while "defaulted" in local.predict(asked(), pipeline="lookups").json():  # the test's timeout bounds it
            clock.now += STATE_SECONDS
        local.loop.run(local.lookups.close())

    assert "defaulted" not in good
    assert [answer.json()["defaulted"][0]["zone_mean_7d"] for answer in (first, second)] == ["unavailable"] * 2
    assert waited < 1.0
    assert quickly < 0.2


def test_a_stale_view_is_raised_as_long_as_it_is_met(served: Local, store: FeatureStore, clock: Clock) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    alarms = Alarms(lookups=served.lookups, alerts=served.city.operations, now=lambda: NOW, clock=clock)

    served.predict(asked(at_door="2024-05-01T08:00:00"), pipeline="lookups")
    alarms.settle()
    raised = open_alerts(served)
    clock.now += TROUBLE_SECONDS + 1
    alarms.settle()

    assert [(alert.key, "last known at 2024-02-29" in alert.message) for alert in raised] == [("by_zone", True)]
    assert open_alerts(served) == []


def open_alerts(served: Local) -> list[Alert]:
    return served.city.operations.open_alerts("lookups")


@pytest.mark.parametrize(
    ("field", "value"), [("zone", 7), ("zone_mean_7d", "many"), ("zone_mean_7d", 1e39), ("zone_count_7d", [1])]
)
def test_an_entity_or_a_carried_value_of_another_type_is_a_422_with_its_name(
    served: Local, store: FeatureStore, field: str, value: Any
) -> None:
    bring_online(store, ("north", 30.0, 4.0))

    answer = served.predict(asked() | {field: value}, pipeline="lookups")

    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_many_instances_are_looked_up_together_and_answered_in_order(served: Local, store: FeatureStore) -> None:
    bring_online(store, *[(f"zone {number}", float(number), 1.0) for number in range(700)])
    sent = [asked(zone=f"zone {number * 7 % 1000}") for number in range(1000)]

    answer = served.predict(*sent, pipeline="lookups").json()

    expected = [
        base(i) + (n * 7 % 1000 + 1.0 if n * 7 % 1000 < 700 else -999.5) for n, i in enumerate(sent)
    ]  # fmt: skip
    assert answer["predictions"] == pytest.approx(expected)
    assert sum(map(bool, answer["defaulted"])) == 300


def test_a_single_bundle_is_served_with_defaults_that_are_marked(city: City, local: Local) -> None:
    local.use(Lookups(None, local.metrics))
    local.city.release(2.0, "lookups")
    local.follow()

    answer = local.predict(asked(), asked(zone_mean_7d=1.0, zone_count_7d=1.0), pipeline="lookups").json()

    assert answer["defaulted"] == [{"zone_mean_7d": "unavailable", "zone_count_7d": "unavailable"}, {}]


def test_the_documentation_names_the_lookups_as_fields_that_may_be_left_out(served: Local) -> None:
    api = served.request("GET", "/openapi.json").json()
    item = api["paths"]["/v1/models/lookups:predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    fields = item["properties"]["instances"]["items"]
    assert fields["properties"]["zone_mean_7d"]["type"] == ["number", "null"]
    assert "zone_mean_7d" not in fields["required"]
    lookups = served.request("GET", "/v1/models/lookups").json()["schema"]["lookups"]
    assert [(one["name"], one["default"], one["stale_after"]) for one in lookups] == [
        ("zone_mean_7d", None, 172800.0), ("zone_count_7d", 0.5, 172800.0),
    ]  # fmt: skip


def test_a_version_with_other_views_is_looked_up_at_once(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0))
    (mean, count) = open_bundle(looking_up_bundle()).schema.lookups
    schema = open_bundle(looking_up_bundle()).schema
    reader = RequestReader(replace(schema, lookups=(replace(mean, view="by_another"), count)))
    one = served.models.find("lookups").predictor.reader

    async def fill(of: RequestReader) -> list[Found]:
        return await served.lookups.fill("lookups", of, of.check([asked()]))

    before, other, after = (served.loop.run(fill(of))[0].defaulted for of in (one, reader, one))

    assert (before, other, after) == ({}, {"zone_mean_7d": "unavailable"}, {})


def test_a_lookup_that_fails_in_an_unforeseen_way_answers_every_request(served: Local) -> None:
    class Broken:
        async def read(self, *_: Any) -> Any:
            raise ZeroDivisionError

        async def close(self) -> None: ...

    served.use(Lookups(Broken(), served.metrics))

    assert served.predict(asked(), pipeline="lookups").status_code == 500


def test_requests_that_come_together_are_read_in_one_question(served: Local, store: FeatureStore) -> None:
    bring_online(store, ("north", 30.0, 4.0), ("south", 7.0, 1.0))
    inner = open_reader(served.city.home.online_store)
    questions: list[int] = []

    class Counting:
        async def read(self, project: str, view: str, features: Any, keys: Any) -> Any:
            questions.append(len(keys))
            return await inner.read(project, view, features, keys)

        async def close(self) -> None:
            await inner.close()

    lookups = Lookups(Counting(), served.metrics)
    batcher = Batcher(
        secret=served.city.operations.secret, keep=served.log.keep, metrics=served.metrics, lookups=lookups
    )
    model = served.models.find("lookups")
    rows = [model.predictor.reader.check([asked(zone=zone)]) for zone in ("north", "south", "north")]

    async def ask() -> list[list[float]]:
        answers = await asyncio.gather(*(batcher.submit(model, one, 0.0) for one in rows))
        await lookups.close()
        return [answer.predictions for answer in answers]

    with closing(batcher):
        predictions = served.loop.run(ask())

    added = [answer - base(asked()) for (answer,) in predictions]
    assert added == pytest.approx([34.0, 8.0 - 100.0, 34.0])  # the model adds 100 in the north
    assert questions == [2, 1]  # both zones, then the view's state
