from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.errors import PerennialError
from perennial.training.candidates import Median, Rows


def test_answers_the_median_of_the_group_and_of_all_for_a_group_never_seen(declare, objective):
    rows = Rows(features=pl.DataFrame({"zone": ["a", "a", "a", "b", None, ""]}), label=np.array([1.0, 2, 9, 5, 7, 8]))

    fitted = Median(by="zone").fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    asked = pl.DataFrame({"zone": ["a", "b", "c", None, ""]})
    assert fitted.predict(asked).tolist() == [2.0, 5.0, 6.0, 7.5, 7.5]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e3, 1e3, width=32)), min_size=1))
def test_no_other_number_has_less_absolute_error_in_a_group(pairs, declare, objective):
    zones, labels = zip(*pairs, strict=True)
    rows = Rows(features=pl.DataFrame({"zone": zones}), label=np.array(labels))

    fitted = Median(by="zone").fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    errors = np.abs(fitted.predict(rows.features) - rows.label)
    for zone in set(zones):
        inside = np.array(zones) == zone
        least = min(np.abs(rows.label[inside] - answer).sum() for answer in rows.label[inside])
        assert errors[inside].sum() <= least * (1 + 1e-6) + 1e-3


def test_refuses_to_group_by_a_number(declare, objective, make_trips):
    rows = make_trips(10)

    with pytest.raises(PerennialError, match=r"by='hour', expected a category \(zone, weather\)"):
        Median(by="hour").fit(rows, None, features=declare(rows.features), objective=objective, seed=0)


def test_is_a_baseline_that_needs_its_feature():
    assert Median.baseline
    assert Median(by="zone").needs == ("zone",)
