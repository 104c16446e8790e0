"""Suspicion: which columns look like personal data, like the label, or like something known only with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import polars as pl

from perennial.ingestion.proposing.typed import Typed

PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|tel|(first|last|full|sur|user|customer)_?name|surname|street|address|zip|postal_?code|"
    r"ssn|passport|iban|birth(day|date)?|dob|ip(_address)?|licen[cs]e_plate|card_?(no|number)|latitude|longitude)(_|$)"
)
CONTENT = {
    "e-mail addresses": r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    "telephone numbers": r"^\+\d[\d ()/-]{6,}$",
    "bank accounts": r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$",
    "IP addresses": r"^\d{1,3}(\.\d{1,3}){3}$",
}
PROTECTED = re.compile(
    r"(^|_)(sex|gender|race|ethnicity|religion|nationality|marriage|marital(_status)?|disability)(_|$)"
)
LABEL_WORDS = re.compile(
    r"(target|label|outcome|default_|^is_|cancel|churn|fraud|cnt$|count$|amount$|total|duration|price)"
)
MOST = 6
"""Candidates named for the label."""
ALIKE = 0.95
"""Correlation with the label from which a column is suspected to be made from it."""
LEAST = 30
"""Rows from which a correlation says something."""
SAMPLE = 1_000
"""Rows on which sums are looked for before they are proved on all."""
WIDEST = 60
"""Numeric columns whose sums are looked at."""
FEW = 50
"""Categories of a column that may each hold one value of the label."""


def personal(columns: Sequence[Typed]) -> dict[str, str]:
    """The columns that look like personal data, each with the reason."""
    found: dict[str, str] = {}
    for column in columns:
        if PERSONAL.search(column.name):
            found[column.name] = "its name"
        elif column.kind == "string":
            present = column.values.drop_nulls().head(1_000)
            for what, pattern in CONTENT.items():
                if len(present) and float(present.str.contains(pattern).mean() or 0) > 0.5:  # type: ignore[arg-type]
                    found[column.name] = f"values like {what}"
    return found


def is_protected(name: str) -> bool:
    """Whether a column's name is one of an attribute that laws protect from discrimination."""
    return PROTECTED.search(name) is not None


def label_candidates(columns: Sequence[Typed], times: Sequence[str]) -> tuple[str, ...]:
    """Columns, and spans between times, that a person may want to predict, the likeliest first."""
    numbers = [c for c in columns if c.values.dtype.is_numeric() or c.kind == "bool"]
    named = [c.name for c in numbers if LABEL_WORDS.search(c.name)]
    classes = [c.name for c in numbers if c.values.drop_nulls().n_unique() == 2]
    spans = [f"{later} - {times[0]}" for later in times[1:]]
    last = [columns[-1].name] if columns and columns[-1] in numbers else []
    both = [name for name in named if name in classes]
    return tuple(dict.fromkeys([*both, *spans, *named, *last, *classes]))[:MOST]


def leaks(rows: pl.DataFrame, label: str) -> dict[str, str]:
    """The columns that say so much about `label` that they may be made from it, each with the reason."""
    target = rows[label].cast(pl.Float64)
    found: dict[str, str] = {}
    for name in rows.columns if rows.height >= LEAST else ():
        if name == label:
            continue
        if rows.schema[name].is_numeric():
            together = rows.select(pl.corr(pl.col(name).cast(pl.Float64), target)).item()
            if together is not None and abs(together) >= ALIKE:
                found[name] = f"it moves with the label (correlation {together:.2f})"
        elif rows.schema[name] == pl.String and 1 < rows[name].n_unique() <= FEW and _decides(rows[name], target):
            found[name] = "each of its values has one value of the label"
    return found | (sums(rows, label) if rows.height >= LEAST else {})


def sums(rows: pl.DataFrame, label: str) -> dict[str, str]:
    """The pairs of columns that add up to `label` in every row, each with the reason."""
    numbers = [name for name in rows.columns if rows.schema[name].is_numeric() and name != label][:WIDEST]
    values = rows.select(pl.col(label, *numbers).cast(pl.Float64))
    numbers = [name for name in numbers if values[name].n_unique() > 1]
    pairs = list(itertools.combinations(numbers, 2))
    for part in (values.head(SAMPLE), values):
        told = part.select(_adds_up(*pair, label).alias(str(n)) for n, pair in enumerate(pairs)) if pairs else part
        pairs = [pair for n, pair in enumerate(pairs) if told[str(n)].item()]
    return {name: f"it adds up to the label with {' and '.join({*pair} - {name})}" for pair in pairs for name in pair}


def _adds_up(one: str, other: str, label: str) -> pl.Expr:
    gap = (pl.col(one) + pl.col(other) - pl.col(label)).abs()
    return (gap <= 1e-9 * pl.col(label).abs().max()).all() & (gap.count() >= LEAST)


def _decides(column: pl.Series, target: pl.Series) -> bool:
    """Whether every value of `column` stands beside one value of `target`."""
    pairs = pl.DataFrame({"value": column, "target": target})
    return 1 < target.n_unique() <= FEW and pairs.n_unique() == column.n_unique()
