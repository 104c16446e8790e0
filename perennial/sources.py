"""Sources: where a pipeline's partitions come from, as declared values.

Reading them is `perennial.stores.sources`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True, slots=True)
class env:  # noqa: N801 - reads as the value it stands for: root=env("TAXI_ETA_SOURCE")
    """The value of an environment variable, looked up when it is needed and never before."""

    name: str
    default: str | None = None
    """Used where the variable is not set; `{home}` in it stands for PERENNIAL_HOME."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """Files in parquet; they say their own types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """Text with a header line and one row a line.

    A column that is declared under its own or its source's name is read as its declared kind; any
    other one stays text, for the expressions of `Column(source=...)` to read.
    """

    separator: str = ","
    null_values: Sequence[str] = ("",)
    """Texts that stand for no value."""
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """Text with one JSON object a line."""


Format = Parquet | Csv | JsonLines


@dataclass(frozen=True, slots=True)
class Sql:
    """Rows of a database: a table, or a query that selects them. A partition is what its event time says.

    A partition counts as changed when its number of rows or its newest `changed` differs. Addresses are
    SQLAlchemy's, such as `postgresql+psycopg://host/database` and `sqlite:///file.db`.
    """

    rows: str
    """Name of a table, `schema.table`, or a `SELECT`."""
    url: env | str
    _: KW_ONLY
    changed: str
    """Column that grows with every change of a row: a time of change, or a sequence."""
    licence: str = "unknown"
    simulated_by: None = None

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, which rows come out of it."""
        return (self.rows,)


@dataclass(frozen=True, slots=True)
class Files:
    """Files found by a pattern such as `{root}/orders_{partition:%Y-%m-%d}.parquet`, one a partition.

    A pattern without `{partition}` names one file that holds every partition: its rows are split by
    their event time, and only partitions whose rows changed count as changed.

    The root decides where they are: a folder, `https://host/path`, or an object store's
    `s3://bucket/prefix`, `gs://…`, `az://…`. Content is judged by what it is, not by its name; a zip or
    gzip is opened.
    """

    pattern: str
    root: env | str = ""
    licence: str = "unknown"
    simulated_by: str | None = None
    """Name of a simulated world that can write these files when the folder is empty."""
    _: KW_ONLY
    format: Format | None = None
    """None takes whatever the content is: parquet, comma-separated text with a header, or JSON lines."""
    member: str = "*"
    """Which file of a zip, as a pattern; exactly one may match."""
    row_number: str | None = None
    """Name of a source column to add: the row's number in its file, from 1. A key where rows have no other."""

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, which rows come out of it."""
        return (self.format, self.member, self.row_number)

    @property
    def is_whole(self) -> bool:
        """Whether one file holds every partition."""
        return "{partition" not in self.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Events that clients send to the server: `POST /v1/sources/{pipeline}/events`.

    An event is known by the pipeline's key: of several with one key the last that arrived counts.
    """

    licence: str = "unknown"
    simulated_by: str | None = None

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, which rows come out of it."""
        return ()


@dataclass(frozen=True, slots=True)
class InferenceLog:
    """What the server of a pipeline was asked and answered, and what became of it: a row an answer.

    A row lies in the partition in which it was asked, so that the event time is the column `asked_at`. Which
    columns there are says `perennial.ingestion.answered`.
    """

    of: str
    """Name of the pipeline that answers; it may be the one that declares this."""
    _: KW_ONLY
    licence: str = "unknown"
    simulated_by: None = None

    @property
    def reading(self) -> tuple[object, ...]:
        """What decides, beside the content, which rows come out of it."""
        return (self.of,)


Source = Files | Sql | Pushed | InferenceLog
"""Everything that a pipeline may declare as its source."""
