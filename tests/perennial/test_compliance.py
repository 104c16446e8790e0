"""Compliance: what the rules forbid is refused when it is loaded, and again before it is trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perennial.compliance import check_lawful, owner_of, strictest, unlawful_data
from perennial.declaration import Pipeline
from perennial.errors import DeclarationError, RuleBroken
from perennial.featurization.aggregates import Rolling
from perennial.policies import Rules, Slice
from perennial.schema import Column
from perennial.sources import Files
from pipelines.delivery_eta import delivery_eta
from pipelines.discovery import FOLDER, discover

SOURCE = (FOLDER / "delivery_eta.py").read_text()
ONLY_A_SLICE = Slice(name="rain", where=pl.col("weather") == "rain", limit=5.0)


def declared(**changes: Any) -> Pipeline:
    return replace(delivery_eta, **changes)


def pii(name: str) -> Any:
    columns = dict(delivery_eta.schema.columns)
    columns[name] = replace(columns[name], pii=True)
    return replace(delivery_eta.schema, columns=columns)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a barred column in a feature": (
        {"rules": Rules(barred=("zone",))},
        r"'features\[zone\]' does not fit, found 'zone'",
    ),
    "a barred column in an aggregate": (
        {
            "rules": Rules(barred=("order_id",)),
            "aggregates": [Rolling(by="order_id", of="label", how="mean", days=2)],
        },
        r"'aggregates\[order_id_mean.*found 'order_id'",
    ),
    "a barred column in a slice without a reason": (
        {
            "rules": Rules(barred=("weather",)),
            "features": [pl.col("zone"), pl.col("restaurant")],
            "monitoring": replace(delivery_eta.monitoring, columns=None),
            "slices": [ONLY_A_SLICE],
        },
        r"'slices\[rain\]' does not fit, found 'weather', expected a reason",
    ),
    "personal data in a feature": ({"schema": pii("restaurant")}, r"'features\[restaurant\]'.*no personal data"),
    "another licence": ({"rules": Rules(licences=("CC0-1.0",))}, r"'source.licence'.*one of CC0-1.0"),
    "another source": (
        {"source": Files("{root}/x.parquet", root="/elsewhere"), "rules": Rules(allowed_sources=("s3://ours/*",))},
        r"'source' does not fit, found '/elsewhere/x.parquet', expected an address like s3://ours/",
    ),
    "an owner of no feature": ({"rules": Rules(feature_owners={"nope": "team:a"})}, "'rules.feature_owners'.*'nope'"),
    "an owner that is none": ({"rules": Rules(feature_owners={"zone": "me"})}, r"feature_owners\[zone\].*'me'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_declaration_that_breaks_a_rule_does_not_load(name: str) -> None:
    changes, message = REFUSED[name]

    with pytest.raises(DeclarationError, match=message):
        declared(**changes)


def test_a_column_made_from_a_barred_one_is_barred() -> None:
    columns = {**delivery_eta.schema.columns, "zone": Column("string", source=pl.col("gender").str.to_lowercase())}

    with pytest.raises(DeclarationError, match=r"features\[zone\]"):
        declared(schema=replace(delivery_eta.schema, columns=columns), rules=Rules(barred=("gender",)))


def test_a_slice_with_a_reason_may_look_at_a_barred_column() -> None:
    looked = replace(ONLY_A_SLICE, reason="to see that rain harms nobody")
    kept = [pl.col("zone"), pl.col("restaurant")]

    pipeline = declared(
        rules=Rules(barred=("weather",)), features=kept, slices=[looked],
        monitoring=replace(delivery_eta.monitoring, columns=None),
    )  # fmt: skip

    assert pipeline.slices == [looked]


def test_personal_data_may_be_read_where_the_rules_allow_it() -> None:
    assert declared(schema=pii("restaurant"), rules=Rules(pii_in_features=True)).name == "delivery_eta"


def test_a_feature_has_an_owner_of_its_own_or_that_of_the_pipeline() -> None:
    pipeline = declared(rules=Rules(feature_owners={"zone": "team:maps"}))

    assert owner_of(pipeline, "zone") == "team:maps"
    assert owner_of(pipeline, "hour") == "team:delivery"


def test_data_that_landed_under_another_licence_or_from_elsewhere_is_not_trained_on() -> None:
    pipeline = declared(rules=Rules(allowed_sources=("file:///ours/*",), licences=(delivery_eta.source.licence,)))
    good = {"uri": "file:///ours/a.parquet", "licence": delivery_eta.source.licence}

    assert unlawful_data(pipeline, {"2024-01-01": good}) == []
    landed = {"2024-01-01": good, "2024-01-02": good | {"uri": "s3://b"}, "2024-01-03": good | {"licence": "none"}}
    with pytest.raises(RuleBroken, match=r"2024-01-02 came from s3://b.*2024-01-03 landed under licence 'none'"):
        check_lawful(pipeline, "2024-01-03", landed)


def test_what_was_joined_under_another_licence_or_from_elsewhere_is_not_trained_on() -> None:
    pipeline = declared(rules=Rules(allowed_sources=("file:///ours/*",), licences=(delivery_eta.source.licence,)))
    good = {"uri": "file:///ours/a", "licence": delivery_eta.source.licence}
    beside = {"weather": [good, good | {"uri": "s3://b"}], "zones": [good | {"licence": "none"}]}

    assert unlawful_data(pipeline, {"2024-01-01": {**good, "beside": {"weather": [good]}}}) == []
    assert unlawful_data(pipeline, {"2024-01-01": {**good, "beside": beside}}) == [
        "weather beside 2024-01-01 came from s3://b, allowed is file:///ours/*",
        "zones beside 2024-01-01 landed under licence 'none', allowed is CC0-1.0 (simulated)",
    ]


def test_of_two_sets_of_rules_the_stricter_counts() -> None:
    own = Rules(licences=("a", "b"), barred=("x",), pii_in_features=True, feature_owners={"f": "team:f"})

    both = strictest(own, Rules(licences=("b", "c"), barred=("y",), allowed_sources=("s3://*",)))

    assert (both.licences, both.barred, both.allowed_sources) == (("b",), ("x", "y"), ("s3://*",))
    assert not both.pii_in_features
    assert both.feature_owners == {"f": "team:f"}


def test_the_organisations_rules_hold_for_every_module_and_without_them_none_loads(tmp_path: Path) -> None:
    (tmp_path / "one_eta.py").write_text(SOURCE.replace('name="delivery_eta"', 'name="one_eta"'))
    rules = tmp_path / "rules.py"

    rules.write_text('from perennial import Rules\n\nrules = Rules(barred=("gender",))\n')
    assert discover(tmp_path).named("one_eta").rules.barred == ("gender",)

    rules.write_text('from perennial import Rules\n\nrules = Rules(barred=("zone",))\n')
    (broken,) = discover(tmp_path).broken
    assert "features[zone]" in broken.error

    rules.write_text("nothing = 1\n")
    (broken,) = discover(tmp_path).broken
    assert "one set of rules is expected" in broken.error
