"""Demo: `make demo` does in an unused home what the README says of it, and prints what the README shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from perennial.settings import CLONE
from tests.docs.pages import README, blocks_of


def shown() -> list[re.Pattern[str]]:
    """The lines that the README shows below `make demo`, with `…` for whatever differs from run to run."""
    blocks = blocks_of(README)
    after = next(number for number, block in enumerate(blocks) if block.text == "make demo\n") + 1
    return [
        re.compile(r"\s+".join(".+".join(map(re.escape, word.split("…"))) for word in line.split()))
        for line in blocks[after].text.splitlines()
    ]


@pytest.mark.slow
@pytest.mark.daemon
@pytest.mark.timeout(900)
def test_the_demo_exits_with_zero_and_prints_what_the_readme_shows(tmp_path: Path) -> None:
    environment = {**os.environ, "PERENNIAL_HOME": str(tmp_path / "home"), "COLUMNS": "200"}

    done = subprocess.run(["make", "demo"], cwd=CLONE, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.pattern for line in shown() if not line.search(done.stdout)] == []


def test_the_readme_shows_what_the_demo_claims() -> None:
    lines = [line.pattern for line in shown()]

    assert len(lines) == 3
    assert any("prediction" in line for line in lines)
