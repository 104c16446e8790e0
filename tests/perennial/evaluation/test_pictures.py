"""Pictures: a PNG a plot, the same bytes for the same numbers, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.pictures import comparison_picture, error_picture, learning_curve_picture
from perennial.training.candidates.base import LearningCurve

CURVE = LearningCurve(train=(5.0, 4.0, 3.5), validation=(5.5, 4.6, 4.5))
LABEL = np.linspace(10, 60, 400)
MODELS = {"bundle": (3.0, 2.8, 3.2), "median": (5.0, 4.6, 5.4)}
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = {
    "learning curve": lambda: learning_curve_picture(CURVE, unit="minutes"),
    "one round": lambda: learning_curve_picture(LearningCurve(train=(5.0,), validation=(5.5,)), unit="minutes"),
    "errors": lambda: error_picture(LABEL, LABEL + np.sin(LABEL), unit="minutes"),
    "perfect": lambda: error_picture(LABEL, LABEL, unit="minutes"),
    "constant": lambda: error_picture(LABEL, np.full(400, 30.0), unit="minutes"),
    "one row": lambda: error_picture(LABEL[:1], LABEL[:1], unit="minutes"),
    "models": lambda: comparison_picture(MODELS, title="mae", unit="minutes"),
    "one day": lambda: comparison_picture({"bundle": (3.0, np.nan, np.nan)}, title="mae", unit="minutes"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_and_repeats_to_the_byte(name: str) -> None:
    first = PICTURES[name]()

    assert first.startswith(PNG)
    assert PICTURES[name]() == first


def test_other_numbers_give_another_picture() -> None:
    better = {**MODELS, "bundle": (2.0, 1.8, 2.2)}

    assert comparison_picture(better, title="mae", unit="minutes") != PICTURES["models"]()
    assert error_picture(LABEL, LABEL + 1, unit="minutes") != PICTURES["errors"]()
