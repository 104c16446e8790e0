"""Casting: the source's columns become the declared ones.

A cast that loses nothing is made and noted; anything else is schema skew and stops the partition. A decimal
text is a way to write a number: it is read as that integer, or as the float of the declared kind next to it.
A float declared as a smaller one becomes the one next to it, from whatever format it came.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from perennial.errors import SchemaSkew
from perennial.schema import HIDDEN, POLARS_TYPES, Column, Schema, source_columns
from perennial.wall_clock import on_wall_clock, time_as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A partition in its declared types, and a note for each column that had to be converted."""

    frame: pl.DataFrame
    notes: tuple[str, ...]


def cast_partition(
    frame: pl.DataFrame, schema: Schema, *, where: str, is_text: bool = False, timezone: str | None = None
) -> Cast:
    """`frame` with exactly the declared columns, in the declared order and types.

    Raises SchemaSkew when a column is missing or unexpected, or a value does not fit its declared
    type without loss: an integer outside its range, a fraction declared an integer, a text that is
    no number. `where` names the pipeline and partition in the message. With `is_text` every value came
    as text, as from CSV, and is read as what is declared. A time with an offset becomes the wall clock
    of `timezone`, where the second pass of an hour that happens twice looks like the first; without one
    it does not fit.
    """
    _match_names(frame, schema, where=where)
    read = _source_names(schema)
    notes: list[str] = [f"{name}: not declared, dropped" for name in frame.columns if name not in read]
    typed = _typed(frame, schema, where=where) if is_text else frame
    series: list[pl.Series] = []
    for name, column in schema.columns.items():
        raw = _raw(typed, name, column, where=where)
        wanted = POLARS_TYPES[column.kind]
        local = on_wall_clock(raw, wanted, timezone)
        if raw.dtype != wanted:
            wall = f", the wall clock of {timezone}" if local is not raw else ""
            notes.append(f"{name}: {_type_name(raw.dtype)} to {_type_name(wanted)}{wall}")
        series.append(_cast_column(local, column, name=name, where=where).alias(name))
    return Cast(frame=pl.DataFrame(series), notes=tuple(notes))


def declared_column(
    frame: pl.DataFrame,
    schema: Schema,
    name: str,
    *,
    where: str,
    is_text: bool = False,
    timezone: str | None = None,
) -> pl.Series:
    """One declared column of `frame`, as `cast_partition` would give it, whatever the others hold."""
    column = schema.columns[name]
    needed = source_columns(name, column)
    missing = [one for one in needed if one not in frame.columns]
    if missing:
        raise _missing(missing, frame, where=where)
    frame = frame.select(needed)
    typed = _typed(frame, schema, where=where) if is_text else frame
    raw = on_wall_clock(_raw(typed, name, column, where=where), POLARS_TYPES[column.kind], timezone)
    return _cast_column(raw, column, name=name, where=where).alias(name)


def _raw(frame: pl.DataFrame, name: str, column: Column, *, where: str) -> pl.Series:
    """What the source says of a declared column, before it is cast."""
    if not isinstance(column.source, pl.Expr):
        return frame.get_column(column.source or name)
    try:
        return frame.select(column.source.alias(name)).to_series()
    except pl.exceptions.PolarsError as error:
        raise SchemaSkew(
            f"column {name!r} cannot be computed",
            where=where,
            found=HIDDEN if column.pii else str(error).splitlines()[0],
            expected=str(column.source),
            hint="look at the source's values, or mend Column(source=...)",
        ) from (None if column.pii else error)


def _typed(frame: pl.DataFrame, schema: Schema, *, where: str) -> pl.DataFrame:
    """Text columns as the kind under which they are declared; times stay text for expressions to read."""
    found: dict[str, pl.Series] = {}
    for name, column in schema.columns.items():
        source = name if column.source is None else column.source
        if isinstance(source, pl.Expr) or source not in frame.columns or column.kind == "string" or source in found:
            continue
        raw = frame.get_column(source)
        if raw.dtype == pl.String and column.kind == "datetime":
            raise time_as_text(raw, _example(raw, column), name=name, where=where)
        found[source] = _read_text(raw, column, name=name, where=where) if raw.dtype == pl.String else raw
    return frame.with_columns(found.values())


def _read_text(raw: pl.Series, column: Column, *, name: str, where: str) -> pl.Series:
    """A text column as numbers or truth values; SchemaSkew where one is none."""
    text, kind = raw.str.strip_chars(), column.kind
    if kind == "bool":
        words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
        read = text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    else:
        read = _whole(text) if kind in ("int32", "int64") else _nearest(text, POLARS_TYPES[kind])
    lost = raw.is_not_null() & read.is_null()
    if lost.any():
        raise SchemaSkew(
            _misfit(name, raw, lost, column),
            where=where,
            found="text",
            expected=kind,
            hint="texts that stand for no value are declared: Csv(null_values=('NULL',))",
        )
    return read


