"""Consistency: what the parts of a declaration promise each other, checked when it is loaded."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import polars as pl

from perennial.compliance import broken_rules
from perennial.errors import DeclarationError, FeatureError
from perennial.featurization.expressions import check_row_wise, columns_of
from perennial.ingestion.answered import ASKED_AT
from perennial.policies import Maturity
from perennial.schema import POLARS_TYPES, Kind, source_columns
from perennial.sources import InferenceLog
from perennial.validation.misfits import misfits

if TYPE_CHECKING:
    from perennial.beside import Lookup, Timeline
    from perennial.declaration import Pipeline

NAME = re.compile(r"[a-z][a-z0-9_]{1,62}")
LAKE_COLUMNS = (
    *("event_time", "known_at", "partition", "revision", "reason", "split", "label", "prediction", "source_partition"),
    *("id", "at", "pipeline", "version", "bundle", "latency_ms", "instance", "features", "source", "defaulted"),
    *("confidence", "said_by"),
)
"""Names that the lake's tables add to every row, so that no declared column may have them."""


def check_consistency(pipeline: Pipeline) -> None:
    """Raise DeclarationError for the first field that does not fit the others."""
    _check_identity(pipeline)
    _check_columns(pipeline)
    _check_log(pipeline)
    _check_features(pipeline)
    _check_row_wise(pipeline)
    _check_beside(pipeline)
    _check_policies(pipeline)
    _check_ranges(pipeline)
    _check_spans(pipeline)
    for where, value, expected in misfits(pipeline.expectations, pipeline.schema):
        refuse(pipeline, where, value, expected)
    for where, value, expected in pipeline.seasons.misfits(pipeline.schema.names):
        refuse(pipeline, f"seasons.{where}", value, expected)
    for where, found, expected in broken_rules(pipeline):
        refuse(pipeline, where, found, expected)


def _check_identity(pipeline: Pipeline) -> None:
    if not NAME.fullmatch(pipeline.name):
        refuse(pipeline, "name", pipeline.name, "lower-case letters, digits and underscores, starting with a letter")
    if not pipeline.owner.startswith("team:") and "@" not in pipeline.owner:
        refuse(pipeline, "owner", pipeline.owner, "'team:NAME' or an e-mail address")
    try:
        pipeline.time.window(pipeline.time.start)
        pipeline.time.window(pipeline.time.end or pipeline.time.start)
    except (ValueError, KeyError) as error:
        refuse(
            pipeline,
            "time",
            pipeline.time,
            f"start and end of the form {pipeline.time.key_format} and a timezone",
            error,
        )


def _check_columns(pipeline: Pipeline) -> None:
    columns = pipeline.schema.columns
    for name in columns:
        if name in LAKE_COLUMNS:
            refuse(pipeline, "schema", name, f"a name other than {', '.join(LAKE_COLUMNS)}, which the lake uses")
    times = [("time.event_time", pipeline.time.event_time), ("label.known_at", pipeline.label.known_at)]
    times += [("time.row_known_at", pipeline.time.row_known_at)] if pipeline.time.row_known_at else []
    named = [*times, *(("key", name) for name in pipeline.key)]
    named += [(f"{where}.on", name) for where, each in _named_beside(pipeline) for name in each.found_by]
    label = pipeline.label.expressions.items()
    named += [(f"label.{part}", name) for part, each in label for name in each.meta.root_names()]
    named += [("expectations", name) for e in pipeline.expectations for name in e.columns]
    named += [(f"slices[{s.name}]", name) for s in pipeline.slices for name in s.where.meta.root_names()]
    named += [("monitoring.columns", name) for name in pipeline.monitoring.columns or ()]
    for where, name in named:
        if name not in columns:
            refuse(pipeline, where, name, f"a declared column ({', '.join(columns)})")
    for where, name in times:
        if columns[name].kind != "datetime":
            refuse(pipeline, where, f"{name} of kind {columns[name].kind}", "a column of kind datetime")
    if not pipeline.key:
        refuse(pipeline, "key", pipeline.key, "at least one column")
    _check_read_as_one_kind(pipeline)


def _check_read_as_one_kind(pipeline: Pipeline) -> None:
    """A source's column has one kind: of a text nobody else could say which expressions of it are meant."""
    read: dict[str, tuple[str, Kind]] = {}
    for name, column in pipeline.schema.columns.items():
        if isinstance(column.source, pl.Expr):
            continue
        first, kind = read.setdefault(column.source or name, (name, column.kind))
        if kind != column.kind:
            raise DeclarationError(
                f"field 'schema[{name}]' does not fit",
                where=f"pipeline {pipeline.name!r}",
                found=f"{column.kind} of the source's column {column.source or name!r}",
                expected=f"{kind}, as which {first!r} reads it",
                hint="declare it as string, and compute the other: Column('int64', source=col('its_name').cast(int))",
            )


