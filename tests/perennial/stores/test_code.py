"""Code: a model names the commit that made it, and says when the working tree differed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from perennial.stores.code import Code


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    command = ["git", "-C", str(folder), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "pipeline.py").write_text(text)
    if not (folder / ".git").is_dir():
        git(folder, "init", "--quiet")
    git(folder, "add", "pipeline.py")
    git(folder, "commit", "--quiet", "-m", "A change")
    return git(folder, "rev-parse", "HEAD")


def test_a_clean_clone_is_its_commit(tmp_path: Path) -> None:
    sha = commit(tmp_path / "clone", "one")

    assert Code(root=tmp_path / "clone").version == sha
    assert commit(tmp_path / "clone", "two") == Code(root=tmp_path / "clone").version != sha


def test_a_changed_file_is_told_and_one_that_git_does_not_know_is_not(tmp_path: Path) -> None:
    sha = commit(tmp_path / "clone", "one")
    (tmp_path / "clone" / "notes.txt").write_text("mine")
    assert Code(root=tmp_path / "clone").version == sha

    (tmp_path / "clone" / "pipeline.py").write_text("two")

    assert Code(root=tmp_path / "clone").version == f"{sha}+changes"


def test_outside_a_clone_the_code_is_unknown(tmp_path: Path) -> None:
    assert Code(root=tmp_path).version == "unknown"
    assert Code(root=tmp_path / "nowhere").version == "unknown"
