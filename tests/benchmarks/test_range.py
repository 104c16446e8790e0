"""The graph and the plain script do the same work, at a size that says nothing about speed."""

from __future__ import annotations

from datetime import date

import pytest

from benchmarks import days, months
from benchmarks.processes import Measured, ratio_of, refuse_different, run_process


@pytest.mark.slow
def test_days_end_with_the_same_content_on_both_sides():
    (row,) = days.run(date(2024, 1, 1), date(2024, 1, 2), repeats=1)

    assert row.value is not None
    assert row.limit == 1.3


@pytest.mark.slow
@pytest.mark.real_data
def test_months_end_with_the_same_content_on_both_sides(real_data, monkeypatch):
    monkeypatch.setenv("PERENNIAL_REAL_DATA", str(real_data))

    time, memory = months.run("2023-01", "2023-01", repeats=1)

    assert time.value is not None
    assert memory.value is not None


def test_sides_that_end_differently_are_no_measurement():
    def side(content):
        return Measured(seconds=1.0, peak=1, answer={"landed": {"2024-01-01": content}})

    refuse_different(side("a"), side("a"))
    with pytest.raises(RuntimeError, match="same landed"):
        refuse_different(side("a"), side("b"))


def test_a_process_that_fails_says_what_it_wrote():
    with pytest.raises(RuntimeError, match="no such thing"):
        run_process("-c", "raise ValueError('no such thing')")


def test_a_process_is_measured_from_outside():
    run = run_process("-c", "import json; held = bytearray(200_000_000); print(json.dumps({'done': True}))")

    assert run.answer == {"done": True}
    assert run.peak > 200_000_000
    assert run.seconds > 0


def test_a_machine_whose_speed_drifts_leaves_the_ratio_as_it_is():
    drift = [1.0, 1.4, 0.9, 2.0]

    sides = {"plain": [1.0 * slow for slow in drift], "empty": [0.5 * slow for slow in drift]}

    assert ratio_of([3.0 * slow for slow in drift], **sides).value == pytest.approx(2.0)


def test_a_turn_that_was_disturbed_on_one_side_does_not_count():
    assert ratio_of([2.0, 2.0, 9.0], plain=[1.0, 1.0, 1.0]).value == 2.0
    assert ratio_of([2.0, 2.0, 2.0], plain=[1.0, 0.2, 1.0]).value == 2.0


def test_sides_of_unlike_numbers_of_turns_have_no_ratio():
    with pytest.raises(ValueError, match="shorter"):
        ratio_of([2.0, 2.0], plain=[1.0])
