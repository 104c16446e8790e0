"""Reports: the newest are kept, and a browser opens each at its address."""

from __future__ import annotations

import urllib.request
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cli.services import reports
from cli.up import run_stack
from perennial.settings import Home
from perennial.stores.reports import keep_newest, report_address


def test_the_newest_folders_are_kept(tmp_path: Path) -> None:
    for key in ("2024-01", "2024-03", "2024-02"):
        (tmp_path / key).mkdir()

    keep_newest(tmp_path, 2)

    assert {path.name for path in tmp_path.iterdir()} == {"2024-02", "2024-03"}


def test_a_report_opens_at_its_address(home: Home) -> None:
    page = home.reports / "taxi eta" / "drift" / "2024-02" / "accepted rows.html"
    page.parent.mkdir(parents=True)
    page.write_text("<h1>moved</h1>")

    with run_stack(home, {"reports": reports}, say=lambda _line: None) as stack:
        served = replace(home, reports_ui=stack.addresses["reports"])
        with urllib.request.urlopen(report_address(served, page)) as answer:  # noqa: S310 - our own http address
            assert answer.headers["Content-Type"] == "text/html"
            assert answer.read() == b"<h1>moved</h1>"


@given(name=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_an_address_has_no_blank_and_no_mark_of_its_own(name: str) -> None:
    home = Home(root=Path("/h"), lake="", bundles=Path("/b"), operations_url="", mlflow_url="", online_store="")

    address = report_address(home, home.reports / f"x{name}.html").removeprefix(home.reports_ui)

    assert set(address).isdisjoint(' ?#\\"<>')
