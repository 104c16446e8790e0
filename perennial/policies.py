"""Policies: the thresholds a pipeline declares, with safe defaults.

The rules that apply them live in the module of their stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How many partitions before an as-of fit, choose and judge a model, forward in time."""

    train: int
    validation: int = 1
    test: int = 1

    @property
    def length(self) -> int:
        """Partitions of history that one training needs."""
        return self.train + self.validation + self.test


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Until when a row, or a correction of one, may arrive: after its partition's end at most `accept_for`.

    What arrives later is quarantined, and the row that it would replace stays. None accepts it always.
    A partition's first delivery is never late: it is accepted whole, though it comes a year after its end.
    """

    accept_for: timedelta | None = None

    def until(self, end: datetime) -> datetime | None:
        """The last instant at which a row of a partition that ends at `end` is accepted."""
        return None if self.accept_for is None else end + self.accept_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Maturity:
    """A partition's labels are mature once `completeness` of its accepted rows have one, or `at_latest` after its end.

    What has not come by then is taken for lost.
    """

    completeness: float = 0.99
    at_latest: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageAudit:
    """From when a feature is caught knowing what could not be known at the prediction."""

    power: float = 0.95
    """How well it alone may order the outcomes: |2 AUC - 1| of two classes, else |rank correlation|."""
    missing: float = 0.5
    """The same of the bare fact that it is missing."""
    purity: float = 0.995
    """Of the rows that a value should have in the other class by chance, how many may be absent."""
    expected: int = 100
    """Rows that a value should have in the other class before its purity counts."""
    changed: float = 0.01
    """Share of a typical partition's rows that may differ from what was first known of them."""
    rows: int = 20_000
    """Rows that are sampled."""

    def misfits(self) -> Iterator[tuple[str, object, str]]:
        """Each field that cannot be meant: its name, its value, and what was expected."""
        for name in ("power", "missing", "purity", "changed"):
            if not 0 <= getattr(self, name) <= 1:
                yield name, getattr(self, name), f"0 <= {name} <= 1"
        for name in ("expected", "rows"):
            if not getattr(self, name) >= 1:
                yield name, getattr(self, name), f"{name} >= 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of the rows that must not be served worse than `limit`, in units of the metric.

    Fewer than `min_rows` rows in the sealed test is missing evidence, and fails.
    """

    name: str
    where: pl.Expr
    limit: float
    min_rows: int = 50
    reason: str = ""
    """Why it may look at a column that `Rules` bar, such as to see that nobody is served worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What no declaration may do, whoever writes it; checked when it is loaded, and again before a training."""

    allowed_sources: tuple[str, ...] | None = None
    """Patterns such as `s3://ours/*`, of which a source's address must match one; None allows any."""
    licences: tuple[str, ...] | None = None
    """Licences under which data may be used; None allows any."""
    barred: tuple[str, ...] = ()
    """Columns, by their declared or their source's name, that no feature or aggregate may read, nor a slice
    without a reason."""
    pii_in_features: bool = False
    """Whether features and aggregates may read columns tagged as personal data."""
    feature_owners: Mapping[str, str] = field(default_factory=dict)
    """Who answers for a feature; the pipeline's owner for one that is not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Better:
    """Claim: the candidate's error is lower; the interval of the paired difference excludes zero."""

    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWorse:
    """Claim: the candidate's error exceeds the other's by less than `margin` of it, interval included."""

    margin: float = 0.02
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Claim: every way of running the bundle agrees on the golden rows.

    |difference| <= tolerance x (1 + |prediction|) on at least `min_rows` rows.
    """

    tolerance: float = 1e-4
    min_rows: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What a version must pass before it serves; a gate without evidence refuses."""

    baselines: Better = field(default_factory=Better)
    champion: NotWorse = field(default_factory=NotWorse)
    parity: Parity = field(default_factory=Parity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What is watched in production, and from which effect size on a partition has drifted."""

    every: Literal["1h", "1d", "1mo"] = "1d"
    columns: tuple[str, ...] | None = None
    """Columns compared with the reference; None means all that features read, event time apart."""
    drift_threshold: float = 0.2
    """Numbers: Wasserstein distance in standard deviations; categories: Jensen-Shannon distance."""
    min_rows: int = 100
    """Fewer rows in a partition say nothing about drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KofN:
    """True when at least `k` of the last `n` are."""

    k: int = 3
    n: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """When a challenger is trained without anybody asking."""

    schedule: str | None = "0 4 * * *"
    """Cron, in the pipeline's timezone; trains the newest complete as-of that is not yet trained."""
    new_labels: float | None = 0.05
    """Train when mature labels grew by this share of the champion's training set."""
    drift: KofN | None = field(default_factory=KofN)
    """Train when so many of the last partitions drifted."""
    cooldown: timedelta = timedelta(days=3)
    """The next as-of lies at least so long after the last that was trained by a trigger."""
