"""Train: what a person reads of the candidates fits a terminal, and a refusal says why."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.train import REFUSED, candidate_table, train_as_of
from perennial import Column, Schema, Windows, col
from pipelines.delivery_eta import delivery_eta
from tests.assets.house import open_house, simulate_days

METRICS = {
    "base_rate": {"train_log_loss": 0.621, "validation_log_loss": 0.622},
    "gradient_boosting": {
        "train_log_loss": 0.2713,
        "train_log_loss_low": 0.2384,
        "train_log_loss_high": 0.3041,
        "validation_log_loss": 0.5055,
        "validation_log_loss_low": 0.4721,
        "validation_log_loss_high": 0.539,
        "validation_brier": 0.1674,
        "validation_brier_low": 0.1543,
        "validation_brier_high": 0.1805,
        "validation_roc_auc": 0.7848,
    },
}


@pytest.mark.parametrize("width", [80, 130])
def test_each_candidate_is_a_row_of_whole_numbers_and_the_chosen_one_is_marked(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)

    console.print(candidate_table(METRICS, "gradient_boosting", title="hotel_cancellation as of 2016-12"))

    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "\u2026" not in said, "nothing is cut"
    first, second = (next(line for line in said.splitlines() if name in line) for name in METRICS)
    assert [cell.strip() for cell in first.split("\u2502")[1:-1]] == ["base_rate", "0.621", "0.622", "", ""]
    assert [cell.strip(" \u2713") for cell in second.split("\u2502")[1:-1]] == [
        "gradient_boosting", "0.271", "0.505", "0.167", "0.785",
    ]  # fmt: skip
    assert said.count("\u2713") == 1
    assert "0.472 to 0.539" in said
    assert "0.238 to 0.304" not in said, "rows that were learned from do not judge"


def test_a_window_that_cannot_be_learned_from_is_refused_with_the_reason(tmp_path: Path) -> None:
    said = io.StringIO()
    with open_house(tmp_path / "home") as house:
        code = train_as_of(house.session, delivery_eta, "2024-01-02", console=Console(file=said, width=200))

    assert code == REFUSED
    assert "refused: delivery_eta as of 2024-01-02: a training window of" in said.getvalue()
    assert "Hint: train a later as-of" in said.getvalue()


def test_a_feature_that_leaks_is_named_where_the_training_was_asked_for(tmp_path: Path) -> None:
    leaking = replace(
        delivery_eta,
        windows=Windows(train=2, validation=1, test=1),
        schema=Schema({**delivery_eta.schema.columns, "delivered_at": Column("datetime")}),
        features=[*delivery_eta.features, (col("delivered_at") - col("ordered_at")).dt.total_seconds().alias("took")],
    )
    said = io.StringIO()
    simulate_days(tmp_path / "home", "2024-01-01", "2024-01-04")
    with open_house(tmp_path / "home", pipeline=leaking) as house:
        assert house.run(keys=("2024-01-01", "2024-01-04")).success

        code = train_as_of(house.session, leaking, "2024-01-04", console=Console(file=said, width=200))

    assert code == REFUSED
    assert "refused: no_feature_leaks: feature 'took' alone orders the outcomes" in said.getvalue()
