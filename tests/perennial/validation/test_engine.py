"""Engine: Great Expectations is imported beside other work without getting into its way."""

from __future__ import annotations

import subprocess
import sys


def test_what_other_threads_ask_of_sqlalchemy_is_whole_before_the_import_begins() -> None:
    """A statement that another thread ran while `sqlalchemy.orm` was half imported failed in SQLAlchemy's core."""
    code = (
        "import sys, threading; from perennial.validation.engine import import_beside;"
        "threading.Thread.start = lambda thread: sys.exit(0 if 'sqlalchemy.orm' in sys.modules else 'not yet');"
        "import_beside(); sys.exit('no thread began')"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_process_that_ends_meanwhile_waits_for_the_import() -> None:
    code = (
        "import atexit; from perennial.validation import engine; engine.import_beside();"
        "atexit.register(lambda: print(engine._imported.cache_info().currsize))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
