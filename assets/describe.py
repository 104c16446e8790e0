"""Describe: what a person sees of a materialization in the Dagster UI."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from perennial.schema import Schema

MAX_ROWS = 50
"""Rows of a table in the UI; Dagster's pages grow slow beyond."""


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
                    description=" ".join(filter(None, [column.meaning, f"[{column.unit}]" if column.unit else ""])),
                    tags={"pii": ""} if column.pii else {},
                )
                for name, column in schema.columns.items()
            ]
        )
    }


def row_counts(partition_rows: int) -> dict[str, Any]:
    """The number of rows of one partition, plotted by the UI over partitions."""
    return {"dagster/partition_row_count": partition_rows}


def head(frame: pl.DataFrame, rows: int = 5) -> dg.MarkdownMetadataValue:
    """The first few rows of a frame."""
    return table(frame.head(rows).to_dicts())


def bullets(lines: Sequence[str]) -> dg.MarkdownMetadataValue:
    """A list, a line each."""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "*none*")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
