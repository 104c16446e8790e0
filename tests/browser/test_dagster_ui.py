"""Dagster UI: what a person finds in a real browser, on the real stack."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from cli.services import daemon, reports, web_ui
from cli.up import run_stack
from perennial.settings import CLONE, home_at
from tests.assets.house import open_house, simulate_days

pytestmark = pytest.mark.browser

DAYS = ("2024-01-01", "2024-01-03")
GOOD, BLOCKED = "2024-01-03", "2024-01-02"
PICTURES = CLONE / "build" / "browser"
RUN, PAGE = 120_000, 30_000
"""Milliseconds that a launched run, and a page of a busy machine, may take."""


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of Debian's Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on the path; Debian's package is called so")
    return found


@pytest.fixture(scope="module")
def address(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real web UI with daemon, on a home where one of three days is blocked."""
    root = tmp_path_factory.mktemp("browser") / "home"
    simulate_days(root, *DAYS)
    pages = reports(home_at(root))
    with open_house(root, PERENNIAL_REPORTS_UI=pages.address) as house:
        every_fourth = pl.when(pl.int_range(pl.len()) % 4 == 0)
        house.rewrite(BLOCKED, every_fourth.then(-pl.col("distance_km")).otherwise("distance_km").alias("distance_km"))
        replace(house, illustrated=True).run(keys=DAYS)
    services = {"dagster": web_ui, "daemon": daemon, "reports": lambda _home: pages}
    with run_stack(home_at(root), services, say=lambda _line: None) as stack:
        yield stack.addresses["dagster"]


@pytest.fixture(scope="module")
def browser(chromium: str, address: str) -> Iterator[Browser]:
    """A browser without a screen, opened after the stack: while it is open, an event loop runs in this thread."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """An empty page whose links begin at the UI; what it showed last is kept when the test fails."""
    context = browser.new_context(base_url=address, viewport={"width": 1500, "height": 1100})
    context.set_default_timeout(PAGE)
    page = context.new_page()
    failed = request.session.testsfailed
    yield page
    if request.session.testsfailed > failed:
        photograph(page, request.node.name)
    context.close()


def photograph(page: Page, name: str) -> Path:
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    return path


def launch(page: Page, partition: str) -> None:
    """Materialize the assets on the page for one partition, and stay until its run has ended well."""
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").first.fill(partition)
    dialog.get_by_role("textbox").first.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    page.get_by_text("View", exact=True).click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]{36}"), timeout=PAGE)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=RUN)


def metadata(page: Page, name: str) -> Locator:
    """The row of the metadata entry `name`."""
    return page.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).first


def history(page: Page, partition: str) -> Locator:
    """The newest row of the history of the check of `accepted` for `partition`."""
    page.goto("/assets/delivery_eta/accepted?view=checks")
    page.get_by_role("tab", name="Execution history").click()
    return page.get_by_role("row").filter(has_text=partition).first


def test_a_person_materializes_a_partition_and_finds_its_check_plot_and_link(page: Page) -> None:
    page.goto("/locations/perennial/asset-groups/delivery_eta_validation")
    launch(page, GOOD)
    run = page.url.rpartition("/")[2][:8]

    page.goto(f"/assets/delivery_eta/accepted?view=partitions&partition={GOOD}")
    expect(page.get_by_role("link", name=run)).to_be_visible(timeout=PAGE)
    expect(history(page, GOOD)).to_contain_text("Passed")
    expect(history(page, GOOD)).to_contain_text("rows accepted")
    page.get_by_role("tab", name="Partitions").last.click()
    expect(page.get_by_text("Passed (2)")).to_be_visible(timeout=PAGE)

    page.goto(f"/assets/delivery_eta/profile?view=partitions&partition={GOOD}")
    metadata(page, "histograms").get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").get_by_role("img", name=f"histograms of {GOOD}")
    expect(picture).to_be_visible(timeout=PAGE)
    assert picture.evaluate("image => image.naturalWidth") > 500

    page.goto(f"/assets/delivery_eta/landed?view=partitions&partition={GOOD}")
    expect(metadata(page, "source")).to_contain_text(f"orders_{GOOD}.parquet", timeout=PAGE)


def test_a_blocked_partition_says_why_and_links_to_great_expectations_own_page(page: Page) -> None:
    row = history(page, BLOCKED)

    expect(row).to_contain_text("Failed", timeout=PAGE)
    expect(row).to_contain_text("at most 10 % of landed rows quarantined: found")
    row.get_by_role("button").last.click()
    with page.context.expect_page() as opened:
        page.get_by_role("dialog").get_by_role("link", name=re.compile("expectations")).click()

    expect(opened.value).to_have_title(f"{BLOCKED}: expectations")
    expect(opened.value.get_by_text("values must be greater than 0")).to_be_visible()
