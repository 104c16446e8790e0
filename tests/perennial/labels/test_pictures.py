"""Pictures: how late outcomes come, drawn."""

from __future__ import annotations

from datetime import timedelta

from perennial.labels.maturity import DelayCurve
from perennial.labels.pictures import cohort_picture, delay_picture

SLOW = DelayCurve([timedelta(days=day) for day in (1, 30, 90)], [0.1, 0.5, 1.0])
QUICK = DelayCurve([timedelta(days=1)], [1.0])


def test_curves_are_drawn_as_png_and_the_same_again() -> None:
    drawn = delay_picture({"slow": SLOW, "quick": QUICK}, completeness=0.9)

    assert drawn.startswith(b"\x89PNG")
    assert drawn == delay_picture({"slow": SLOW, "quick": QUICK}, completeness=0.9)
    assert drawn != delay_picture({"slow": SLOW})
    assert delay_picture({"none yet": DelayCurve([], [])}).startswith(b"\x89PNG")


def test_cohorts_are_drawn_with_their_immature_end_shaded() -> None:
    means = {"known first": {"2024-01": 0.5, "2024-02": 0.7}, "all": {"2024-01": 0.4}}

    drawn = cohort_picture(means, unit="share", mature_until="2024-01")

    assert drawn.startswith(b"\x89PNG")
    assert drawn != cohort_picture(means, unit="share")
    assert cohort_picture({}, unit="share").startswith(b"\x89PNG")
