"""Bundle: features, model, request schema, thresholds and golden rows as one immutable artifact.

It is named by the sha256 of its manifest, which holds the sha256 of every other file, so that the name
vouches for each byte. Nothing in it depends on the clock: equal parts make an equal name.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl
import yaml

from perennial.errors import BundleError
from perennial.featurization.expressions import Feature
from perennial.schema import POLARS_TYPES, Kind
from perennial.time import Calendar, Daily, Hourly, Monthly

MANIFEST = "manifest.yaml"
FILES = ("features.json", "model.onnx", "schema.json", "golden.parquet", "reference.parquet", "thresholds.json")
"""What a bundle holds beside its manifest."""
CLOCKS: dict[str, type[Calendar]] = {"1h": Hourly, "1d": Daily, "1mo": Monthly}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestColumn:
    """One field of an instance in a prediction request."""

    name: str
    kind: Kind
    nullable: bool = False
    unit: str | None = None
    meaning: str = ""
    pii: bool = False
    """Whether it is personal data, for whoever reads the inference log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """An aggregate that an instance may carry, and that the server looks up for an instance that leaves it out."""

    name: str
    by: tuple[str, ...]
    """Fields of the instance that name the entity."""
    view: str
    """The feature view that holds it in the online store."""
    declared: str
    """sha256 of its declaration: values of another one are not used."""
    default: float | None = None
    """Its value for an entity that has none; None leaves it null, for the model to impute."""
    stale_after: float | None = None
    """Seconds from when a value was known to the last event that may see it; None for any."""
    meaning: str = ""

    @property
    def field(self) -> RequestColumn:
        """It as a field of an instance."""
        return RequestColumn(name=self.name, kind="float32", nullable=True, meaning=self.meaning)


@dataclass(frozen=True, kw_only=True)
class RequestSchema:
    """What an instance of a prediction request holds, and by which clock it is monitored."""

    event_time: str
    timezone: str
    every: Literal["1h", "1d", "1mo"]
    key: tuple[str, ...]
    columns: tuple[RequestColumn, ...]
    """Fields that every instance must carry."""
    optional: tuple[RequestColumn, ...] = ()
    """Key columns that the model does not need: kept in the log, so that labels meet predictions."""
    lookups: tuple[Lookup, ...] = ()
    """Aggregates: looked up where an instance does not carry them."""

    @property
    def fields(self) -> tuple[RequestColumn, ...]:
        """All that an instance may carry."""
        return (*self.columns, *self.optional, *(lookup.field for lookup in self.lookups))

    @cached_property
    def clock(self) -> Calendar:
        """The calendar of the monitoring partitions."""
        return CLOCKS[self.every](start="", event_time=self.event_time, timezone=self.timezone)

    @cached_property
    def polars(self) -> pl.Schema:
        """Types of the columns that the features read."""
        fields = (*self.columns, *(lookup.field for lookup in self.lookups))
        return pl.Schema({column.name: POLARS_TYPES[column.kind] for column in fields})

    @classmethod
    def from_json(cls, text: bytes) -> RequestSchema:
        """The schema that `perennial.bundle.manifest` wrote as schema.json."""
        raw = json.loads(text)
        fields = {part: tuple(RequestColumn(**column) for column in raw.pop(part)) for part in ("columns", "optional")}
        lookups = tuple(Lookup(**lookup | {"by": tuple(lookup["by"])}) for lookup in raw.pop("lookups", ()))
        return cls(**raw | fields | {"key": tuple(raw["key"]), "lookups": lookups})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits that travel with a model: for its drift, and for how far its ways of running may differ."""

    drift_threshold: float
    drift_columns: tuple[str, ...]
    min_rows: int
    parity_tolerance: float

    @classmethod
    def from_json(cls, text: bytes) -> Thresholds:
        """The thresholds that `perennial.bundle.manifest` wrote as thresholds.json."""
        raw = json.loads(text)
        return cls(**raw | {"drift_columns": tuple(raw["drift_columns"])})


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An opened bundle, every hash of which was verified."""

    sha256: str
    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]
    folder: Path | None = None
    """Where it was read from, or None for one that was opened in memory."""

    @property
    def path(self) -> Path:
        """The folder it was read from."""
        if self.folder is None:
            raise BundleError("it lies in no folder", where=f"bundle {self.sha256}", expected="a stored bundle")
        return self.folder

    @property
    def pipeline(self) -> str:
        """Name of the pipeline that made it."""
        return str(self.manifest["pipeline"])

    @property
    def as_of(self) -> str:
        """Partition key whose knowledge it was trained on."""
        return str(self.manifest["as_of"])

    @property
    def model(self) -> bytes:
        """The ONNX graph."""
        return self.files["model.onnx"]

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The features, in the order of declaration."""
        return tuple(Feature(**feature) for feature in json.loads(self.files["features.json"]))

    @cached_property
    def schema(self) -> RequestSchema:
        """What a request must carry."""
        return RequestSchema.from_json(self.files["schema.json"])

    @cached_property
    def thresholds(self) -> Thresholds:
        """Limits for drift and parity."""
        return Thresholds.from_json(self.files["thresholds.json"])

    @cached_property
    def golden(self) -> pl.DataFrame:
        """Request columns and `prediction`, the fitted model's own float64 answers."""
        return pl.read_parquet(io.BytesIO(self.files["golden.parquet"]))

    @cached_property
    def reference(self) -> pl.DataFrame:
        """A sample of the rows it was fitted on: drift columns, `prediction` and `label`."""
        return pl.read_parquet(io.BytesIO(self.files["reference.parquet"]))


