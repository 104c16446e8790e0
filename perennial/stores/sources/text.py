"""Text: tables in CSV and JSON lines. What cannot be read is named with its line, whose text is never shown.

A line that nobody could read may hold personal data in any place, declared or not; so may the words of the reader's
own error, which is not passed on.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

import polars as pl

from perennial.errors import SourceError
from perennial.sources import Csv
from perennial.stores.sources.content import BLOCK, Content
from perennial.stores.sources.separators import likely_separator

LONGEST_ROW = 64 * BLOCK
"""Bytes of one row at most; a smaller file is read in smaller blocks."""


def read_csv(content: Content, declared: Csv, *, where: str) -> pl.DataFrame:
    """Every column as text. Raises SourceError for a line with too few or too many fields."""
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    names = _header(content, declared, where=where)
    # Arrow checks the count of fields in short lines too, where Polars fills them with nulls.
    block = min(max(content.size, BLOCK), LONGEST_ROW)
    try:
        table = pa_csv.read_csv(
            content.opened(),
            read_options=pa_csv.ReadOptions(block_size=block, encoding=declared.encoding),
            parse_options=pa_csv.ParseOptions(delimiter=declared.separator, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()),
                null_values=list(declared.null_values),
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise _broken_line(content, declared, len(names), error, where=where) from None
    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"a table became {type(frame)}")
    if _ends_inside_quotes(frame, content):
        raise SourceError(
            f"{content.name} ends inside a quoted text",
            where=where,
            expected="a closing quote",
            hint="it was cut short",
        )
    return frame


def read_json_lines(content: Content, *, where: str) -> pl.DataFrame:
    """One row an object, whether each has a line or all are in one array; a name that some lack is null in theirs."""
    if content.head().lstrip().startswith(b"["):
        content = _lines_of_array(content, where=where)
    try:
        return pl.read_ndjson(content.opened(), infer_schema_length=None) if content.size else pl.DataFrame()
    except pl.exceptions.PolarsError:
        problems = ((number, _problem_in_json(line)) for number, line in enumerate(content.opened(), 1))
        found = next((f"line {number}: {problem}" for number, problem in problems if problem), None)
        raise SourceError(
            f"{content.name} is not JSON lines",
            where=where,
            found=found or "an object on each line, whose values make no table",
            expected="one JSON object a line in UTF-8",
            hint=None if found else "under one name every line holds the same kind of value",
        ) from None


def _lines_of_array(content: Content, *, where: str) -> Content:
    """The objects of a JSON array, one a line, so that both are typed alike."""
    problem = "another value than an object"
    try:
        values = json.load(content.opened())
        wrong = [n for n, value in enumerate(values, 1) if not isinstance(value, dict)]
        if not wrong:
            lines = b"".join(json.dumps(value).encode() + b"\n" for value in values)
            return replace(content, file=io.BytesIO(lines), size=len(lines))
        problem = f"element {wrong[0]} is no object"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    raise SourceError(
        f"{content.name} is no JSON array of objects", where=where, found=problem, expected="only objects"
    )


def _problem_in_json(line: bytes) -> str | None:
    if not line.strip():
        return None
    try:
        value = json.loads(line.rstrip())
    except json.JSONDecodeError as error:
        length = len(error.doc)
        return f"{error.msg} at character {min(error.pos + 1, length)} of {length:,}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return None if isinstance(value, dict) else "no object"


def _header(content: Content, declared: Csv, *, where: str) -> list[str]:
    with _as_text(content, declared) as text:
        try:
            names = next(csv.reader(text, delimiter=declared.separator), [])
        except (UnicodeError, csv.Error) as error:
            raise _broken_line(content, declared, 0, error, where=where) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise SourceError(
            f"{content.name} has no usable header",
            where=where,
            found=f"column {twice[0]!r} twice" if twice else "no names",
            expected="a header line with a name of its own for each column",
        )
    likely = likely_separator(content, declared) if len(names) == 1 else declared.separator
    if likely != declared.separator:
        raise SourceError(
            f"{content.name} has one column",
            where=where,
            found=f"{_short(names[0])}, and every line holds {likely!r}",
            expected=f"fields separated by {declared.separator!r}",
            hint=f"declare Csv(separator={likely!r}); for perennial infer it is --separator",
        )
    return names


def _broken_line(content: Content, declared: Csv, fields: int, problem: Exception, *, where: str) -> SourceError:
    """Reads the text again, slowly, to say which line cannot be read."""
    # Arrow's own words hold the line; those of the csv module do not.
    found = str(problem) if isinstance(problem, csv.Error) else "unreadable text"
    try:
        found = _ragged_line(content, declared, fields) or found
    except UnicodeError as error:
        if isinstance(error, UnicodeDecodeError):
            line = content.opened().read(error.start).count(b"\n") + 1
            found = f"line {line}: {error.reason} (byte 0x{error.object[error.start]:02x})"
        return SourceError(
            f"{content.name} is not text in {declared.encoding}",
            where=where,
            found=found,
            expected=f"text in {declared.encoding}",
            hint="declare its encoding, such as Csv(encoding='latin-1'); for perennial infer it is --encoding",
        )
    return SourceError(
        f"{content.name} has a line that does not fit its header",
        where=where,
        found=found,
        expected=f"{fields} fields separated by {declared.separator!r}" if fields else "text with a header line",
        hint="a text that holds the separator or a line break must be quoted",
    )


def _ragged_line(content: Content, declared: Csv, fields: int) -> str | None:
    # Whole at once: the position of a byte that is no text is then the file's own.
    text = content.opened().read().decode(_codec(declared))
    limit = csv.field_size_limit(LONGEST_ROW)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=declared.separator)
        for row in reader:
            if row and len(row) != fields:
                return f"line {reader.line_num}: {len(row)} fields in {sum(map(len, row)):,} characters"
    finally:
        csv.field_size_limit(limit)
    return None


@contextmanager
def _as_text(content: Content, declared: Csv) -> Iterator[TextIO]:
    text = io.TextIOWrapper(content.opened(), encoding=_codec(declared), newline="")
    try:
        yield text
    finally:
        text.detach()


def _codec(declared: Csv) -> str:
    return "utf-8-sig" if declared.encoding.lower() in ("utf-8", "utf8") else declared.encoding


def _ends_inside_quotes(frame: pl.DataFrame, content: Content) -> bool:
    """Whether the last text holds a line break and the file an odd number of quotes."""
    if not frame.height or not any("\n" in (value or "") for value in frame.row(-1)):
        return False
    stream, quotes = content.opened(), 0
    while block := stream.read(BLOCK):
        quotes += block.count(b'"')
    return quotes % 2 == 1


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
