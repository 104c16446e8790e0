"""Typed: which declared kind each column of a file could have, text read as what it says."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from perennial.consistency import LAKE_COLUMNS
from perennial.schema import POLARS_TYPES, Kind

NO_VALUE = ("NULL", "null", "NA", "N/A", "n/a", "NaN", "nan", "None", "none", "-", "?")
"""Texts that mostly stand for no value."""
TIMES = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y", "%m/%d/%Y"),
    *("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%+"),
)
"""The first that fits is taken; the last is ISO 8601 with `Z` or an offset."""
KINDS: dict[Kind, tuple[type[pl.DataType], ...]] = {
    "int32": (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16),
    "int64": (pl.Int64, pl.UInt32, pl.UInt64),
    "float32": (pl.Float32,),
    "float64": (pl.Float64, pl.Null),
    "bool": (pl.Boolean,),
    "datetime": (pl.Date,),
    "string": (pl.String, pl.Categorical, pl.Enum),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """One column of the file, its values in the kind that fits them."""

    name: str
    source: str
    kind: Kind
    values: pl.Series
    time_format: str | None = None
    """How the source writes a time as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedColumns:
    """The columns that can be declared, and the names of those that cannot."""

    columns: tuple[Typed, ...]
    undeclared: tuple[str, ...]
    null_values: tuple[str, ...]


def type_columns(frame: pl.DataFrame, *, is_text: bool) -> TypedColumns:
    """Each column of `frame` in the kind that loses nothing."""
    names = declared_names(frame.columns)
    stand_ins = _stand_ins(frame) if is_text else ()
    found = [_typed(frame[source], name, stand_ins, is_text=is_text) for source, name in names.items()]
    return TypedColumns(
        columns=tuple(column for column in found if column is not None),
        undeclared=tuple(source for source, column in zip(names, found, strict=True) if column is None),
        null_values=stand_ins,
    )


def declared_names(sources: Iterable[str]) -> dict[str, str]:
    """A declared name for each column of a source.

    >>> declared_names(["PULocationID", "default.payment.next.month", "id"])
    {'PULocationID': 'pu_location_id', 'default.payment.next.month': 'default_payment_next_month', 'id': 'row_id'}
    """
    found: dict[str, str] = {}
    for source in sources:
        split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", source)
        name = re.sub(r"\W+", "_", split.lower()).strip("_") or "column"
        name = f"row_{name}" if name in LAKE_COLUMNS or keyword.iskeyword(name) or name[0].isdigit() else name
        taken, number = name, 2
        while name in found.values():
            name, number = f"{taken}_{number}", number + 1
        found[source] = name
    return found


def quoted(value: str) -> str:
    r"""A text as Python and its formatter write it.

    >>> print(quoted("a"), quoted('a"b'), quoted("\n'\"\\"))
    "a" 'a"b' "\n'\"\\"
    """
    if '"' in value and "'" not in value and "\\" not in value and value.isprintable():
        return f"'{value}'"
    written = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in written)


def _stand_ins(frame: pl.DataFrame) -> tuple[str, ...]:
    """The texts of NO_VALUE that stand in a column whose other values are numbers, or beside common texts."""
    found = []
    for text in NO_VALUE:
        for column in frame.iter_columns():
            if (column == text).any():
                found.append(text)
                break
    return tuple(found)


def _typed(raw: pl.Series, name: str, stand_ins: Sequence[str], *, is_text: bool) -> Typed | None:
    source, dtype = raw.name, raw.dtype
    if dtype == pl.String and is_text:
        return _read(raw.set(raw.is_in(list(stand_ins)).fill_null(value=False), None), name)
    kind = _kind(dtype)
    if dtype == pl.String:  # as from JSON lines, where numbers have a type and times have none
        return _read_time(raw, name) or Typed(name=name, source=source, kind="string", values=raw.alias(name))
    if kind is None:
        return None
    values = _in_utc(raw).cast(POLARS_TYPES[kind], strict=False)
    if dtype.is_decimal() and not (values.cast(dtype, strict=False) == raw).all():
        return None
    return Typed(name=name, source=source, kind=kind, values=values.alias(name))


def _kind(dtype: pl.DataType) -> Kind | None:
    """The declared kind that holds every value of a type, or None; of a decimal most values."""
    if isinstance(dtype, pl.Datetime):
        return "datetime"
    if isinstance(dtype, pl.Decimal):
        return "float64" if dtype.scale else "int64"
    return next((kind for kind, types in KINDS.items() if dtype in types), None)


def _in_utc(raw: pl.Series) -> pl.Series:
    """Times with an offset as UTC's clock shows them, which is the timezone that is proposed."""
    aware = isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone is not None
    return raw.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if aware else raw


def _read(text: pl.Series, name: str) -> Typed:
    """A text column as numbers or times, where every text is one; a leading zero makes it a code, not a number."""
    source, present = text.name, text.drop_nulls()
    if len(present) and not present.str.contains(r"^-?0\d").any():
        numbers: tuple[Kind, ...] = ("int64", "float64")
        for kind in numbers:
            read = text.str.strip_chars().cast(POLARS_TYPES[kind], strict=False)
            if read.null_count() == text.null_count():
                return Typed(name=name, source=source, kind=kind, values=read.alias(name))
    return _read_time(text, name) or Typed(name=name, source=source, kind="string", values=text.alias(name))


def _read_time(text: pl.Series, name: str) -> Typed | None:
    """A text column as times, where every text is one in the same form."""
    first = next(iter(text.drop_nulls().head(1)), "")
    for form in TIMES if first[:1].isdigit() else ():
        read = text.str.to_datetime(form, strict=False, time_unit="us")
        if read.null_count() == text.null_count():
            values = _in_utc(read).alias(name)
            return Typed(name=name, source=text.name, kind="datetime", values=values, time_format=form)
    return None
