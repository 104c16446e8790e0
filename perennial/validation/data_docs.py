"""Data docs: Great Expectations' own page about one partition, made when a person wants to look.

The page loads nothing from elsewhere: what Great Expectations takes from other servers (styles,
scripts, its logo) is left out or replaced, so that it reads the same offline and tells nobody.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from perennial.schema import Schema
from perennial.time import Calendar
from perennial.validation.expectations import Expectation
from perennial.validation.suites import (
    Claim,
    measure_claims,
    measures,
    partition_windows,
    row_claim,
    unique_claim,
    validate,
)
from perennial.validation.verdicts import Split

COUNTS = (
    *("element_count", "missing_count", "missing_percent", "unexpected_count", "unexpected_percent"),
    *("unexpected_percent_total", "unexpected_percent_nonmissing"),
)
"""Of what was found in personal data; everything else holds values of it, or may in a later version."""
SUMMARY = {"result_format": "SUMMARY"}
ELSEWHERE = re.compile(
    r"<script.*?</script>|<link[^>]*>|<img[^>]*>|<footer>.*?</footer>|<title>.*?</title>|url\('http[^']*'\)"
    r"|href=\"\.\./[^\"]*\"",
    re.DOTALL,
)
STYLE = """<style>
body { font: 14px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 1rem auto; }
nav, .card { display: none; }
h4, h5, h6 { margin: 1.2rem 0 .3rem; font-size: 1rem; }
table { border-collapse: collapse; margin: .3rem 0 .8rem; } th { text-align: left; }
th, td { border-top: 1px solid #ddd; padding: .25rem .8rem .25rem 0; vertical-align: top; }
.badge { background: #eee; border-radius: 3px; padding: 0 .3rem; }
.text-danger { color: #b3261e; } .text-success { color: #1b7f3b; }
.fa-times::before { content: "\\2717"; } .fa-check-circle::before { content: "\\2713"; }
.fa-exclamation-triangle::before { content: "!"; }
</style>"""


def data_docs(
    split: Split,
    partition: str,
    expectations: Sequence[Expectation],
    calendar: Calendar,
    *,
    schema: Schema,
    folder: Path,
) -> Path:
    """Validate one partition of `split` again and write the page `{folder}/{partition}.html`.

    It shows row expectations on the landed rows and partition expectations on the accepted ones; of a column
    that `schema` tags as personal data only how many rows fail.
    """
    accepted, quarantined = (
        part.filter(pl.col("partition") == partition) for part in (split.accepted, split.quarantined)
    )
    landed = pl.concat([accepted, quarantined.drop("reason")])
    counts = pl.DataFrame(
        {"partition": [partition], "landed": [landed.height], "accepted": [accepted.height]}
    ).with_columns(quarantined=pl.col("landed") - pl.col("accepted"))
    rows = [e for e in expectations if e.level == "row"]
    whole = [e for e in expectations if e.level == "partition" and e.kind != "unique"]
    windows = partition_windows(landed["partition"], calendar)
    page = _page(
        partition,
        [
            (landed, [row_claim(e, landed.schema, windows) for e in rows]),
            (accepted, [unique_claim(e) for e in expectations if e.kind == "unique"]),
            (measures(accepted, counts, whole), [claim for e in whole for claim in measure_claims(e)]),
        ],
        personal={name for name, column in schema.columns.items() if column.pii},
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{partition}.html"
    path.write_text(page, encoding="utf-8")
    return path


def _page(partition: str, parts: Sequence[tuple[pl.DataFrame, Sequence[Claim]]], *, personal: set[str]) -> str:
    """HTML of the results of all parts, as one validation."""
    results = [
        _hide_values(result) if personal.intersection(claim.declared.columns) else result
        for frame, claims in parts
        if claims
        for claim, result in zip(claims, validate(frame, claims, SUMMARY).results, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its templates use deprecated names
        html = _render(partition, results)
    title = f"<title>{partition}: expectations</title>{STYLE}"
    return ELSEWHERE.sub("", html).replace("</head>", f"{title}</head>", 1)


def _hide_values(result: Any) -> Any:
    """The same result, with nothing of it but how many rows fail."""
    result.result = {name: result.result[name] for name in COUNTS if name in result.result}
    return result


def _render(partition: str, results: Sequence[Any]) -> str:
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    fulfilled = sum(bool(result.success) for result in results)
    found = ExpectationSuiteValidationResult(
        results=list(results),
        success=fulfilled == len(results),
        suite_name="rows and partition",
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": fulfilled,
            "unsuccessful_expectations": len(results) - fulfilled,
            "success_percent": 100 * fulfilled / max(len(results), 1),
        },
        meta={"run_id": RunIdentifier(run_name=partition), "batch_kwargs": {"data_asset_name": partition}},
    )
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(found)
    return str(DefaultJinjaPageView().render(document))  # type: ignore[no-untyped-call]