def seal(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """`files` and a manifest that holds the sha256 of each; equal input gives equal bytes."""
    hashes = {name: _sha256(files[name]) for name in sorted(files) if name != MANIFEST}
    text = yaml.safe_dump(dict(manifest) | {"files": hashes}, sort_keys=True, allow_unicode=True)
    return {name: files[name] for name in hashes} | {MANIFEST: text.encode()}


def sha256_of(files: Mapping[str, bytes]) -> str:
    """The name of a sealed bundle."""
    return _sha256(files[MANIFEST])


def open_bundle(source: Mapping[str, bytes] | Path, sha256: str | None = None) -> Bundle:
    """The bundle in `source`, with the hash of every file verified.

    `sha256` is the name it must have; None accepts whichever name its manifest gives it. Raises
    BundleError for a file that is missing, damaged or not in the manifest, naming both hashes.
    """
    where = f"bundle {sha256 or source}" if isinstance(source, Path) or sha256 else "bundle"
    files = _read(source, where=where) if isinstance(source, Path) else dict(source)
    if MANIFEST not in files:
        raise BundleError(f"file {MANIFEST} is missing", where=where, found=f"files {sorted(files)}")
    if sha256 is not None:
        _expect(MANIFEST, files[MANIFEST], sha256, where=where)
    manifest = yaml.safe_load(files[MANIFEST])
    stray = sorted(set(files) ^ {MANIFEST, *manifest["files"]} | set(FILES) - set(files))
    if stray:
        raise BundleError(
            f"file {', '.join(stray)} is missing or not in the manifest",
            where=where,
            found=f"files {', '.join(sorted(files))}",
            expected=f"{MANIFEST}, {', '.join(sorted({*manifest['files'], *FILES}))}",
        )
    for name, expected in manifest["files"].items():
        _expect(name, files[name], expected, where=where)
    folder = source if isinstance(source, Path) else None
    return Bundle(sha256=sha256_of(files), manifest=manifest, files=files, folder=folder)


def _expect(name: str, content: bytes, expected: str, *, where: str) -> None:
    found = _sha256(content)
    if found != expected:
        raise BundleError(
            f"file {name} is damaged or is another bundle's",
            where=where,
            found=f"sha256 {found}",
            expected=f"sha256 {expected}",
            hint="restore the folder from a copy, or train the version again; nothing of it was used",
        )


def _read(folder: Path, *, where: str) -> dict[str, bytes]:
    if not folder.is_dir():
        raise BundleError("there is no such bundle", where=where, found="no folder", expected=str(folder))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
