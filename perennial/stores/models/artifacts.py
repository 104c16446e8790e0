"""Artifacts: what the steps of one training hand each other, by pipeline, as-of and step.

A set is replaced whole: whoever reads sees all of the old files or all of the new ones, whatever is
killed when. Each set is a folder named by its content, and the step a link to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import PartitionBlocked
from perennial.stores.folders import locked, remove_folder, sweep, sync, write_folder
from perennial.training.tracking import is_relative_path


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The sets of files under `root`."""

    root: Path

    def put(self, pipeline: str, as_of: str, step: str, files: Mapping[str, bytes]) -> None:
        """Let `files`, by relative path, be the set of `step`; the same set again changes nothing."""
        if stray := [path for path in files if not is_relative_path(path)]:
            raise ValueError(f"paths {stray} are not relative and plain")
        link = self._link(pipeline, as_of, step)
        with locked(link.parent):
            sweep(link.parent)
            target = link.parent / f".set-{step}.{_content_name(files)}"
            if not target.exists():
                write_folder(target, files)
            _point(link, target.name)
            for old in link.parent.glob(".set-*"):
                if old.stem == target.stem and old.name != target.name:
                    remove_folder(old)

    def get(self, pipeline: str, as_of: str, step: str) -> dict[str, bytes]:
        """The files of `step`, by relative path. Raises PartitionBlocked when it never ran."""
        link = self.path(pipeline, as_of, step)
        with locked(link.parent, shared=True):
            return {path.relative_to(link).as_posix(): path.read_bytes() for path in _files_in(link)}

    def path(self, pipeline: str, as_of: str, step: str) -> Path:
        """The folder of `step`, to look into; a reader of several files takes `get`."""
        link = self._link(pipeline, as_of, step)
        if not link.is_dir():
            raise PartitionBlocked(
                f"step {step!r} has left nothing",
                where=f"{pipeline} {as_of}",
                found=f"no folder {link}",
                expected=f"the files of {step!r}",
                hint=f"materialize {pipeline}/{step} for {as_of} first",
            )
        return link

    def _link(self, pipeline: str, as_of: str, step: str) -> Path:
        for part in (pipeline, as_of, step):
            if not is_relative_path(part) or "/" in part or part.startswith("."):
                raise ValueError(f"{part!r} cannot name a pipeline, an as-of or a step")
        return self.root / pipeline / as_of / step


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _content_name(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{len(name)}:{name}:{len(files[name])}:".encode())
        digest.update(files[name])
    return digest.hexdigest()[:32]


def _point(link: Path, name: str) -> None:
    """Make `link` lead to `name` beside it, in one step."""
    scratch = link.parent / f".new-{link.name}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(name, target_is_directory=True)
    scratch.replace(link)
    sync(link.parent)