def _check_log(pipeline: Pipeline) -> None:
    """The partitions of an inference log are cut by when it was asked."""
    source: object = pipeline.source
    name = pipeline.time.event_time
    column = pipeline.schema.columns[name]
    as_it_is = not isinstance(column.source, pl.Expr) and source_columns(name, column) == [ASKED_AT]
    if isinstance(source, InferenceLog) and not as_it_is:
        expected = f"the log's column {ASKED_AT}: Column('datetime', source='{ASKED_AT}')"
        refuse(pipeline, "time.event_time", name, expected)


def _check_features(pipeline: Pipeline) -> None:
    if not pipeline.features:
        refuse(pipeline, "features", pipeline.features, "at least one expression")
    try:
        used = columns_of(pipeline.checked_features)
    except FeatureError as error:
        raise _as_declared("features", error) from error
    taken = {*pipeline.key, *LAKE_COLUMNS}
    for feature in pipeline.checked_features:
        if feature.name in taken:
            refuse(pipeline, "features", feature.name, f"a name other than {', '.join(sorted(taken))}")
    for name in used:
        if not pipeline.joined_schema.columns[name].usable_in_features:
            refuse(
                pipeline,
                "features",
                name,
                "columns known when the prediction is made (known='with_label' bars a column; "
                "stands_in_for='...' lifts the bar with a reason)",
            )
    for name in pipeline.monitoring.columns or ():
        if name not in pipeline.request_columns:
            refuse(pipeline, "monitoring.columns", name, f"columns that features read ({', '.join(used)})")


def _check_beside(pipeline: Pipeline) -> None:
    """Lookups and timelines, and the declared columns that read them."""
    names = [each.name for each in pipeline.beside]
    if len(set(names)) != len(names):
        refuse(pipeline, "lookups and timelines", names, "names of their own")
    for where, each in _named_beside(pipeline):
        if not NAME.fullmatch(each.name):
            refuse(pipeline, where, each.name, "lower-case letters, digits and underscores, starting with a letter")
        for field_name, value, expected in each.misfits():
            refuse(pipeline, f"{where}.{field_name}", value, expected)
    _check_joined_columns(pipeline, names)


def _check_joined_columns(pipeline: Pipeline, names: list[str]) -> None:
    """Each declared column that reads a lookup or timeline finds it; what rows are found by was joined before."""
    given = {f"{each.name}.{name}": kind for each in pipeline.beside for name, kind in each.columns.items()}
    for name, column in pipeline.schema.columns.items():
        for source in source_columns(name, column):
            if "." in source and source.partition(".")[0] in names and source not in given:
                expected = f"a column of a lookup or timeline ({', '.join(sorted(given))})"
                refuse(pipeline, f"schema[{name}].source", source, expected)
        kind = given.get(column.source) if isinstance(column.source, str) else None
        if kind and kind != column.kind and not (_is_number(kind) and _is_number(column.kind)):
            refuse(pipeline, f"schema[{name}]", column.kind, f"a kind that holds {column.source}, which is {kind}")
    found_by = [("time.event_time", pipeline.time.event_time, names)]
    found_by += [
        (f"{where}.on", on, names[n:]) for n, (where, e) in enumerate(_named_beside(pipeline)) for on in e.found_by
    ]
    for where, name, later in found_by:
        for source in source_columns(name, pipeline.schema.columns[name]):
            if source in given and source.partition(".")[0] in later:
                refuse(pipeline, where, name, f"a column that is there before {source} is joined")


def _is_number(kind: Kind) -> bool:
    return POLARS_TYPES[kind].is_numeric()


def _named_beside(pipeline: Pipeline) -> list[tuple[str, Lookup | Timeline]]:
    lookups = [(f"lookups[{each.name}]", each) for each in pipeline.lookups]
    return [*lookups, *((f"timelines[{each.name}]", each) for each in pipeline.timelines)]


def _check_row_wise(pipeline: Pipeline) -> None:
    named = [(f"label.{part}", each) for part, each in pipeline.label.expressions.items()]
    named += [(f"slices[{s.name}]", s.where) for s in pipeline.slices]
    columns = pipeline.schema.columns.items()
    named += [(f"schema[{name}].source", c.source) for name, c in columns if isinstance(c.source, pl.Expr)]
    for each in pipeline.timelines:
        times = (("event_time", each.event_time), ("known_at", each.known_at))
        named += [(f"timelines[{each.name}].{name}", time) for name, time in times if isinstance(time, pl.Expr)]
    for field_name, expression in named:
        try:
            check_row_wise(expression.meta.serialize(format="json"), where=f"pipeline {pipeline.name!r}")
        except FeatureError as error:
            raise _as_declared(field_name, error) from error


