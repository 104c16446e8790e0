"""Pages: what the documentation says, cut into blocks and names that tests can hold it to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perennial.settings import CLONE

README = CLONE / "README.md"
READ_IN_ORDER = (
    "http-api.md",
    "scientist.md",
    "on-call.md",
    "data-engineer.md",
    "settings.md",
    "lake.md",
    "validation.md",
    "online-features.md",
    "sources.md",
)
GUIDES = [CLONE / "docs" / name for name in READ_IN_ORDER]
"""In the order in which a newcomer reads them: a page's commands may rest on those of the pages before."""
OF_REAL_DATA = [CLONE / "docs" / name for name in ("label-maturity.md", "leakage.md")]
"""Pages whose figures come from real data: `tests/journeys/test_hotel.py` computes them again."""
DECISIONS = sorted((CLONE / "docs" / "decisions").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a bash block, continued ones joined, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [" ".join(re.sub(r"\s#\s.*", "", line).split()) for line in lines if line.strip()]

    def __str__(self) -> str:
        return f"{self.page.relative_to(CLONE)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of `page`, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page=page, line=text[: match.start()].count("\n") + 1, language=match[1], text=match[2])
        for match in FENCE.finditer(text)
    ]


def prose_of(page: Path) -> str:
    """`page` without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans_of(page: Path) -> list[str]:
    """The `code` named in the prose of `page`."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose_of(page))]


def commands_of(page: Path) -> Iterator[str]:
    """Every command line that `page` names, in a block or in the prose."""
    for block in blocks_of(page):
        if block.language == "bash":
            yield from block.commands
    yield from spans_of(page)
