"""Clean-up of files: pages past their time, bundles that became no version, what killed processes left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from perennial.maintenance import Done, Keep, Report, orphans, outlived
from perennial.settings import Home
from perennial.stores.folders import locked, remove_folder, sweep
from perennial.stores.operations import Operations

PROOF = "proof.json"
"""Of the artifacts of step `bundle`: it names the bundle that the step made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What may go from the folders of a home."""

    home: Home
    operations: Operations
    keep: Keep = field(default_factory=Keep)

    def clean(self, *, now: datetime, dry_run: bool) -> Report:
        """Remove what is past its time at `now`; say what was or would be removed, and what waits for MLflow."""
        done = [
            *self._reports(now, dry_run=dry_run),
            *self._bundles(now, dry_run=dry_run),
            *self._downloads(now, dry_run=dry_run),
            *self._leftovers(dry_run=dry_run),
        ]
        return Report(done=[one for one in done if one.items])

    def _reports(self, now: datetime, *, dry_run: bool) -> Iterable[Done]:
        """Pages older than their time, of each pipeline and kind; the newest of each stays."""
        for folder in sorted(self.home.reports.glob("*/*")):
            pages = {page.name: written_at(page) for page in folder.iterdir()} if folder.is_dir() else {}
            old = [folder / name for name in outlived(pages, before=now - self.keep.reports)]
            yield _removed("reports", folder, old, _remove, dry_run=dry_run)

    def _bundles(self, now: datetime, *, dry_run: bool) -> Iterable[Done]:
        """Bundles that are no version, and that no training's last step names as its own."""
        root = self.home.bundles
        if not root.is_dir():
            return
        with locked(root):  # whoever puts a bundle holds it too
            written = {path.name: written_at(path) for path in root.iterdir() if not path.name.startswith(".")}
            needed = {*self.operations.registered_bundles(), *self._awaiting()}
            old = [root / name for name in orphans(written, needed, before=now - self.keep.bundles)]
            yield _removed("orphan bundles", root, old, remove_folder, dry_run=dry_run)

    def _awaiting(self) -> Iterable[str]:
        """The bundles of the newest training of each as-of: they may be judged and registered yet."""
        for proof in self.home.artifacts.glob(f"*/*/bundle/{PROOF}"):
            with suppress(FileNotFoundError):  # the step is being made again at this moment
                yield str(json.loads(proof.read_text())["sha256"])

    def _downloads(self, now: datetime, *, dry_run: bool) -> Iterable[Done]:
        """Fetched files that nobody has touched for their time; what was cut from them is kept by its reader."""
        root = self.home.sources
        fetched = [path for path in (*root.glob("*"), *root.glob("downloads/**/*")) if path.is_file()]
        written = {str(path): written_at(path) for path in fetched}
        old = [Path(name) for name in orphans(written, (), before=now - self.keep.downloads)]
        yield _removed("downloads", root, old, _remove, dry_run=dry_run)

    def _leftovers(self, *, dry_run: bool) -> Iterable[Done]:
        """Half-made folders of killed processes, under the lock of the folder around them."""
        for folder in (self.home.bundles, self.home.tracking / "runs", *sorted(self.home.artifacts.glob("*/*"))):
            if folder.is_dir():
                with locked(folder):
                    left = [path for pattern in (".new-*", ".old-*") for path in folder.glob(pattern)]
                    done = _removed("leftovers", folder, left, lambda _: None, dry_run=dry_run)
                    if left and not dry_run:
                        sweep(folder)
                    yield done


def written_at(path: Path) -> datetime:
    """When `path`, or the newest file in it, was last written."""
    with suppress(FileNotFoundError):
        times = [found.stat().st_mtime for found in (path, *path.rglob("*"))]
        return datetime.fromtimestamp(max(times), UTC)
    return datetime.max.replace(tzinfo=UTC)  # it went while we looked: nothing to remove


def _removed(kind: str, where: Path, old: list[Path], remove: Callable[[Path], None], *, dry_run: bool) -> Done:
    size = sum(_size(path) for path in old)
    if not dry_run:
        for path in old:
            remove(path)
    return Done(kind=kind, where=str(where), items=len(old), size=size)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    found = [path, *path.rglob("*")]
    return sum(file.lstat().st_size for file in found if file.is_file() and not file.is_symlink())
