"""Alarms: what is wrong with the lookups, raised as alerts in the operations database and closed when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from perennial.stores.operations.alerts import Alert
from serving.lookup import Lookups

KIND = "online_store"
SETTLE_SECONDS = 2.0


class AlertStore(Protocol):
    """Where alerts are kept; `Operations` is one."""

    def raise_alert(self, pipeline: str, kind: str, key: str, message: str, *, at: datetime) -> bool: ...

    def close_alert(self, pipeline: str, kind: str, key: str, *, at: datetime) -> bool: ...

    def open_alerts(self, pipeline: str | None = None) -> list[Alert]: ...


@dataclass(kw_only=True)
class Alarms:
    """Keeps the open alerts of kind `online_store` equal to the troubles of `lookups`."""

    lookups: Lookups
    alerts: AlertStore
    now: Callable[[], datetime]
    clock: Callable[[], float] = time.monotonic
    _settled_at: float = field(default=-1e9, init=False)

    def settle(self) -> None:
        """Raise what is new and close what is over, at most every SETTLE_SECONDS; nothing without lookups.

        An alert of a pipeline whose lookups nobody asked this process for stays: it cannot know.
        """
        watched = self.lookups.watched()
        if not watched or self.clock() - self._settled_at < SETTLE_SECONDS:
            return
        self._settled_at = self.clock()
        troubles, at = self.lookups.troubles(), self.now()
        opened = {(a.pipeline, a.key) for a in self.alerts.open_alerts() if a.kind == KIND and a.pipeline in watched}
        for (pipeline, key), message in troubles.items():
            if (pipeline, key) not in opened:
                self.alerts.raise_alert(pipeline, KIND, key, message, at=at)
        for pipeline, key in opened - set(troubles):
            self.alerts.close_alert(pipeline, KIND, key, at=at)