def _check_policies(pipeline: Pipeline) -> None:
    for part in ("train", "validation", "test"):
        if getattr(pipeline.windows, part) < 1:
            refuse(pipeline, f"windows.{part}", getattr(pipeline.windows, part), "at least 1 partition")
    if pipeline.time.end and pipeline.windows.length > len(pipeline.time.keys(pipeline.time.start, pipeline.time.end)):
        refuse(
            pipeline,
            "windows",
            pipeline.windows.length,
            f"at most the partitions from {pipeline.time.start} to {pipeline.time.end}",
        )
    names = [candidate.name for candidate in pipeline.candidates]
    if len(set(names)) != len(names) or not names:
        refuse(pipeline, "candidates", names, "at least one candidate, each with a name of its own")
    if not any(candidate.baseline for candidate in pipeline.candidates):
        refuse(pipeline, "candidates", names, "at least one baseline, such as Median(by=...) or Linear()")
    features = {feature.name: feature for feature in pipeline.checked_features}
    task = pipeline.objective.task
    for candidate in pipeline.candidates:
        if task not in candidate.tasks:
            learns = " and ".join(sorted(candidate.tasks))
            found = f"{type(candidate).__name__}, which learns {learns}"
            refuse(pipeline, f"candidates[{candidate.name}]", found, f"a candidate for {task}, the objective's task")
        for name in candidate.needs:
            if name not in features:
                refuse(pipeline, f"candidates[{candidate.name}]", name, f"a feature ({', '.join(features)})")
        for where, value, expected in candidate.misfits(pipeline.checked_features):
            refuse(pipeline, f"candidates[{candidate.name}].{where}", value, expected)
    if len({s.name for s in pipeline.slices}) != len(pipeline.slices):
        refuse(pipeline, "slices", [s.name for s in pipeline.slices], "slices with names of their own")
    drift = pipeline.retraining.drift
    if drift and not 1 <= drift.k <= drift.n:
        refuse(pipeline, "retraining.drift", drift, "1 <= k <= n")


def _check_ranges(pipeline: Pipeline) -> None:
    for where, value, expected in pipeline.objective.misfits():
        refuse(pipeline, f"objective.{where}", value, expected)
    for where, value, expected in pipeline.leakage.misfits():
        refuse(pipeline, f"leakage.{where}", value, expected)
    baselines, champion = pipeline.gates.baselines, pipeline.gates.champion
    for where, share in (("baselines", baselines.confidence), ("champion", champion.confidence)):
        if not 0 < share < 1:
            refuse(pipeline, f"gates.{where}.confidence", share, "0 < confidence < 1")
    if not champion.margin >= 0:
        refuse(pipeline, "gates.champion.margin", champion.margin, "margin >= 0")
    if not pipeline.monitoring.drift_threshold > 0:
        refuse(pipeline, "monitoring.drift_threshold", pipeline.monitoring.drift_threshold, "drift_threshold > 0")
    if pipeline.retraining.new_labels is not None and not pipeline.retraining.new_labels > 0:
        refuse(pipeline, "retraining.new_labels", pipeline.retraining.new_labels, "new_labels > 0, or None")
    for part in pipeline.slices:
        if not part.limit > 0:
            refuse(pipeline, f"slices[{part.name}].limit", part.limit, "limit > 0")
    _check_label(pipeline)


def _check_spans(pipeline: Pipeline) -> None:
    spans = {"late.accept_for": pipeline.late.accept_for, "label.delay": pipeline.label.delay}
    for where, span in (spans | {"time.known_after": pipeline.time.known_after}).items():
        if span is not None and span < timedelta(0):
            refuse(pipeline, where, str(span), "a span of 0 or more")


def _check_label(pipeline: Pipeline) -> None:
    mature = pipeline.label.mature_after
    if isinstance(mature, Maturity) and not 0 < mature.completeness <= 1:
        refuse(pipeline, "label.mature_after.completeness", mature.completeness, "0 < completeness <= 1")
    latest = mature.at_latest if isinstance(mature, Maturity) else mature
    if latest is not None and latest < timedelta(0):
        refuse(pipeline, "label.mature_after", mature, "a span after the partition's end")
    if isinstance(pipeline.label.source, str) and not pipeline.label.source:
        refuse(pipeline, "label.source", "", "the name of who or what says so, or an expression over the row")
    for where in ("confidence", "min_confidence"):
        share = getattr(pipeline.label, where)
        if not isinstance(share, pl.Expr) and not (isinstance(share, int | float) and 0 <= share <= 1):
            refuse(pipeline, f"label.{where}", share, f"0 <= {where} <= 1")
    sure = pipeline.label.confidence
    if not isinstance(sure, pl.Expr) and sure < pipeline.label.min_confidence:
        refuse(
            pipeline, "label.min_confidence", pipeline.label.min_confidence, f"at most the confidence of all, {sure:g}"
        )


def refuse(pipeline: Pipeline, where: str, value: object, expected: str, cause: Exception | None = None) -> NoReturn:
    """Raise DeclarationError for `value` of the field `where`."""
    raise DeclarationError(
        f"field {where!r} does not fit", where=f"pipeline {pipeline.name!r}", found=repr(value), expected=expected
    ) from cause


def _as_declared(name: str, error: FeatureError) -> DeclarationError:
    return DeclarationError.because(f"field {name!r}", error, where=error.where)
