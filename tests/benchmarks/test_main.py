"""The bench shows and writes every row, and fails when one does not keep its limit."""

from __future__ import annotations

import importlib
import json

import pytest

from benchmarks.rows import Row

bench = importlib.import_module("benchmarks.__main__")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Return the file that the bench writes, in a place of its own."""
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "build" / "bench.jsonl")
    return bench.RESULTS


@pytest.fixture
def measured(monkeypatch):
    """Let the benchmark of the definitions answer what a test says."""

    def let(run):
        monkeypatch.setattr(importlib.import_module("benchmarks.definitions"), "run", run)

    return let


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_every_row_is_written_and_one_beyond_its_limit_fails(results, measured, ok, code):
    measured(lambda: [Row(name="load", value=1.5, limit=2.0, ok=ok)])

    assert bench.main(["definitions"]) == code

    (line,) = map(json.loads, results.read_text().splitlines())
    assert {name: line[name] for name in ("name", "value", "limit", "ok")} == {
        "name": "load", "value": 1.5, "limit": 2.0, "ok": ok
    }  # fmt: skip


def test_what_could_not_be_measured_does_not_keep_its_limit(results, measured):
    def run():
        raise FileNotFoundError("no months here")

    measured(run)

    assert bench.main(["definitions"]) == 1
    line = json.loads(results.read_text())
    assert (line["value"], line["ok"]) == (None, False)
    assert "no months here" in line["detail"]


def test_a_benchmark_that_there_is_not_is_refused(results):
    assert bench.main(["nothing"]) == 2
    assert not results.exists()
