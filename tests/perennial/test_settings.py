"""Settings: one place for all state, found the same way by every process."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import settings
from perennial.errors import PerennialError
from perennial.settings import CLONE, KEEP_MEMORY, SETTINGS, TELEMETRY_OFF, Home, find_home, home_at, turn_telemetry_off


def test_the_default_home_lies_beside_the_project_and_is_absolute() -> None:
    home = find_home({})

    assert home.root == CLONE / ".perennial"
    assert home.root.is_absolute()
    assert (CLONE / "pyproject.toml").is_file()


def test_every_part_of_a_home_lies_inside_its_root(tmp_path: Path) -> None:
    home = home_at(tmp_path)

    parts = [home.bundles, home.inference, home.mlflow, home.tracking, home.reports, home.dagster, home.logs]
    assert all(part.parent == tmp_path for part in parts)
    assert home.lake == str(tmp_path / "lake")
    assert home.operations_url == f"sqlite:///{tmp_path}/operations.db"
    assert home.mlflow_url == f"sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert find_home({"PERENNIAL_HOME": "state"}).root == tmp_path / "state"


def test_an_empty_variable_counts_as_unset() -> None:
    assert find_home(dict.fromkeys(SETTINGS, " ")) == find_home({})


@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.from_regex(r"/[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)))
def test_a_child_process_finds_the_very_same_home(environ: dict[str, str]) -> None:
    home = find_home(environ)

    assert find_home(home.environment) == home


def test_outside_a_clone_the_home_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CLONE", tmp_path)

    with pytest.raises(PerennialError, match=r"settings: no place for state .* found PERENNIAL_HOME unset, expected"):
        find_home({})


def test_telemetry_is_turned_off_even_where_it_was_on() -> None:
    environ = {"GX_ANALYTICS_ENABLED": "true", "KEPT": "1"}

    turn_telemetry_off(environ)

    assert environ == {**TELEMETRY_OFF, "KEPT": "1"}


def test_the_libraries_believe_the_switches() -> None:
    from evidently.telemetry import event_logger
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
    assert not event_logger.is_enabled()


def test_every_setting_and_field_is_documented() -> None:
    page = (CLONE / "docs" / "settings.md").read_text()
    source = (CLONE / "perennial" / "settings.py").read_text()

    assert all(f"`{name}`" in page for name in SETTINGS)
    for field in fields(Home):
        assert re.search(rf'^    {field.name}: .*\n    """\w', source, re.MULTILINE), field.name


def test_what_a_shell_has_to_set_by_itself_is_what_its_children_get(tmp_path: Path) -> None:
    page = (CLONE / "docs" / "settings.md").read_text()

    for name, value in KEEP_MEMORY.items():
        assert f"`export {name}={value}`" in page
        assert home_at(tmp_path).environment[name] == value


def test_a_lake_that_polars_could_not_read_back_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(PerennialError, match=r"could not be read back.*a b.*PERENNIAL_HOME"):
        find_home({"PERENNIAL_HOME": str(tmp_path / "a b")})
