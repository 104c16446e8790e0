"""Handover: what the steps of one training hand each other, each bound to what it was made from.

Steps run one by one, again, or in two processes at once. Every set of files carries the content hash of
the training set, and later ones the sha256 of the bundle; a step that is handed anything else refuses,
so that no gate passes on another model's evidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts

BOUND = "bound.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The files of one training of `pipeline` as of a partition."""

    tables: Tables
    artifacts: Artifacts
    pipeline: Pipeline
    as_of: str

    @property
    def training_set(self) -> PartitionRecord:
        """The record of the training set as it stands. Raises PartitionBlocked when there is none, or it is blocked."""
        record = self.tables.records(self.pipeline, "training_set").get(self.as_of)
        if record is None:
            raise self._refusal("training_set is missing", made_from="none", needed="a training set")
        if record.status != "ok":
            raise self._refusal(
                f"training_set is blocked: {record.reason}", made_from=record.status, needed="one that passed its check"
            )
        return record

    def give(self, step: str, files: Mapping[str, bytes], *, bundle: str | None = None) -> None:
        """Let `files` be what `step` made, from the training set as it stands and, later on, of `bundle`."""
        bound = json.dumps(self._bound(bundle), sort_keys=True).encode()
        self.artifacts.put(self.pipeline.name, self.as_of, step, {**files, BOUND: bound})

    def take(self, step: str, *, bundle: str | None = None) -> dict[str, bytes]:
        """What `step` made. Raises PartitionBlocked unless that was from this training set, and of `bundle`."""
        needed = self._bound(bundle)
        files = self.artifacts.get(self.pipeline.name, self.as_of, step)
        made_from = json.loads(files.pop(BOUND))
        for name, expected in needed.items():
            if made_from.get(name) != expected:
                raise self._refusal(
                    f"{step} is out of date: it was made from another {name.replace('_', ' ')}",
                    made_from=str(made_from.get(name))[:12],
                    needed=expected[:12],
                )
        return files

    def bundle(self) -> str:
        """The sha256 of the bundle that was made from the training set as it stands."""
        return str(json.loads(self.take("bundle")["proof.json"])["sha256"])

    def _bound(self, bundle: str | None) -> dict[str, str]:
        return {"training_set": self.training_set.content_hash} | ({"bundle": bundle} if bundle else {})

    def _refusal(self, what: str, *, made_from: str, needed: str) -> PartitionBlocked:
        return PartitionBlocked(
            what,
            where=f"{self.pipeline.name} as of {self.as_of}",
            found=made_from,
            expected=needed,
            hint=f"perennial train {self.pipeline.name} {self.as_of}",
        )
