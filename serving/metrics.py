"""Metrics: what the server tells Prometheus about its work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UNKNOWN = "unknown"
"""Label of a pipeline that no route names, so that callers cannot make up time series."""


@dataclass(slots=True, kw_only=True)
class InFlight:
    """Predict requests that were received and not answered yet."""

    count: int = 0


class Metrics:
    """The counters of one server process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = InFlight()
        self._add_requests(self.registry)
        self._add_models(self.registry)
        self._add_lookups(self.registry)
        self.feedback = Counter("perennial_feedback", "Outcomes received.", ["pipeline"], registry=self.registry)
        self.events = Counter("perennial_events", "Pushed events accepted.", ["pipeline"], registry=self.registry)

    def _add_requests(self, registry: CollectorRegistry) -> None:
        """What was asked and answered."""
        requests = Counter(
            "perennial_requests", "Predict requests, by HTTP status.", ["pipeline", "status"], registry=registry
        )
        instances = Counter("perennial_instances", "Answered instances.", ["pipeline", "version"], registry=registry)
        latency = Histogram(
            "perennial_latency_seconds", "From a predict request's receipt to its answer.", ["pipeline"],
            buckets=BUCKETS, registry=registry,
        )  # fmt: skip
        # looking a child up by its labels costs more than counting
        self._of_status = lru_cache(256)(requests.labels)
        self._of_version = lru_cache(256)(instances.labels)
        self._of_pipeline = lru_cache(256)(latency.labels)
        self._errors = Counter(
            "perennial_errors", "Requests that failed, by kind.", ["pipeline", "kind"], registry=registry
        )
        self.batch_rows = Histogram(
            "perennial_batch_rows", "Instances scored together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 256, 1024), registry=registry,
        )  # fmt: skip
        Gauge("perennial_in_flight", "Predict requests not answered yet.", registry=registry).set_function(
            lambda: self.in_flight.count
        )

    def _add_models(self, registry: CollectorRegistry) -> None:
        """What serves, and whether the place that says so answers."""
        self.version = Gauge("perennial_version", "Version that serves.", ["pipeline"], registry=registry)
        self.bundle_failures = Counter(
            "perennial_bundle_failures", "Bundles that could not be loaded.", ["pipeline"], registry=registry
        )
        self.database_up = Gauge(
            "perennial_operations_up", "Whether the operations database answered last.", registry=registry
        )
        self.database_failures = Counter("perennial_operations_failures", "Polls it did not answer.", registry=registry)

    def _add_lookups(self, registry: CollectorRegistry) -> None:
        """What the online store gave."""
        self.lookup_defaults = Counter(
            "perennial_lookup_defaults", "Looked-up features that hold their default, by reason.",
            ["pipeline", "feature", "reason"], registry=registry,
        )  # fmt: skip
        self.lookup_seconds = Histogram(
            "perennial_lookup_seconds", "Looking up the features of a micro-batch.", ["pipeline"],
            buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25), registry=registry,
        )  # fmt: skip
        self.online_store_up = Gauge(
            "perennial_online_store_up", "Whether the online store answered last.", ["pipeline"], registry=registry
        )
        self.online_known_at = Gauge(
            "perennial_online_known_at", "Since when the values online were known, in seconds since 1970.",
            ["pipeline", "view"], registry=registry,
        )  # fmt: skip

    def answered(self, pipeline: str, version: str, instances: int, seconds: float) -> None:
        """Count a predict request that was answered."""
        self._of_status(pipeline, "200").inc()
        self._of_version(pipeline, version).inc(instances)
        self._of_pipeline(pipeline).observe(seconds)

    def failed(self, pipeline: str, status: int, kind: str) -> None:
        """Count a predict or feedback request that failed."""
        self._of_status(pipeline, str(status)).inc()
        self._errors.labels(pipeline, kind).inc()

    def exposition(self) -> bytes:
        """What /metrics answers."""
        return generate_latest(self.registry)
