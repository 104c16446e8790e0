"""Separators: which sign stands between the fields of a text, where nobody said so."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from perennial.sources import Csv
from perennial.stores.sources.content import BLOCK, Content
from perennial.stores.sources.judging import judge

SEPARATORS = (",", ";", "\t", "|")
"""The likelier first."""
LINES = 20
"""From the start of a text, by which it is judged."""


def likely_separator(content: Content, declared: Csv) -> str:
    """The sign that cuts the first lines into most fields, equally many in each; the declared one otherwise."""
    if judge(content).kind != "csv":
        return declared.separator
    found = {sign: _fields(content, replace(declared, separator=sign)) for sign in SEPARATORS}
    best = max(SEPARATORS, key=lambda sign: found[sign])
    return best if found[best] > 1 else declared.separator


def _fields(content: Content, declared: Csv) -> int:
    """How many fields each of the first lines has, 0 where they differ."""
    with suppress(UnicodeError, LookupError, csv.Error):
        text = io.TextIOWrapper(
            io.BytesIO(content.head(BLOCK)), encoding=declared.encoding, newline="", errors="replace"
        )
        rows = list(islice(csv.reader(text, delimiter=declared.separator), LINES))
        if content.size > BLOCK and len(rows) < LINES:
            rows = rows[:-1]  # the last one may be cut
        counts = {len(row) for row in rows if row}
        return counts.pop() if len(counts) == 1 else 0
    return 0
