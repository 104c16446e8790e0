"""Dossiers and verdicts: fail closed, and survive JSON."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from perennial.promotion.dossier import Dossier, Verdict

evidence = st.dictionaries(st.text(), st.floats() | st.integers() | st.text() | st.none() | st.lists(st.floats()))
verdicts = st.builds(
    Verdict,
    gate=st.text(),
    outcome=st.sampled_from(["passed", "refused", "not_comparable"]),
    reason=st.text(),
    evidence=evidence,
)
dossiers = st.builds(
    Dossier,
    pipeline=st.text(),
    bundle_sha256=st.text(),
    as_of=st.text(),
    champion=st.none() | st.integers(1, 9),
    verdicts=st.lists(verdicts).map(tuple),
)


@given(dossiers)
def test_a_dossier_survives_json(dossier: Dossier) -> None:
    assert Dossier.from_json(dossier.to_json()) == dossier


@given(dossiers)
def test_a_dossier_passes_only_when_it_has_verdicts_and_all_passed(dossier: Dossier) -> None:
    assert dossier.passed == (
        len(dossier.verdicts) > 0 and {verdict.outcome for verdict in dossier.verdicts} == {"passed"}
    )


def test_a_dossier_without_verdicts_does_not_pass() -> None:
    assert not Dossier(pipeline="p", bundle_sha256="a", as_of="2024-01", champion=None, verdicts=()).passed


def test_a_number_that_is_not_finite_is_kept_as_none() -> None:
    verdict = Verdict(gate="better", outcome="refused", reason="no interval", evidence={"low": math.nan, "n": 3})

    assert verdict.evidence == {"low": None, "n": 3}
