"""Judging: what a file is by its content, and what it is instead of the table it should be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from perennial.sources import Csv, Files, JsonLines, Parquet
from perennial.stores.sources.content import Content

Kind = Literal["parquet", "csv", "json lines", "zip", "gzip", "nothing"]

SUFFIXES: dict[str, Kind] = {
    ".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".jsonl": "json lines", ".ndjson": "json lines",
    ".json": "json lines", ".zip": "zip", ".gz": "gzip",
}  # fmt: skip
NAMES: dict[Kind, str] = {
    "parquet": "a complete parquet file", "csv": "text with a header line", "json lines": "one JSON object a line",
    "zip": "a zip", "gzip": "a gzip", "nothing": "a table",
}  # fmt: skip
"""What each kind is called where it was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What content is: a kind of table or wrapper, or nothing that a table can be read from."""

    kind: Kind
    called: str
    """For a sentence: `an HTML page '404 Not Found'`."""
    hint: str = "a download may have been cut short or answered with an error page"
    encoding: str = ""
    """What a text must be declared as, where its first bytes say so."""


def expected_kind(source: Files, name: str) -> Kind | None:
    """What a file must be: what is declared, else what its name promises, else anything readable."""
    match source.format:
        case Parquet():
            return "parquet"
        case Csv():
            return "csv"
        case JsonLines():
            return "json lines"
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return SUFFIXES.get(suffix)


def judge(content: Content) -> Nature:
    """What `content` is, by its first and last bytes."""
    head = content.head()
    if not content.size:
        return Nature(kind="nothing", called="an empty file", hint="wait until the source has delivered it")
    if head[:4] == b"PAR1":
        if content.size >= 12 and content.tail(4) == b"PAR1":
            return Nature(kind="parquet", called="a parquet file")
        return Nature(kind="nothing", called="a parquet file that was cut short")
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Nature(kind="zip", called="a zip")
    if head[:2] == b"\x1f\x8b":
        return Nature(kind="gzip", called="a gzip")
    return _foreign(head) or _text(head)


def _foreign(head: bytes) -> Nature | None:
    """Pages, pointers and errors that stand where a file should."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff").strip()
    lower = text.lower()
    if text.startswith("version https://git-lfs.github.com/spec/"):
        size = re.search(r"^size (\d+)$", text, re.MULTILINE)
        return Nature(
            kind="nothing",
            called=f"a Git-LFS pointer to a file of {int(size[1]):,} bytes" if size else "a Git-LFS pointer",
            hint="fetch the file itself: git lfs pull",
        )
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        title = re.search(r"<(title|h1)[^>]*>\s*(.*?)\s*</\1>", text, re.IGNORECASE | re.DOTALL)
        return Nature(kind="nothing", called=f"an HTML page {title[2][:80]!r}" if title else "an HTML page")
    if lower.startswith(("<?xml", "<error>")):
        code, message = (re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("Code", "Message"))
        if "<Error>" in text and code:
            said = f": {message[1][:120]}" if message else ""
            return Nature(
                kind="nothing",
                called=f"an object store's error {code[1]}{said}",
                hint="look at the address and its credentials",
            )
        return Nature(kind="nothing", called="an XML document")
    return None


def _text(head: bytes) -> Nature:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        hint = "declare Csv(encoding='utf-16'); for perennial infer it is --encoding"
        return Nature(kind="csv", called="text in UTF-16", hint=hint, encoding="utf-16")
    if b"\0" in head:
        return Nature(kind="nothing", called="no kind of file that is known here")
    if re.match(rb"\s*(\{|\[\s*[\[{\]])", head.removeprefix(b"\xef\xbb\xbf")):  # a header may begin with a bracket
        return Nature(kind="json lines", called="JSON")
    return Nature(kind="csv", called="text")
