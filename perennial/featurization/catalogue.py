"""Catalogue: every feature of a pipeline with its meaning, its origin, its owner and where it is used."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from perennial.compliance import owner_of
from perennial.featurization.aggregates import Aggregate
from perennial.featurization.description import describe_aggregate

if TYPE_CHECKING:
    from perennial.declaration import Pipeline
    from perennial.featurization.expressions import Feature, FeatureKind
    from perennial.training.candidates.base import Candidate

TITLE = """# Features

Every feature that the pipelines declare. This page is made by `perennial catalogue --write`; the same table
stands in the Dagster UI with the asset `features` of each pipeline. Where a version serves, `perennial catalogue` on
that machine also says which features it reads, how important each is to it and what it costs; the assets `evaluation`
and `release` show the same. *importance* is by how much the error of the sealed test rises when the feature's values
are dealt to other rows, *cost* the time per row that its expression took on the machine that evaluated.

*version* changes with the definition · *window* the days before, of an aggregate · *default* for an entity that
was not seen in them · *personal* reads a column tagged as personal data · *used by* the candidates that see it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the catalogue says of one feature."""

    name: str
    kind: FeatureKind
    definition: str
    version: str
    """First eight characters of the sha256 of its definition."""
    owner: str
    sources: tuple[str, ...]
    """Declared columns that it is computed from, directly or through aggregates."""
    window: int | None
    """Days, of an aggregate."""
    default: float | None
    personal: bool
    """Whether it is computed from personal data."""
    used_by: tuple[str, ...]


class Measured(Protocol):
    """What an evaluation has measured of one feature."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def importance(self) -> float | None: ...

    @property
    def microseconds(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The version of a model that serves, or is judged, and what was measured of its features."""

    model: str
    """Such as `version 3`."""
    unit: str
    """Of importances: the metric and its unit."""
    measured: Sequence[Measured]


def catalogue_of(pipeline: Pipeline) -> tuple[Entry, ...]:
    """One entry a feature, in the order in which the model sees them."""
    rolling = {aggregate.name: aggregate for aggregate in pipeline.checked_aggregates}
    return tuple(_entry(pipeline, feature, rolling) for feature in pipeline.checked_features)


def rows_of(entries: Iterable[Entry], serving: Serving | None = None) -> Iterator[dict[str, Any]]:
    """The entries as rows of a table; columns that say nothing of any feature are left out.

    With `serving`: which features the model reads, how important each is to it and what it costs.
    """
    listed = [
        {
            "feature": entry.name,
            "kind": entry.kind,
            "definition": f"`{entry.definition}`",
            "version": f"`{entry.version}`",
            "owner": entry.owner,
            "sources": ", ".join(entry.sources),
            "window": f"{entry.window} days" if entry.window else None,
            "default": entry.default,
            "personal": "yes" if entry.personal else None,
            "used by": ", ".join(entry.used_by),
            **(_measured(entry, serving) if serving else {}),
        }
        for entry in entries
    ]
    told = [name for name in listed[0] if any(row[name] not in (None, "") for row in listed)] if listed else []
    for row in listed:
        yield {name: row[name] for name in told}


def worth_columns(serving: Serving) -> tuple[str, str, str]:
    """What `rows_of` calls whether a model reads a feature, its importance and its cost."""
    return "serves in", f"importance [{serving.unit}]", "cost [µs a row]"


def _measured(entry: Entry, serving: Serving) -> dict[str, Any]:
    """What is known of the feature in the model; one that the model had by another definition is marked."""
    found = next((one for one in serving.measured if one.name == entry.name), None)
    reads = found is not None and found.importance is not None
    other = " (another definition)" if found is not None and found.version != entry.version else ""
    values = (
        f"{serving.model}{other}" if reads else "not used" if found else None,
        f"{found.importance:.3g}" if found and reads else None,
        f"{found.microseconds:.2g}" if found else None,
    )
    return dict(zip(worth_columns(serving), values, strict=True))


def page_of(pipelines: Iterable[Pipeline]) -> str:
    """The catalogue of all `pipelines` as a page of the documentation."""
    return TITLE + "".join(f"\n## {pipeline.name}\n\n{_markdown(pipeline)}\n" for pipeline in pipelines)


def _entry(pipeline: Pipeline, feature: Feature, rolling: Mapping[str, Aggregate]) -> Entry:
    aggregate = rolling.get(feature.name)
    roots = feature.expression.meta.root_names()
    sources = tuple(dict.fromkeys(name for root in roots for name in _sources(root, rolling)))
    return Entry(
        name=feature.name,
        kind=feature.kind,
        definition=describe_aggregate(aggregate) if aggregate else shown(str(feature.expression)),
        version=_version(feature, [rolling[root] for root in roots if root in rolling]),
        owner=owner_of(pipeline, feature.name),
        sources=sources,
        window=aggregate.days if aggregate else None,
        default=aggregate.default if aggregate else None,
        personal=any(pipeline.schema.columns[name].pii for name in sources),
        used_by=tuple(_told(candidate) for candidate in pipeline.candidates if _sees(candidate, feature.name)),
    )


def shown(expression: str) -> str:
    """An expression as Polars prints it, without the brackets that a person does not need.

    >>> shown('[(col("a")) + (col("b").log1p())]')
    'a + b.log1p()'
    """
    text = re.sub(r'col\("([^"]+)"\)', r"\1", expression)
    text = re.sub(r"dyn (?:int|float): ", "", text)
    text = re.sub(r"(?<!\w)\(([^()\[\]]*(?:\([^()]*\)[^()\[\]]*)*)\)", r"\1", text)
    text = text.replace("strict_cast", "cast")
    text = re.sub(r'\.alias\("[^"]*"\)$', "", text)
    return text[1:-1] if re.fullmatch(r"\[[^\[\]]*\]", text) else text


def _sources(root: str, rolling: Mapping[str, Aggregate]) -> tuple[str, ...]:
    aggregate = rolling.get(root)
    if aggregate is None:
        return (root,)
    return (*aggregate.by, *(aggregate.expression.meta.root_names() if aggregate.expression is not None else ()))


def _version(feature: Feature, aggregates: Iterable[Aggregate]) -> str:
    """Of the stored expression and of the aggregates that it reads."""
    parts = [feature.stored]
    for a in aggregates:
        stored = a.expression.meta.serialize(format="json") if a.expression is not None else None
        parts.append(json.dumps([a.by, a.how, a.days, a.default, stored]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _sees(candidate: Candidate, feature: str) -> bool:
    """Whether `candidate` learns from `feature`: a median only from its own, others from all but what they ignore."""
    ignored = getattr(candidate, "ignore", None)
    return feature not in ignored if ignored is not None else feature in candidate.needs or not candidate.needs


def _told(candidate: Candidate) -> str:
    """A candidate by its name, with how many of the features that it sees it keeps, where it chooses."""
    keep = getattr(candidate, "keep", None)
    return candidate.name if keep is None else f"{candidate.name} (best {keep})"


def _markdown(pipeline: Pipeline) -> str:
    rows = list(rows_of(catalogue_of(pipeline)))
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in head) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
