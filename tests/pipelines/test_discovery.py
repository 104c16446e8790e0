"""Discovery: a module is a pipeline; one that does not load stops nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from perennial.errors import DeclarationError
from perennial.settings import Home
from pipelines.definitions import build_definitions
from pipelines.discovery import FOLDER, Discovered, discover
from resources.instance import open_instance
from resources.runs import run_assets

SOURCE = (FOLDER / "delivery_eta.py").read_text()
AGGREGATE = "*map(col, ("


def declare(folder: Path, **modules: str) -> Discovered:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return discover(folder)


def renamed(name: str) -> str:
    return SOURCE.replace('name="delivery_eta"', f'name="{name}"')


def test_finds_every_shipped_pipeline_by_name() -> None:
    found = discover()

    assert [pipeline.name for pipeline in found.pipelines] == ["delivery_eta", "hotel_cancellation", "taxi_eta"]
    assert found.broken == ()
    assert found.named("taxi_eta").name == "taxi_eta"


BROKEN = {
    "syntax": ("x = = 1", "SyntaxError"),
    "imports": ("import nothing_of_that_name", "nothing_of_that_name"),
    "raises": ("raise RuntimeError('not today')", "not today"),
    "empty": ("x = 1", "no pipeline is declared, expected name = Pipeline(...)"),
    "wrong": (SOURCE.replace('owner="team:delivery"', 'owner="us"'), "field 'owner' does not fit, found 'us'"),
    "aggregate": (
        SOURCE.replace("features=[", "features=[(col('items') - col('items').mean()).alias('x'),"),
        "aggregate",
    ),
    "exits": ("import sys; sys.exit(3)", "SystemExit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_does_not_load_is_told_and_the_others_load(tmp_path: Path, name: str) -> None:
    text, words = BROKEN[name]

    found = declare(tmp_path, **{name: text, "first_eta": renamed("first_eta"), "zero_eta": renamed("zero_eta")})

    assert [pipeline.name for pipeline in found.pipelines] == ["first_eta", "zero_eta"]
    (broken,) = found.broken
    assert broken.name == name
    assert words in broken.error
    assert f"{name}.py" in broken.trace
    with pytest.raises(DeclarationError, match=f"pipelines/{name}.py: the declaration does not load"):
        found.named(name)


def test_of_two_pipelines_of_one_name_the_first_loads_and_the_second_is_told(tmp_path: Path) -> None:
    found = declare(tmp_path, a_eta=renamed("eta"), b_eta=renamed("eta"), c_eta=renamed("c_eta"))

    assert [pipeline.name for pipeline in found.pipelines] == ["c_eta", "eta"]
    (broken,) = found.broken
    assert broken.name == "b_eta"
    for word in ("pipelines/b_eta.py", "the name is taken", "'eta'", "a name of its own"):
        assert word in broken.error


def test_a_reader_of_a_log_loads_beside_the_pipeline_that_answers_and_is_told_without_it(tmp_path: Path) -> None:
    reader = "from tests.answers import reading_pipeline\npipeline = reading_pipeline()"

    alone = declare(tmp_path, misses=reader, eta=renamed("eta"))
    both = declare(tmp_path, rides="from tests.bundles import small_pipeline\npipeline = small_pipeline()")

    (broken,) = alone.broken
    assert (broken.name, [pipeline.name for pipeline in alone.pipelines]) == ("misses", ["eta"])
    assert (
        "field 'source' does not fit, found 'rides', expected a pipeline that loads (eta, rides_error)" in broken.error
    )
    assert "check_log" in broken.trace
    assert (both.broken, [p.name for p in both.pipelines]) == ((), ["eta", "rides", "rides_error"])


def test_a_reader_of_the_log_of_one_that_does_not_load_does_not_load_either(tmp_path: Path) -> None:
    reader = "from tests.answers import reading_pipeline\n"
    of_reader = (
        "from dataclasses import replace\nfrom perennial import InferenceLog\n"
        "pipeline = replace(reading_pipeline(), name='a_first', source=InferenceLog('rides_error'))"
    )

    found = declare(tmp_path, a=reader + of_reader, b=reader + "pipeline = reading_pipeline()", eta=renamed("eta"))

    assert [pipeline.name for pipeline in found.pipelines] == ["eta"]
    assert [broken.name for broken in found.broken] == ["b", "a"]
    assert "found 'rides_error', expected a pipeline that loads (a_first, eta)" in found.broken[1].error


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    known = "delivery_eta, hotel_cancellation, taxi_eta"
    with pytest.raises(DeclarationError, match=rf"no such pipeline, found 'pizza', expected {known}\."):
        discover().named("pizza")


def test_a_broken_module_is_an_asset_that_fails_with_its_error_beside_the_others(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = declare(tmp_path, lost_eta="raise RuntimeError('not today')", good_eta=renamed("good_eta"))
    definitions = build_definitions(found)
    asset = dg.AssetKey(["lost_eta", "declaration"])
    for name in home.environment:
        monkeypatch.setenv(name, "")

    graph = definitions.resolve_asset_graph()
    with open_instance(home, os.environ) as instance:
        result = run_assets(instance, definitions, [asset], "2024-01-01", tags={})

    assert {key.path[0] for key in graph.get_all_asset_keys()} == {"good_eta", "lost_eta"}
    assert "not today" in (graph.get(asset).description or "")
    assert "Traceback" in str(graph.get(asset).metadata["error"].value)
    (error,) = result.errors
    assert "pipelines/lost_eta.py does not load: RuntimeError: not today" in error.message
