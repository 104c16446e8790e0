"""Artifacts: a set of files is replaced whole, whoever reads, writes or is killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.errors import PartitionBlocked
from perennial.stores.models.artifacts import Artifacts

CLONE = Path(__file__).resolve().parents[4]
HERE = ("eta", "2024-02", "linear")

DIE_AT_EACH_CHANGE = """
import os, signal, sys
from itertools import count
from pathlib import Path
from perennial.stores.models.artifacts import Artifacts

CHANGES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}
kept, here = Artifacts(Path(sys.argv[1])), ("eta", "2024-02", "linear")
old, new = ({f"part/{n}": word * 50 for n in range(3)} for word in (b"old", b"new"))

def die_before(left):
    def hook(event, _):
        nonlocal left
        left -= event in CHANGES
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

for change in count():
    kept.put(*here, old)
    if not (child := os.fork()):
        die_before(change)
        kept.put(*here, new)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert kept.get(*here) in (old, new), change
    kept.put(*here, new)
    assert kept.get(*here) == new, change
    if status == 0:
        break
kept.put(*here, old)
assert len(os.listdir(kept.path(*here).parent)) == 2, "the killed left something"
print(change)
"""

paths = st.lists(st.text("abc.é ", min_size=1, max_size=3).filter(lambda part: part not in {".", ".."}), min_size=1)
sets = st.dictionaries(paths.map("_".join), st.binary(max_size=30), max_size=4)


@hypothesis_settings(max_examples=25)
@given(first=sets, second=sets)
def test_get_returns_the_last_set_that_was_put(first: dict[str, bytes], second: dict[str, bytes]):
    with tempfile.TemporaryDirectory() as folder:
        kept = Artifacts(Path(folder))

        for files in (first, second, second):
            kept.put(*HERE, files)

            assert kept.get(*HERE) == files
        assert len(list(kept.path(*HERE).parent.iterdir())) == 2  # the link and one set


def test_the_same_set_again_changes_nothing(tmp_path: Path):
    kept = Artifacts(tmp_path)
    kept.put(*HERE, {"model.onnx": b"one", "plots/curve.png": b"two"})
    before = (kept.path(*HERE) / "model.onnx").stat()

    kept.put(*HERE, {"plots/curve.png": b"two", "model.onnx": b"one"})

    after = (kept.path(*HERE) / "model.onnx").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_steps_whose_names_begin_alike_keep_their_own_sets(tmp_path: Path):
    kept = Artifacts(tmp_path)
    kept.put("eta", "2024-02", "linear", {"a": b"1"})
    kept.put("eta", "2024-02", "linear.2", {"a": b"2"})
    kept.put("eta", "2024-02", "linear", {"a": b"3"})

    assert kept.get("eta", "2024-02", "linear.2") == {"a": b"2"}


def test_a_step_that_never_ran_is_named_with_what_to_run(tmp_path: Path):
    with pytest.raises(PartitionBlocked) as error:
        Artifacts(tmp_path).get(*HERE)

    message = str(error.value)
    assert message.startswith("eta 2024-02: step 'linear' has left nothing, found no folder ")
    assert message.endswith("Hint: materialize eta/linear for 2024-02 first")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="cannot name"):
        Artifacts(tmp_path).put("eta", name, "linear", {})
    with pytest.raises(ValueError, match="not relative and plain"):
        Artifacts(tmp_path).put("eta", "2024-02", "linear", {"../x": b""})


def test_readers_see_whole_sets_while_two_writers_replace_them(tmp_path: Path):
    kept = Artifacts(tmp_path)

    def write(writer: int) -> None:
        for turn in range(20):
            kept.put(*HERE, {str(name): f"{writer}-{turn}".encode() for name in range(6)})

    def read(_: int) -> set[tuple[int, int]]:
        return {(len(files), len(set(files.values()))) for files in (kept.get(*HERE) for _ in range(60))}

    kept.put(*HERE, {str(name): b"first" for name in range(6)})
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, writer) for writer in range(2)]
        readers = [pool.submit(read, reader) for reader in range(2)]
        seen = set().union(*(reader.result() for reader in readers))
        for writer in writers:
            writer.result()

    assert seen == {(6, 1)}


def test_a_writer_killed_before_any_change_leaves_the_old_set_or_the_new_one(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", DIE_AT_EACH_CHANGE, str(tmp_path)], cwd=CLONE, check=True, capture_output=True, text=True
    )

    assert int(done.stdout) > 10  # moments at which a writer was killed
