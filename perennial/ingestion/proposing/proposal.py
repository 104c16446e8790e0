"""Proposal: what one file suggests about the pipeline that would read it.

Every guess is made from this file alone and says so; what no file can tell (the label, units, which
columns are known only with the outcome) stays a question.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from perennial.ingestion.proposing.outcome import positive_text
from perennial.ingestion.proposing.suspicion import is_protected, label_candidates, leaks, personal
from perennial.ingestion.proposing.typed import Typed, quoted, type_columns
from perennial.sources import Csv

FEW = 12
"""At most so many texts are taken for all the texts there are."""
KEY_COLUMNS = 6
"""Columns that a guessed key has at most."""
REPEATED = 0.01
"""Share of rows that may share a guessed key; beyond it the row's number is proposed."""
DAILY_ROWS = 500
"""A file with so many rows a day is cut into days, else into months."""
MOST_CODES = 100
"""A whole number that differs in each of more rows than these numbers them."""
ROW_NUMBER = "row_number"
START_WORDS = re.compile(r"(^|_)(pickup|start|order|book|creat|request|begin|open)")
END_WORDS = re.compile(
    r"(^|_)(dropoff|end|deliver|complet|clos|updat|status|resolv|finish|outcome|result|cancel|modif|expir)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the proposal, and why it was guessed."""

    text: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a file suggests; `perennial.ingestion.proposing.module` writes it down as a declaration."""

    rows: int
    columns: tuple[Typed, ...]
    undeclared: tuple[str, ...]
    """Columns of types that no declared column can have."""
    reading: Csv | None
    """How the file is read, where it is text with a header."""
    event_time: str | None
    """None where no column says when a row happened, or only one that sounds like its end."""
    other_times: tuple[str, ...]
    pattern: str
    calendar: str
    start: str
    is_whole: bool
    key: tuple[str, ...]
    repeated: int
    """Rows that share the key with another."""
    label: str | None
    """The column that was named, or two of them with ` - ` between."""
    positive: str | None
    """Where the label is one of two texts, the one that is asked for."""
    labels: tuple[str, ...]
    """Candidates for the label, the likeliest first."""
    known_at: str | None
    late: Mapping[str, str]
    """Columns that seem to be known only with the label, each with the reason."""
    personal: Mapping[str, str]
    protected: tuple[str, ...]
    expectations: tuple[Line, ...]

    def column(self, name: str) -> Typed:
        """The column that is declared as `name`."""
        return next(column for column in self.columns if column.name == name)


def propose(
    frame: pl.DataFrame,
    *,
    file: str,
    reading: Csv | None = None,
    label: str | None = None,
    known_at: str | None = None,
    event_time: str | None = None,
) -> Proposal:
    """What `frame`, the rows of `file`, suggests. `label`, `known_at` and `event_time` name columns, by either name.

    A label may also be a span between two times: `dropoff_at - pickup_at`. `reading` is how it was read where every
    value came as text.

    Raises ValueError for a name that the file does not have, and for a label that cannot be predicted.
    """
    typed = type_columns(frame, is_text=reading is not None)
    rows = pl.DataFrame({column.name: column.values for column in typed.columns})
    names = {column.source: column.name for column in typed.columns} | {c.name: c.name for c in typed.columns}
    parts = [] if label is None else [label] if label in names else label.split(" - ")
    spanned = [str(_named(part, names)) for part in parts]
    times = _times(typed.columns)
    happened = _named(event_time, names) or next((one for one in times[:1] if not sounds_late(one)), None)
    if happened is not None and happened not in times:
        raise ValueError(f"column {happened!r} has no time in every row; {', '.join(times) or 'none'} has")
    pattern, calendar, start, is_whole = _calendar(file, rows, happened)
    hidden = personal(typed.columns)
    positive = positive_text({c.name: c for c in typed.columns}, spanned, hidden) if spanned else None
    judged = rows if positive is None else rows.with_columns(pl.col(spanned[0]) == positive)
    late = leaks(judged, spanned[0]) if len(spanned) == 1 else {}
    outcome = _named(known_at, names) or (spanned[0] if len(spanned) == 2 else times[-1] if times else None)
    late = {name: "" for name in (*spanned[:1], outcome) if name and name != happened} | late
    key, repeated = _key(rows, [c for c in typed.columns if c.name not in late and c.name not in hidden], times)
    found = Proposal(
        rows=rows.height, columns=typed.columns, undeclared=typed.undeclared,
        reading=replace(reading, null_values=("", *typed.null_values)) if reading else None, event_time=happened,
        other_times=tuple(one for one in times if one != happened), pattern=pattern, calendar=calendar, start=start,
        is_whole=is_whole, key=key, repeated=repeated, label=" - ".join(spanned) or None,
        positive=positive, labels=label_candidates(typed.columns, times),
        known_at=outcome, late=late, personal=hidden, protected=tuple(filter(is_protected, rows.columns)),
        expectations=(),
    )  # fmt: skip
    return replace(found, expectations=tuple(_expectations(found, rows)))


def _named(name: str | None, names: Mapping[str, str]) -> str | None:
    if name is not None and name not in names:
        raise ValueError(f"no column {name!r}; the file has {', '.join(sorted(set(names.values())))}")
    return None if name is None else names[name]


def _times(columns: Sequence[Typed]) -> list[str]:
    """The columns that hold a time in every row: what happened first before what happened later."""

    def order(column: Typed) -> tuple[int, float]:
        name = column.name
        word = -1 if START_WORDS.search(name) else int(sounds_late(name))
        median = column.values.to_physical().median()
        return word, float(median) if isinstance(median, int | float) else 0.0

    found = [c for c in columns if c.kind == "datetime" and not c.values.null_count() and len(c.values)]
    return [column.name for column in sorted(found, key=order)]


def sounds_late(name: str) -> bool:
    """Whether a time's name says when something ended or was last touched.

    >>> [sounds_late(name) for name in ("reservation_status_date", "order_status_at", "calendar_date")]
    [True, False, False]
    """
    return END_WORDS.search(name) is not None and START_WORDS.search(name) is None


def _calendar(file: str, rows: pl.DataFrame, event_time: str | None) -> tuple[str, str, str, bool]:
    """The file's pattern, the calendar and its first key: by a date in the name, else by how dense the rows are."""
    dated = re.search(r"(?<!\d)(\d{4})([-_]?)(0[1-9]|1[0-2])(?:\2([0-2]\d|3[01]))?(?!\d)", file)
    if dated:
        year, between, month, day = dated.groups()
        form = f"%Y{between}%m{between}%d" if day else f"%Y{between}%m"
        pattern = f"{_literal(file[: dated.start()])}{{partition:{form}}}{_literal(file[dated.end() :])}"
        return pattern, "Daily" if day else "Monthly", "-".join(filter(None, (year, month, day))), False
    if event_time is None or not rows.height:
        return _literal(file), "Monthly", "2024-01", True
    per_day = rows.height / max(rows[event_time].dt.date().n_unique(), 1)
    calendar, form = ("Daily", "%Y-%m-%d") if per_day >= DAILY_ROWS else ("Monthly", "%Y-%m")
    return _literal(file), calendar, str(rows[event_time].dt.strftime(form).min()), True


def _literal(name: str) -> str:
    """A part of a file's name as a pattern has it."""
    return name.replace("{", "{{").replace("}", "}}")


def _key(rows: pl.DataFrame, columns: Sequence[Typed], times: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The fewest columns that tell most rows apart, and how many rows still share theirs."""
    usable = [
        c.name for c in columns if not c.values.null_count() and c.kind in ("string", "int32", "int64", "datetime")
    ]
    usable.sort(key=lambda name: (not re.search(r"(^|_)(id|key|number|no|uuid|instant)$", name), name not in times))
    key: list[str] = []
    apart = 0
    while len(key) < KEY_COLUMNS and apart < rows.height:
        counts = {name: rows.select(*key, name).n_unique() for name in usable if name not in key}
        best = max(counts, key=counts.__getitem__, default=None)
        if best is None or counts[best] <= apart:
            break
        key, apart = [*key, best], counts[best]
    if not key or rows.height - apart > REPEATED * rows.height:
        return (ROW_NUMBER,), 0
    return tuple(key), rows.height - apart


def _expectations(found: Proposal, rows: pl.DataFrame) -> list[Line]:
    """Claims that hold for every row of this file, and what was left out because it does not."""
    parts = _partitions(found, rows)
    lines: list[Line] = []
    demanded = {*found.key, found.event_time}
    for column in found.columns:
        hidden = column.name in found.personal or column.name in found.key or _is_running(column)
        lines += _of_column(column, parts, hidden=hidden, is_demanded=column.name in demanded)
    if found.event_time:
        lines += _of_times(found, rows)
    sizes = parts.group_by("partition").len()["len"]
    low, high = _outward(sizes.min() or 0, -1) // 2, _outward(2 * (sizes.max() or 0), 1)  # type: ignore[operator,arg-type]
    lines.append(
        Line(text=f"expect.rows_between({max(int(low), 1):_}, {int(high):_})", why="half to twice what is here")
    )
    lines.append(Line(text="expect.quarantined_share(0.05)", why="a guess: nothing of this file would be"))
    if not found.repeated and found.key != (ROW_NUMBER,):
        lines.append(Line(text=f"expect.unique({', '.join(map(quoted, found.key))})"))
    return lines


def _partitions(found: Proposal, rows: pl.DataFrame) -> pl.DataFrame:
    if not found.is_whole or found.event_time is None:
        return rows.with_columns(partition=pl.lit(found.start))
    form = "%Y-%m-%d" if found.calendar == "Daily" else "%Y-%m"
    return rows.with_columns(partition=pl.col(found.event_time).dt.strftime(form))


def _of_column(column: Typed, parts: pl.DataFrame, *, hidden: bool, is_demanded: bool) -> list[Line]:
    """What holds for one column; that a key or an event time is not null is demanded without a word."""
    name, values = column.name, column.values.drop_nulls()
    lines = []
    if not column.values.null_count():
        lines += [] if is_demanded else [Line(text=f"expect.not_null({quoted(name)})")]
    elif len(values):
        shares = parts.group_by("partition").agg(pl.col(name).is_not_null().mean())[name]
        least = math.floor(50 * float(shares.min() or 0)) / 100  # type: ignore[arg-type]
        if least > 0:
            why = f"in this file {100 * len(values) / parts.height:.3g} % of the rows have one"
            lines.append(Line(text=f"expect.share_not_null({quoted(name)}, {least:g})", why=why))
    if hidden or not len(values):
        return lines
    if column.kind == "string" and values.n_unique() <= FEW:
        listed = ", ".join(map(quoted, sorted(values.unique())))
        if len(listed) <= 80:
            lines.append(Line(text=f"expect.in_set({quoted(name)}, [{listed}])", why="no other text occurs here"))
    elif column.values.dtype.is_numeric() and values.n_unique() > 1:
        lines.append(_between(column, values))
    return lines


def _is_running(column: Typed) -> bool:
    """Whether a column numbers the rows: the next file goes on where this one ends."""
    values = column.values
    return values.dtype.is_integer() and values.n_unique() == len(values) > MOST_CODES


def _between(column: Typed, values: pl.Series) -> Line:
    numbers = values.cast(pl.Float64)
    finite = numbers.filter(numbers.is_finite())
    least, most = float(finite.min() or 0), float(finite.max() or 0)  # type: ignore[arg-type]
    low, high = _outward(least, -1), _outward(most, 1)
    low = 0.0 if least >= 0 and low <= 0.2 * high else low
    usual = float(finite.quantile(0.999) or 0)
    why = f"all but 0.1 % are at most {usual:,.6g}: tighten it" if most > 10 * max(usual, 1) else ""
    return Line(text=f"expect.between({quoted(column.name)}, {_number(low)}, {_number(high)})", why=why)


def _of_times(found: Proposal, rows: pl.DataFrame) -> list[Line]:
    start = str(found.event_time)
    lines = []
    form = "%Y-%m-%d" if found.calendar == "Daily" else "%Y-%m"
    outside = 0 if found.is_whole else int((rows[start].dt.strftime(form) != found.start).sum())
    claim = f"expect.in_partition({quoted(start)})"
    lines.append(Line(text=claim) if not outside else _left_out(claim, outside))
    for later in found.other_times:
        before = int((rows[later] <= rows[start]).sum())
        claim = f"expect.after({quoted(later)}, {quoted(start)})"
        lines.append(Line(text=claim) if not before else _left_out(claim, before))
    return lines


def _left_out(claim: str, rows: int) -> Line:
    """A claim that a person may want, though rows of this file fail it."""
    return Line(text="", why=f"{claim} would quarantine {rows:,} rows of this file: decide")


def _outward(value: float, direction: int) -> float:
    """`value` with two digits, rounded up (1) or down (-1).

    >>> _outward(279_123.0, 1), _outward(-6.38, -1), _outward(0.0, 1)
    (280000.0, -6.4, 0.0)
    """
    if value == 0:
        return 0.0
    digits = 1 - math.floor(math.log10(abs(value)))
    scaled = value * 10.0**digits
    whole = math.ceil(scaled - 1e-9) if direction > 0 else math.floor(scaled + 1e-9)
    return round(whole / 10.0**digits, max(digits, 0))


def _number(value: float) -> str:
    return f"{int(value):_}" if value == int(value) else f"{value:g}"
