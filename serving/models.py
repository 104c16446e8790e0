"""Models: which version answers for each pipeline, and how another takes its place.

Readers take `served` and `failures`, mappings that are replaced and never changed: a request goes on with
the version it began with, whatever happens meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from perennial.bundle.bundle import Bundle
from perennial.deployment import Version
from perennial.errors import PerennialError, UnknownModel
from perennial.prediction.scoring import Predictor
from serving.metrics import Metrics

log = logging.getLogger("serving")

RETRY_SECONDS = 10.0
"""How long a bundle that could not be loaded is left alone."""


class Unready(PerennialError):
    """The pipeline may have a champion, and this process cannot answer for it now."""


class Routes(Protocol):
    """What serves now; `Operations` is one."""

    def routes(self) -> Mapping[str, Version]: ...


class Bundles(Protocol):
    """Where the bundles are; `BundleStore` is one."""

    def get(self, sha256: str) -> Bundle: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """A version that is loaded, warm and answers."""

    pipeline: str
    version: int
    predictor: Predictor

    @property
    def bundle(self) -> Bundle:
        """The bundle that computes its answers."""
        return self.predictor.bundle


@dataclass(slots=True, kw_only=True)
class Failure:
    """A bundle that could not be loaded: why, and when to try again."""

    sha256: str
    reason: str
    again_at: float


@dataclass(kw_only=True)
class Models:
    """The warm versions of one process, kept equal to the routes by `refresh`."""

    metrics: Metrics
    served: Mapping[str, Served] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    known: bool = False
    """Whether the routes were ever read."""
    trouble: str | None = None
    """Why the routes could not be read the last time; what was known goes on serving."""

    def find(self, pipeline: str) -> Served:
        """The version that answers for `pipeline`; raises UnknownModel or Unready."""
        served = self.served.get(pipeline)
        if served is not None:
            return served
        if failure := self.failures.get(pipeline):
            raise Unready("its champion could not be loaded", where=pipeline, found=failure.reason)
        if not self.known:
            raise Unready("the routes were not read yet", where=pipeline, found=self.trouble)
        raise UnknownModel(
            "no version of it serves",
            where=pipeline[:100],
            expected=f"one of {', '.join(sorted(self.served)) or 'none yet'}",
            hint="train and release a version: perennial train PIPELINE AS_OF",
        )

    def put(self, served: Served) -> None:
        """Let `served` answer from now on."""
        self.served = {**self.served, served.pipeline: served}
        self._forget_failure(served.pipeline)
        self.metrics.version.labels(served.pipeline).set(served.version)

    def refresh(self, routes: Routes, bundles: Bundles) -> None:
        """Read the routes and load what is new; a database or a bundle in trouble changes nothing that serves."""
        try:
            wanted = routes.routes()
        except (SQLAlchemyError, OSError) as error:
            self.note_trouble(error)
            return
        if self.trouble is not None:
            log.info("the operations database answers again")
        self.trouble = None
        self.metrics.database_up.set(1)
        for pipeline in set(self.served) - set(wanted):
            self.served = {name: one for name, one in self.served.items() if name != pipeline}
        for pipeline, version in wanted.items():
            self._follow(pipeline, version, bundles)
        self.known = True

    def note_trouble(self, error: Exception) -> None:
        """Remember that the routes cannot be read, and say so once."""
        if self.trouble is None:
            log.error("the operations database does not answer, the last known routes stay: %s", error)
        self.trouble = str(error).splitlines()[0]
        self.metrics.database_up.set(0)
        self.metrics.database_failures.inc()

    def _follow(self, pipeline: str, version: Version, bundles: Bundles) -> None:
        now = self.served.get(pipeline)
        if now is not None and (now.version, now.bundle.sha256) == (version.number, version.bundle_sha256):
            self._forget_failure(pipeline)
            return
        failure = self.failures.get(pipeline)
        if failure and failure.sha256 == version.bundle_sha256 and time.monotonic() < failure.again_at:
            return
        try:
            predictor = Predictor(bundles.get(version.bundle_sha256))
            predictor.warm_up()
        except Exception as error:  # noqa: BLE001 - whatever a damaged bundle raises, the old version goes on
            self._note_failure(version, error, repeated=failure is not None and failure.sha256 == version.bundle_sha256)
            return
        self.put(Served(pipeline=pipeline, version=version.number, predictor=predictor))
        log.info("%s: version %d serves (bundle %s)", pipeline, version.number, version.bundle_sha256[:12])

    def _forget_failure(self, pipeline: str) -> None:
        self.failures = {name: failure for name, failure in self.failures.items() if name != pipeline}

    def _note_failure(self, version: Version, error: Exception, *, repeated: bool) -> None:
        reason = str(error) or type(error).__name__
        again_at = time.monotonic() + RETRY_SECONDS
        failure = Failure(sha256=version.bundle_sha256, reason=reason, again_at=again_at)
        self.failures = {**self.failures, version.pipeline: failure}
        if repeated:
            return
        self.metrics.bundle_failures.labels(version.pipeline).inc()
        now = self.served.get(version.pipeline)
        goes_on = f"version {now.version} goes on serving" if now else "nothing serves"
        log.error("%s: version %d cannot be loaded, %s: %s", version.pipeline, version.number, goes_on, reason)
