"""Batching: instances of requests that wait at the same time are featurized and scored together.

Nothing waits on purpose: while one batch runs, the requests that arrive make the next one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import msgspec
import numpy as np
import polars as pl

from perennial.errors import RequestError
from perennial.prediction.prediction_id import issue
from perennial.prediction.request import FieldError, Row
from perennial.stores.production.segments import Record
from serving.lookup import Found, Lookups
from serving.metrics import Metrics
from serving.models import Served

log = logging.getLogger("serving")

INLINE_ROWS = 256
"""A batch of more rows runs in a thread, so that the other requests need not wait for it."""


class LogUnwritable(Exception):
    """The inference log took no record, so that no answer may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request gets."""

    predictions: list[float]
    ids: list[str]
    defaulted: list[Mapping[str, str]] | None = None
    """By instance: the looked-up features that hold their default, and why; None when no instance has any."""


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """A request between its check and its answer."""

    served: Served
    rows: list[Row]
    received: float
    """On the clock of time.perf_counter."""
    answer: asyncio.Future[Answer]
    found: Sequence[Found] = ()
    """The lookups of each row, of a model that has any."""


class Batcher:
    """Answers checked requests, together where they come together, and logs each answer before it is sent."""

    def __init__(
        self,
        *,
        secret: Callable[[], bytes],
        keep: Callable[[str, Sequence[Record]], None],
        metrics: Metrics,
        lookups: Lookups | None = None,
    ) -> None:
        self._secret = secret
        self._keep = keep
        self._metrics = metrics
        self._lookups = lookups or Lookups(None, metrics)
        self._looking: set[asyncio.Task[None]] = set()
        self._queue: list[Waiting] = []
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="large-batches")

    def submit(self, served: Served, rows: list[Row], received: float) -> asyncio.Future[Answer]:
        """The answer to come; RequestError for rows that the model cannot answer, LogUnwritable without a log."""
        loop = asyncio.get_running_loop()
        if not self._queue:
            loop.call_soon(self._answer_queue, loop)
        answer: asyncio.Future[Answer] = loop.create_future()
        self._queue.append(Waiting(served=served, rows=rows, received=received, answer=answer))
        return answer

    def close(self) -> None:
        """End the thread of large batches."""
        self._executor.shutdown()

    def _answer_queue(self, loop: asyncio.AbstractEventLoop) -> None:
        queue, self._queue = self._queue, []
        groups: dict[Served, list[Waiting]] = {}
        for waiting in queue:
            groups.setdefault(waiting.served, []).append(waiting)
        for served, batch in groups.items():
            if served.predictor.reader.schema.lookups:
                task = loop.create_task(self._look_up(loop, batch))
                self._looking.add(task)
                task.add_done_callback(self._looking.discard)
            else:
                self._answer_batch(loop, batch)

    async def _look_up(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting]) -> None:
        """Answer `batch` with the lookups of all its rows, read together."""
        served, rows = batch[0].served, [row for waiting in batch for row in waiting.rows]
        try:
            found = []
            for first in range(0, len(rows), INLINE_ROWS):
                if first:
                    await asyncio.sleep(0)  # other requests are answered between the parts
                part = rows[first : first + INLINE_ROWS]
                found += await self._lookups.fill(served.pipeline, served.predictor.reader, part)
        except Exception as error:
            log.exception("the lookups of %s failed", served.pipeline)
            _deliver(batch, [error] * len(batch))
            return
        start = 0
        for waiting in batch:
            waiting.found = found[start : start + len(waiting.rows)]
            start += len(waiting.rows)
        self._answer_batch(loop, batch)

    def _answer_batch(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting]) -> None:
        if sum(len(waiting.rows) for waiting in batch) <= INLINE_ROWS:
            _deliver(batch, self._attempt(batch))
        else:
            work = loop.run_in_executor(self._executor, self._attempt, batch)
            work.add_done_callback(partial(_deliver_done, batch))

    def _attempt(self, batch: list[Waiting]) -> list[Answer | Exception]:
        """An answer or an error for each request of `batch`; never raises, so that nobody waits for ever."""
        try:
            return self._answer(batch)
        except Exception as error:
            log.exception("a batch of %s failed", batch[0].served.pipeline)
            return [error] * len(batch)

    def _answer(self, batch: list[Waiting]) -> list[Answer | Exception]:
        predictor = batch[0].served.predictor
        rows = [row for waiting in batch for row in waiting.rows]
        found = [one for waiting in batch for one in waiting.found]
        try:
            features = predictor.featurize(predictor.reader.frame(rows, [one.values for one in found]))
            predictions = predictor.score(features)
        except Exception as error:  # noqa: BLE001 - whatever a feature or the model raises for these values
            if len(batch) > 1:  # the request that they cannot take fails alone
                return [outcome for waiting in batch for outcome in self._answer([waiting])]
            return [_unanswerable(error)]
        self._metrics.batch_rows.observe(len(rows))
        return self._keep_answers(batch, self._records(batch, rows, features, predictions), np.isfinite(predictions))

    def _keep_answers(
        self, batch: list[Waiting], records: list[Record], is_finite: np.ndarray[Any, Any]
    ) -> list[Answer | Exception]:
        """The outcome of each request, its records kept before it is known."""
        outcomes: list[Answer | Exception] = []
        kept: list[Record] = []
        start = 0
        for waiting in batch:
            part = records[start : start + len(waiting.rows)]
            finite = is_finite[start : start + len(part)]
            start += len(part)
            if finite.all():
                kept += part
                outcomes.append(_answer_of(part))
            else:
                outcomes.append(_not_finite(int(np.argmin(finite))))
        try:
            self._keep(batch[0].served.pipeline, kept)
        except OSError as error:
            failure = LogUnwritable(str(error))
            return [failure if isinstance(outcome, Answer) else outcome for outcome in outcomes]
        return outcomes

    def _records(
        self, batch: list[Waiting], rows: list[Row], features: pl.DataFrame, predictions: np.ndarray[Any, Any]
    ) -> list[Record]:
        served, secret = batch[0].served, self._secret()
        reader, sha256 = served.predictor.reader, served.bundle.sha256
        values_of = _feature_values(tuple(features.columns))
        clock, now = time.perf_counter(), time.time()
        received = [waiting.received for waiting in batch for _ in waiting.rows]
        defaulted = [one.defaulted or None for waiting in batch for one in waiting.found] or [None] * len(rows)
        records = []
        for row, values, prediction, began, marks in zip(
            rows, features.rows(), predictions.tolist(), received, defaulted, strict=True
        ):
            event_time = reader.event_time(row)
            partition = reader.schema.clock.key_of(event_time)
            records.append(
                Record(
                    id=issue(served.pipeline, partition, secret),
                    at=datetime.fromtimestamp(now - (clock - began), UTC),
                    event_time=event_time,
                    pipeline=served.pipeline,
                    version=served.version,
                    bundle=sha256,
                    partition=partition,
                    prediction=prediction,
                    latency_ms=round((clock - began) * 1000, 3),
                    instance=row,
                    features=values_of(*values),
                    defaulted=marks,
                )
            )
        return records


@lru_cache(64)
def _feature_values(names: tuple[str, ...]) -> type[msgspec.Struct]:
    """A struct that is written as an object of the features' values."""
    fields = [(f"f{i}", Any) for i in range(len(names))]
    return msgspec.defstruct("Features", fields, rename={f"f{i}": name for i, name in enumerate(names)}, gc=False)


def _answer_of(records: Sequence[Record]) -> Answer:
    marks = [record.defaulted or {} for record in records] if any(record.defaulted for record in records) else None
    return Answer(predictions=[r.prediction for r in records], ids=[r.id for r in records], defaulted=marks)


def _deliver(batch: list[Waiting], outcomes: list[Answer | Exception]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.answer.done():  # the client has gone
            continue
        if isinstance(outcome, Exception):
            waiting.answer.set_exception(outcome)
        else:
            waiting.answer.set_result(outcome)


def _deliver_done(batch: list[Waiting], done: asyncio.Future[list[Answer | Exception]]) -> None:
    _deliver(batch, done.result())


def _unanswerable(error: Exception) -> RequestError:
    found = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return RequestError("the features or the model cannot take these values", where="instances", found=found)


def _not_finite(index: int) -> FieldError:
    return FieldError(
        "the model has no finite answer", index=index, field=None, found="a prediction that is no number",
        expected="values in the range that the model was trained on",
    )  # fmt: skip
