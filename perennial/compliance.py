"""Compliance: whether a declaration, and the data that a training would read, keep to the declared `Rules`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from perennial.errors import Misfit, RuleBroken
from perennial.featurization.expressions import columns_of
from perennial.policies import Rules
from perennial.schema import source_columns

if TYPE_CHECKING:
    from perennial.declaration import Pipeline
    from perennial.sources import Source


def broken_rules(pipeline: Pipeline) -> Iterator[Misfit]:
    """Every rule that the declaration breaks."""
    rules = pipeline.rules
    for field, source in _sources(pipeline):
        if rules.licences is not None and source.licence not in rules.licences:
            yield f"{field}.licence", source.licence, f"one of {', '.join(rules.licences)} (rules.licences)"
        address = declared_address(source)
        if address is not None and not _is_allowed(address, rules):
            yield field, address, f"an address like {_listed(rules.allowed_sources)} (rules.allowed_sources)"
    barred = barred_columns(pipeline)
    for where, columns in _reading(pipeline):
        for name in sorted(columns & set(barred)):
            yield where, name, barred[name]
    for part in pipeline.slices:
        for name in sorted(set(part.where.meta.root_names()) & set(barred)):
            if not part.reason:
                yield f"slices[{part.name}]", name, f"a reason, Slice(reason=...), or {barred[name]}"
    known = {feature.name for feature in pipeline.checked_features}
    for name, owner in rules.feature_owners.items():
        if name not in known:
            yield "rules.feature_owners", name, f"a feature ({', '.join(sorted(known))})"
        if not owner.startswith("team:") and "@" not in owner:
            yield f"rules.feature_owners[{name}]", owner, "'team:NAME' or an e-mail address"


def unlawful_data(pipeline: Pipeline, provenance: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why a training may not read what landed: a line for each partition whose origin the rules of now forbid.

    `provenance` says of each partition of the window where it came from and under which licence.
    """
    rules = pipeline.rules
    lines = []
    for key, landed in provenance.items():
        beside = [
            (f"{name} beside {key}", one) for name, origins in landed.get("beside", {}).items() for one in origins
        ]
        for what, origin in [(key, landed), *beside]:
            uri, licence = str(origin.get("uri", "")), origin.get("licence")
            if not _is_allowed(uri, rules):
                lines.append(f"{what} came from {uri}, allowed is {_listed(rules.allowed_sources)}")
            if rules.licences is not None and licence not in rules.licences:
                lines.append(f"{what} landed under licence {licence!r}, allowed is {_listed(rules.licences)}")
    return lines


def check_lawful(pipeline: Pipeline, as_of: str, provenance: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise RuleBroken when a training as of `as_of` would read what the rules forbid."""
    declared = [f"{where}: found {found!r}, expected {expected}" for where, found, expected in broken_rules(pipeline)]
    broken = [*declared, *unlawful_data(pipeline, provenance)]
    if broken:
        raise RuleBroken(
            "the rules forbid to train on this",
            where=f"{pipeline.name} as of {as_of}",
            found="; ".join(broken),
            hint="the rules are those of the declaration and of pipelines/rules.py",
        )


def owner_of(pipeline: Pipeline, feature: str) -> str:
    """Who answers for a feature."""
    return pipeline.rules.feature_owners.get(feature, pipeline.owner)


def strictest(own: Rules, others: Rules) -> Rules:
    """What both allow: an organisation's rules with those of one pipeline."""
    return replace(
        own,
        allowed_sources=_both(own.allowed_sources, others.allowed_sources),
        licences=_both(own.licences, others.licences),
        barred=tuple(dict.fromkeys([*own.barred, *others.barred])),
        pii_in_features=own.pii_in_features and others.pii_in_features,
    )


def barred_columns(pipeline: Pipeline) -> dict[str, str]:
    """The declared columns that no feature may read, each with the rule that says so.

    A column made by an expression is barred when anything that it reads of the source is, and one that
    was joined also under the name that it has in its lookup or timeline.
    """
    rules, joined = pipeline.rules, {each.name for each in pipeline.beside}
    found: dict[str, str] = {}
    for name, column in pipeline.schema.columns.items():
        read = source_columns(name, column)
        theirs = [one.partition(".")[2] for one in read if one.partition(".")[0] in joined]
        if {name, *read, *theirs} & set(rules.barred):
            found[name] = "a column that is not barred (rules.barred)"
        elif column.pii and not rules.pii_in_features:
            found[name] = "a column that is no personal data (rules.pii_in_features)"
    return found


def declared_address(source: Source) -> str | None:
    """Where a source lies, as far as the declaration says it; None when the environment decides."""
    root, pattern = getattr(source, "root", ""), getattr(source, "pattern", None)
    if pattern is None or not isinstance(root, str):
        return None
    address = pattern.replace("{root}", root)
    return None if "{home}" in address else re.sub(r"\{[^}]*\}", "", address)


def _sources(pipeline: Pipeline) -> Iterator[tuple[str, Source]]:
    """All that the rows come from, by its field of the declaration."""
    yield "source", pipeline.source
    for field, beside in (("lookups", pipeline.lookups), ("timelines", pipeline.timelines)):
        for each in beside:
            yield f"{field}[{each.name}].source", each.source


def _reading(pipeline: Pipeline) -> Iterator[tuple[str, set[str]]]:
    """What each feature and aggregate reads."""
    for feature in pipeline.checked_features:
        yield f"features[{feature.name}]", set(columns_of([feature]))
    for aggregate in pipeline.checked_aggregates:
        read = set(aggregate.expression.meta.root_names()) if aggregate.expression is not None else set()
        yield f"aggregates[{aggregate.name}]", {*aggregate.by, *read}


def _is_allowed(address: str, rules: Rules) -> bool:
    return rules.allowed_sources is None or any(fnmatchcase(address, pattern) for pattern in rules.allowed_sources)


def _both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(name for name in one if name in other)


def _listed(names: tuple[str, ...] | None) -> str:
    return ", ".join(names or ()) or "nothing"
