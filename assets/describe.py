"""Describe: what a person sees of a materialization in the Dagster UI."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg
import polars as pl

from perennial.schema import Column, Schema

MAX_ROWS = 50
"""Rows of a table in the UI; Dagster's pages grow slow beyond."""
MAX_TEXT = 1_000
"""Characters of a text in one; a value may have a million."""


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """The first fifty `rows` as a table, columns named by the first row."""
    listed = list(rows)
    if not listed:
        return dg.MetadataValue.md("*none*")
    head = list(listed[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in head) + " |" for row in listed[:MAX_ROWS]]
    if len(listed) > MAX_ROWS:
        lines.append(f"\n{len(listed) - MAX_ROWS} more")
    return dg.MetadataValue.md("\n".join(lines))


def picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG shown where it stands."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def column_schema(schema: Schema) -> dict[str, Any]:
    """The declared columns, for the UI's table of columns."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name,
                    type=column.kind,
                    description=_meaning(column),
                    tags={"pii": ""} if column.pii else {},
                )
                for name, column in schema.columns.items()
            ]
        )
    }


def row_counts(partition_rows: int) -> dict[str, Any]:
    """The number of rows of one partition, plotted by the UI over partitions."""
    return {"dagster/partition_row_count": partition_rows}


def head(frame: pl.DataFrame, *, schema: Schema, rows: int = 4) -> dg.MarkdownMetadataValue:
    """The first few rows of a frame, a column each, so that many columns stay readable; personal data is left out."""
    shown = frame.head(rows).drop(name for name, column in schema.columns.items() if column.pii and name in frame)
    return table(
        {"column": name, **{f"row {row}": value for row, value in enumerate(shown[name])}} for name in shown.columns
    )


def place(uri: str) -> dg.UrlMetadataValue | dg.PathMetadataValue:
    """Where something lies: a path to copy for a file of this machine, which no page may open, else a link."""
    parts = urlsplit(uri)
    return dg.MetadataValue.path(unquote(parts.path)) if parts.scheme == "file" else dg.MetadataValue.url(uri)


def rounded(value: float) -> float:
    """`value` with the digits that a person reads; the UI plots it."""
    return float(f"{value:.4g}")


def instant(at: datetime) -> str:
    """A moment, such as `2024-02-21 01:00 UTC`."""
    return f"{at:%Y-%m-%d %H:%M %Z}"


def bullets(lines: Sequence[str]) -> dg.MarkdownMetadataValue:
    """A list, a line each."""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "*none*")


def _meaning(column: Column) -> str:
    """What a column holds, in which unit, and since when one knows it."""
    unit = f"[{column.unit}]" if column.unit else ""
    late = "(known with the label)" if column.known == "with_label" else ""
    instead = f"Stands in for {column.stands_in_for}" if column.stands_in_for else ""
    return " ".join(filter(None, [column.meaning, unit, late, instead]))


def _cell(value: Any) -> str:
    """A value as a person writes it, on one line of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    text = str(value)
    cut = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text):,} characters)"
    return cut.replace("|", "\\|").replace("\n", " ")
