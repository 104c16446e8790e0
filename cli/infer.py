"""Infer: what one file suggests about the pipeline that would read it, as a module to edit."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import polars as pl

    from perennial.ingestion.proposing.proposal import Proposal
    from perennial.sources import Csv

File = Annotated[Path, typer.Argument(metavar="FILE", help="Parquet, CSV or JSON lines, also in a zip or gzip.")]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="Column to predict, or a span between two: 'dropoff_at - pickup_at'.")
]
KnownAtOption = Annotated[str | None, typer.Option("--known-at", help="Column that says when the outcome is known.")]
EventTimeOption = Annotated[str | None, typer.Option("--event-time", help="Column that says when a row happened.")]
SeparatorOption = Annotated[
    str | None, typer.Option("--separator", help="Between the fields of text; found in its header unless told.")
]
EncodingOption = Annotated[str, typer.Option("--encoding", help="Of text, such as latin-1.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person says of a file, beside what it shows."""

    label: str | None = None
    known_at: str | None = None
    event_time: str | None = None
    separator: str | None = None
    """None to look for it."""
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Refuse what separates nothing, as Csv would later."""
        if self.separator is not None and len(self.separator) != 1:
            raise typer.BadParameter("one character; a tab is $'\\t' in bash", param_hint="--separator")


def infer(  # noqa: PLR0913, PLR0917 - a parameter an option
    file: File,
    name: Annotated[str, typer.Option(help="Name of the pipeline; that of the file unless told.")] = "",
    label: LabelOption = None,
    known_at: KnownAtOption = None,
    event_time: EventTimeOption = None,
    separator: SeparatorOption = None,
    encoding: EncodingOption = "utf-8",
    write: Annotated[Path | None, typer.Option(help="Write the module here instead of printing it.")] = None,
) -> None:
    """Propose a pipeline's declaration from one FILE: schema, expectations, time, key, features.

    Prints a module for pipelines/. What no file can tell is a QUESTION in it; it loads when the label is told.
    """
    told = Told(label=label, known_at=known_at, event_time=event_time, separator=separator, encoding=encoding)
    check_name(name or name_of(file))
    text = proposed(file, name or name_of(file), told)
    if write is None:
        typer.echo(text, nl=False)
    else:
        write_new(write, text)


def proposed(file: Path, name: str, told: Told) -> str:
    """The module that `file` suggests. Raises PerennialError for a file that is no table, and for unknown columns."""
    from perennial.ingestion.proposing.module import module_text

    return module_text(_propose(file, told), name=name)


def _propose(file: Path, told: Told) -> Proposal:
    from perennial.errors import PerennialError, SourceError
    from perennial.ingestion.proposing.proposal import propose

    frame, reading = _read(file, told)
    if not frame.height:
        raise SourceError("there is nothing to infer from", where=str(file), found="0 rows", expected="at least one")
    try:
        return propose(
            frame,
            file=file.name,
            reading=reading,
            label=told.label,
            known_at=told.known_at,
            event_time=told.event_time,
        )
    except ValueError as error:
        raise PerennialError("no declaration can be proposed", where=str(file), found=str(error)) from error


def _read(file: Path, told: Told) -> tuple[pl.DataFrame, Csv | None]:
    """The rows of `file`, and how its text was read, if it is text. Raises SourceError."""
    from tempfile import TemporaryDirectory

    from perennial.errors import SourceError
    from perennial.sources import Csv, Files
    from perennial.stores.sources.content import take
    from perennial.stores.sources.formats import read_rows, unwrap
    from perennial.stores.sources.separators import likely_separator

    with TemporaryDirectory() as spool:
        try:
            with file.open("rb") as stream:
                content = take(stream, spool=Path(spool), name=file.name)
        except OSError as error:
            raise SourceError("the file cannot be read", where=str(file), found=str(error.strerror)) from error
        content = unwrap(content, Files(file.name), spool=Path(spool), where=str(file))
        reading = Csv(encoding=told.encoding)
        reading = replace(reading, separator=told.separator or likely_separator(content, reading))
        source = Files(content.name, format=None if reading == Csv() else reading)
        rows = read_rows(content, source, spool=Path(spool), where=str(file))
        return rows.frame, reading if rows.is_text else None


def name_of(file: Path) -> str:
    """A pipeline's name made from a file's, without its dates.

    >>> name_of(Path("green_tripdata_2023-01.parquet")), name_of(Path("UCI_Credit_Card.csv"))
    ('green_tripdata', 'uci_credit_card')
    """
    stem = re.sub(r"\d{4}[-_]?\d{2}([-_]?\d{2})?", "", file.name.split(".")[0])
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    is_one = re.fullmatch(r"[a-z][a-z0-9_]{1,57}", name) and not keyword.iskeyword(name)
    return name if is_one else f"data_{name[:57]}".rstrip("_")


def check_name(name: str) -> None:
    """Raise PerennialError for what cannot be the name of a pipeline and its module."""
    from perennial.consistency import NAME
    from perennial.errors import PerennialError
    from pipelines.discovery import NOT_PIPELINES

    if not NAME.fullmatch(name) or name in NOT_PIPELINES or keyword.iskeyword(name):
        expected = "lower-case letters, digits and underscores, starting with a letter, and no word of Python"
        raise PerennialError("no name for a pipeline", where="pipelines", found=repr(name), expected=expected)


def write_new(path: Path, text: str) -> None:
    """Write `text` to a file that is not there yet. Raises PerennialError when it is."""
    from perennial.errors import PerennialError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise PerennialError(
            "the file is there already", where=str(path), hint="take another name, or remove it first"
        ) from None
    except OSError as error:
        raise PerennialError("the file cannot be written", where=str(path), found=str(error.strerror)) from error
    typer.echo(f"written: {path}")
