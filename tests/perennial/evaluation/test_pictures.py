"""Pictures: a PNG a plot, the same bytes for the same numbers, whatever the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perennial.evaluation.pictures import answer_pictures, comparison_picture, error_picture, learning_curve_picture
from perennial.objective import BinaryClassification, Regression, ShareWithin
from perennial.training.candidates.base import LearningCurve

Array = np.ndarray[Any, Any]
CURVE = LearningCurve(train=(5.0, 4.0, 3.5), validation=(5.5, 4.6, 4.5))
LABEL = np.linspace(10, 60, 400)
MODELS = {"bundle": (3.0, 2.8, 3.2), "median": (5.0, 4.6, 5.4)}
DECIDED = BinaryClassification(goal=0.5, positive="late", threshold=0.3)
CHANCE = np.linspace(0, 1, 400)
CLASS = (np.sin(7 * CHANCE) ** 2 < CHANCE).astype(np.float64)
PNG = b"\x89PNG\r\n\x1a\n"
PICTURES: dict[str, Callable[[], bytes]] = {
    "learning curve": lambda: learning_curve_picture(CURVE, unit="minutes"),
    "one round": lambda: learning_curve_picture(LearningCurve(train=(5.0,), validation=(5.5,)), unit="minutes"),
    "errors": lambda: error_picture(LABEL, LABEL + np.sin(LABEL), unit="minutes"),
    "perfect": lambda: error_picture(LABEL, LABEL, unit="minutes"),
    "constant": lambda: error_picture(LABEL, np.full(400, 30.0), unit="minutes"),
    "one row": lambda: error_picture(LABEL[:1], LABEL[:1], unit="minutes"),
    "models": lambda: comparison_picture(MODELS, title="mae", unit="minutes"),
    "one day": lambda: comparison_picture({"bundle": (3.0, np.nan, np.nan)}, title="mae", unit="minutes"),
}


ANSWERS: dict[str, tuple[Array, Array]] = {
    "classes": (CLASS, CHANCE),
    "only positives": (np.ones(400), CHANCE),
    "only negatives": (np.zeros(400), CHANCE),
    "always sure": (CLASS, CLASS),
    "always one half": (CLASS, np.full(400, 0.5)),
    "a single row": (CLASS[:1], CHANCE[:1]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_and_repeats_to_the_byte(name: str) -> None:
    first = PICTURES[name]()

    assert first.startswith(PNG)
    assert PICTURES[name]() == first


@pytest.mark.parametrize("words", ANSWERS)
def test_the_pictures_of_classes_are_pngs_and_repeat_to_the_byte(words: str) -> None:
    first = answer_pictures(*ANSWERS[words], objective=DECIDED)

    assert list(first) == ["calibration.png", "roc.png", "confusion.png"]
    assert all(picture.startswith(PNG) for picture in first.values())
    assert answer_pictures(*ANSWERS[words], objective=DECIDED) == first


def test_other_numbers_give_another_picture() -> None:
    better = {**MODELS, "bundle": (2.0, 1.8, 2.2)}

    assert comparison_picture(better, title="mae", unit="minutes") != PICTURES["models"]()
    assert error_picture(LABEL, LABEL + 1, unit="minutes") != PICTURES["errors"]()


def test_each_task_has_its_own_pictures() -> None:
    minutes = Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5))

    regression, classes = (
        answer_pictures(LABEL, LABEL + 1, objective=minutes),
        answer_pictures(CLASS, CHANCE, objective=DECIDED),
    )

    assert regression == {"errors.png": error_picture(LABEL, LABEL + 1, unit="minutes")}
    assert list(classes) == ["calibration.png", "roc.png", "confusion.png"]
    worse = answer_pictures(CLASS, 1 - CHANCE, objective=DECIDED)
    assert [name for name in classes if classes[name] == worse[name]] == []