def _whole(text: pl.Series) -> pl.Series:
    """Texts such as `7`, `7.00` and `1e+05` as exactly those integers; null for any other.

    Up to 15 digits tell floats apart, so that a whole float below 1e15 is what such a text says; of zero, to
    which tiny ones are rounded, that does not hold.
    """
    whole = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count():
        return whole
    near = text.cast(pl.Float64, strict=False)
    exact = (text.str.len_bytes() <= 15) & (near.abs() < 1e15) & (near == near.round()) & (near != 0)
    return whole.zip_with(whole.is_not_null() | ~exact, near.cast(pl.Int64, strict=False))


def _nearest(text: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Texts as the floats next to them; null for one that is no number, or too large to have a float beside it.

    A small float is the one next to the large one, as it is where a number comes typed.
    """
    near = text.cast(pl.Float64, strict=False).cast(wanted, strict=False)
    said = text.str.contains("(?i)inf")
    return near.zip_with(near.is_finite() | near.is_nan() | said, pl.Series([None], dtype=wanted))


def _source_names(schema: Schema) -> list[str]:
    return list(dict.fromkeys(read for name, column in schema.columns.items() for read in source_columns(name, column)))


def _match_names(frame: pl.DataFrame, schema: Schema, *, where: str) -> None:
    declared = _source_names(schema)
    missing = [name for name in declared if name not in frame.columns]
    if missing:
        raise _missing(missing, frame, where=where)
    extra = [name for name in frame.columns if name not in declared]
    if extra and not schema.allow_additional:
        raise SchemaSkew(
            f"column {_list(extra)} is not declared",
            where=where,
            found=f"columns {_list(frame.columns)}",
            expected=f"only {_list(declared)}",
            hint="declare it, or set Schema(..., allow_additional=True) to drop what is not declared",
        )


def _missing(missing: list[str], frame: pl.DataFrame, *, where: str) -> SchemaSkew:
    return SchemaSkew(
        f"column {_list(missing)} is missing",
        where=where,
        found=f"columns {_list(frame.columns)}",
        expected=f"column {_list(missing)}",
        hint="if the source renamed it, give the new name as Column(source=...)",
    )


def _cast_column(raw: pl.Series, column: Column, *, name: str, where: str) -> pl.Series:
    wanted = POLARS_TYPES[column.kind]
    if raw.dtype == wanted:
        return raw
    if raw.dtype == pl.Null:
        return raw.cast(wanted)
    if raw.dtype == pl.String and isinstance(wanted, pl.Datetime):
        raise time_as_text(raw, _example(raw, column), name=name, where=where)
    if not _comparable(raw.dtype, wanted):
        raise SchemaSkew(
            f"column {name!r} has another type",
            where=where,
            found=f"{_type_name(raw.dtype)} such as {_example(raw, column)}",
            expected=_type_name(wanted),
            hint="declare the type that the source has, or mend the source",
        )
    cast = raw.cast(wanted, strict=False)
    lost = raw.is_not_null() & cast.cast(raw.dtype, strict=False).ne_missing(raw)
    lost = lost & ~_stands_for(raw, cast)
    if lost.any():
        raise SchemaSkew(
            _misfit(name, raw, lost, column),
            where=where,
            found=_type_name(raw.dtype),
            expected=_type_name(wanted),
            hint="if the source renamed or retyped a column, map it in the pipeline's schema",
        )
    return cast


def _stands_for(raw: pl.Series, cast: pl.Series) -> pl.Series:
    """Where one float is the other as the kind of the other writes it: next to it, or no number like it."""
    if raw.dtype.is_float() and cast.dtype.is_float():
        both = (raw.is_nan() & cast.is_nan()) | (raw.is_finite() & cast.is_finite())
        return both.fill_null(value=False)
    return pl.Series([False]).new_from_index(0, len(raw))


def _comparable(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether a cast between two types can be checked value by value for loss."""
    numeric = found.is_numeric() and wanted.is_numeric()
    timelike = isinstance(found, pl.Datetime) and isinstance(wanted, pl.Datetime) and found.time_zone is None
    text = found in (pl.Categorical, pl.Enum) and wanted == pl.String
    return numeric or timelike or text or (found == pl.Date and isinstance(wanted, pl.Datetime))


def _misfit(name: str, raw: pl.Series, lost: pl.Series, column: Column) -> str:
    """What a column holds that is `lost` by its cast."""
    row, more = lost.arg_true()[0], int(lost.sum()) - 1
    return f"column {name!r} holds {_short(raw[row], column)} (row {row}) and {more} more that do not fit"


def _example(raw: pl.Series, column: Column) -> str:
    values = raw.drop_nulls()
    return _short(values[0], column) if len(values) else "null"


def _short(value: object, column: Column) -> str:
    """`value` for a message: a text may be a megabyte long, and personal data is nobody's."""
    if column.pii:
        return HIDDEN
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}... ({len(text):,} characters)"


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return f"datetime[{', '.join(filter(None, (dtype.time_unit, dtype.time_zone)))}]"
    return str(dtype).lower()


def _list(names: object) -> str:
    return ", ".join(repr(name) for name in list(names))  # type: ignore[call-overload]
