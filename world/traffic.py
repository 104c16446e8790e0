"""Traffic: a city's app asks the model server about each order, and later reports how long it took.

Real HTTP against a running server; nothing here waits for a clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import polars as pl

from perennial.errors import PerennialError
from world.city import City

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

PIPELINE = "delivery_eta"
TIMEZONE = ZoneInfo("Europe/Berlin")
PATIENCE = 30.0
"""Seconds until an unanswered request is an error."""
OUTCOMES_A_REQUEST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the app knows when a dinner is ordered, and what it will know when it has arrived."""

    instance: Mapping[str, Any]
    label: float
    """Minutes from order to door."""
    known_at: datetime
    """When it arrived, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One prediction of the server, and the order it is about."""

    id: str
    version: str
    prediction: float
    order: Order


def day_traffic(city: City, day: date) -> list[Order]:
    """The orders of `day` as an app would send them, without faults, by time."""
    orders = city.orders(day)
    minutes = (pl.col("delivered_at") - pl.col("ordered_at")).dt.total_seconds() / 60
    instances = orders.drop("delivered_at").with_columns(pl.col("ordered_at").dt.to_string("iso:strict"))
    labels = orders.select(minutes).to_series()
    return [
        Order(instance=instance, label=label, known_at=at.replace(tzinfo=TIMEZONE).astimezone(UTC))
        for instance, label, at in zip(instances.iter_rows(named=True), labels, orders["delivered_at"], strict=True)
    ]


def send(
    base_url: str, orders: Sequence[Order], connections: int = 8, *, batch: int = 1, pipeline: str = PIPELINE
) -> list[Answered]:
    """Ask for a prediction of each of `orders`, `batch` of them a request; the answers in the same order.

    Raises PerennialError when the server refuses or does not answer.
    """
    url = f"{base_url.rstrip('/')}/v1/models/{pipeline}:predict"
    parts = list(_parts(orders, batch))
    bodies = [{"instances": [dict(order.instance) for order in part]} for part in parts]
    answers = asyncio.run(_post_all(url, bodies, connections))
    return [one for part, answer in zip(parts, answers, strict=True) for one in _read(url, part, answer)]


def deliver_labels(
    base_url: str, answered: Sequence[Answered], connections: int = 4, *, pipeline: str = PIPELINE
) -> int:
    """Report the true minutes of what was `answered`, by prediction id; return how many."""
    url = f"{base_url.rstrip('/')}/v1/models/{pipeline}:feedback"
    outcomes = [{"id": one.id, "label": one.order.label, "source": "courier app"} for one in answered]
    bodies = [{"outcomes": list(part)} for part in _parts(outcomes, OUTCOMES_A_REQUEST)]
    asyncio.run(_post_all(url, bodies, connections))
    return len(outcomes)


def _parts(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


async def _post_all(url: str, bodies: Sequence[Any], connections: int) -> list[Any]:
    """The answers to `bodies`, in order, with at most `connections` requests under way."""
    import httpx

    answers: list[Any] = [None] * len(bodies)
    waiting = iter(enumerate(bodies))
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)

    async def work(client: httpx.AsyncClient) -> None:
        for number, body in waiting:
            answers[number] = await _post(client, url, body)

    async with httpx.AsyncClient(limits=limits, timeout=PATIENCE, trust_env=False) as client:
        await asyncio.gather(*(work(client) for _ in range(connections)))
    return answers


async def _post(client: httpx.AsyncClient, url: str, body: Any) -> Any:
    import httpx

    try:
        response = await client.post(url, json=body)
    except httpx.TransportError as error:
        raise PerennialError(
            "the model server does not answer", where=url, found=repr(error), hint="start it with `perennial serve`"
        ) from error
    if not response.is_success:
        found = f"status {response.status_code}: {response.text[:500]}"
        raise PerennialError("the model server refuses", where=url, found=found, expected="status 200")
    return response.json()


def _read(url: str, orders: Sequence[Order], answer: Any) -> list[Answered]:
    if not len(answer["ids"]) == len(answer["predictions"]) == len(orders):
        found = f"{len(answer['ids'])} ids and {len(answer['predictions'])} predictions"
        raise PerennialError("the answer is not whole", where=url, found=found, expected=f"{len(orders)} of each")
    return [
        Answered(id=name, version=str(answer["model_version"]), prediction=float(value), order=order)
        for name, value, order in zip(answer["ids"], answer["predictions"], orders, strict=True)
    ]
