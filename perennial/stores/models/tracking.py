"""Tracking: records of fits and versions on their way to MLflow, which may be away.

All that is told is first written to a spool on disk, then sent. What could not be sent stays there, is
named in the log, and goes with the next `flush`; what is sent twice counts once. No method fails or
waits long because MLflow is away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from perennial.stores.folders import claimed, locked, remove_folder, sweep, sync, write_folder
from perennial.stores.models import experiments
from perennial.training.tracking import (
    ChampionMirror,
    Mirror,
    Recorded,
    RunRecord,
    VersionMirror,
    mirror_from_json,
    mirror_to_json,
    record_from_json,
    record_to_json,
)

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

_log = logging.getLogger(__name__)

RECORD_FILE = "record.json"
ARTIFACTS = "artifacts"
TURN = "turn"
NOT_YET = Recorded(run_id=None, url=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """The MLflow at `uri`, behind the spool folder `spool`."""

    uri: str
    spool: Path
    public_url: str | None = None
    """Where people open MLflow; links need it."""
    artifact_root: str | None = None
    """Where new experiments keep artifacts: beside an SQLite file, or as a server decides, by default."""

    def __post_init__(self) -> None:
        experiments.artifact_place(self.uri, self.artifact_root)

    def record(self, record: RunRecord) -> Recorded:
        """Keep `record`, then try to send it; the second call with one id changes nothing."""
        entry = self._runs / record.id
        files = {f"{ARTIFACTS}/{path}": content for path, content in record.artifacts.items()}
        with locked(self._runs):
            sweep(self._runs)
            if not entry.exists():
                write_folder(entry, {RECORD_FILE: record_to_json(record).encode(), **files})

        client = self._connect()
        return (client and self._send_record(client, entry)) or NOT_YET

    def mirror_version(
        self,
        *,
        pipeline: str,
        number: int,
        bundle_sha256: str,
        source: str,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> bool:
        """Show version `number` in the model registry; return whether it is there now.

        Without `run_id`, the tag `perennial.record` names the record whose run fitted it.
        """
        return self._mirror(
            VersionMirror(
                pipeline=pipeline,
                number=number,
                bundle_sha256=bundle_sha256,
                source=source,
                run_id=run_id,
                tags=tags or {},
            )
        )

    def mirror_champion(self, *, pipeline: str, number: int) -> bool:
        """Give version `number` the alias `champion`; return whether it has it now."""
        return self._mirror(ChampionMirror(pipeline=pipeline, number=number))

    def flush(self) -> list[str]:
        """Send all that waits, records before mirrors, each in order; return the ids of what was sent."""
        client = self._connect() if self.pending() else None
        if client is None:
            return []
        sent = [entry.name for entry in self._waiting_records() if self._send_record(client, entry) is not None]
        return sent + self._send_mirrors(client)

    def pending(self) -> int:
        """How many records and mirrors wait to be sent."""
        return len(self._waiting_records()) + len(self._waiting_mirrors())

    def _connect(self) -> MlflowClient | None:
        try:
            return experiments.connect(self.uri, artifact_root=self.artifact_root)
        except experiments.failures() as problem:
            waits = f"{self.pending()} entries wait in {self.spool}"
            _log.warning(f"MLflow at {_without_password(self.uri)} cannot be reached, {waits}: {problem}")
            return None

    def _send_record(self, client: MlflowClient, entry: Path) -> Recorded | None:
        """Where the record can be seen, or None while it waits or another process sends it."""
        with claimed(entry) as ours:
            if not ours:
                return None
            try:
                seen = self._tell(client, entry)
            except experiments.failures() as problem:
                _log.warning(f"record {entry.name} could not be sent to MLflow and waits in {entry}: {problem}")
                return None
            with locked(self._runs):
                remove_folder(entry)
        return seen

    def _tell(self, client: MlflowClient, entry: Path) -> Recorded:
        record = record_from_json((entry / RECORD_FILE).read_text())
        experiment = experiments.find_experiment(client, record.experiment, artifact_root=self.artifact_root)
        run_id = experiments.send_record(client, record, experiment_id=experiment, artifacts=entry / ARTIFACTS)
        return experiments.seen_at(self.public_url, experiment_id=experiment, run_id=run_id)

    def _mirror(self, mirror: Mirror) -> bool:
        entry = self._keep_mirror(mirror)
        if (client := self._connect()) is not None:
            self._send_mirrors(client)
        return not entry.exists()

    def _keep_mirror(self, mirror: Mirror) -> Path:
        """Write `mirror` behind those that wait; of two champions, only the last that was told counts."""
        with locked(self._mirrors):
            if isinstance(mirror, ChampionMirror):
                self._forget_champions(mirror.pipeline)
            (self._mirrors / TURN).touch()
            last = self._mirrors / "last"
            number = int(last.read_text()) + 1 if last.exists() else 1
            entry = self._mirrors / f"{number:012d}.json"
            _write(last, str(number))
            _write(entry, mirror_to_json(mirror))
            sync(self._mirrors)
        return entry

    def _forget_champions(self, pipeline: str) -> None:
        for entry in self._waiting_mirrors():
            told = _read_mirror(entry)
            if isinstance(told, ChampionMirror) and told.pipeline == pipeline:
                entry.unlink(missing_ok=True)

    def _send_mirrors(self, client: MlflowClient) -> list[str]:
        """Send what waits, in order, one process at a time; what MLflow refuses stays and is passed over."""
        sent: list[str] = []
        tried: set[Path] = set()
        with claimed(self._mirrors / TURN) as ours:
            # whoever has the turn looks again until nothing new came
            while ours and (entries := [entry for entry in self._waiting_mirrors() if entry not in tried]):
                tried.add(entries[0])
                sent += self._send_mirror(client, entries[0])
        return sent

    def _send_mirror(self, client: MlflowClient, entry: Path) -> list[str]:
        if (mirror := _read_mirror(entry)) is None:
            return []
        try:
            experiments.send_mirror(client, mirror)
        except experiments.failures() as problem:
            _log.warning(f"{mirror} could not be shown in MLflow and waits in {entry}: {problem}")
            return []
        entry.unlink(missing_ok=True)
        return [f"{type(mirror).__name__}-{mirror.pipeline}-{mirror.number}"]

    def _waiting_records(self) -> list[Path]:
        return sorted(entry.parent for entry in self._runs.glob(f"[!.]*/{RECORD_FILE}"))

    def _waiting_mirrors(self) -> list[Path]:
        return sorted(self._mirrors.glob("*.json"))

    @property
    def _runs(self) -> Path:
        return self.spool / "runs"

    @property
    def _mirrors(self) -> Path:
        return self.spool / "mirrors"


def _read_mirror(entry: Path) -> Mirror | None:
    """What `entry` says, or None once it was sent or a later one took its place."""
    try:
        return mirror_from_json(entry.read_text())
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


def _without_password(uri: str) -> str:
    address = urlsplit(uri)
    return uri.replace(f"{address.username}:{address.password}@", "") if address.password else uri
