"""Catalogue: the command shows every feature, and writes the page."""

from pathlib import Path

from typer.testing import CliRunner

from cli.catalogue import write_page
from cli.main import app


def test_shows_the_features_of_a_pipeline() -> None:
    result = CliRunner().invoke(app, ["catalogue", "delivery_eta"], env={"COLUMNS": "250"})

    assert result.exit_code == 0, result.output
    assert "rush_hour" in result.output


def test_writes_the_page_of_every_pipeline(tmp_path: Path) -> None:
    page = write_page(tmp_path / "features.md")

    assert {"## delivery_eta", "## taxi_eta"} <= set(page.read_text(encoding="utf-8").splitlines())
