"""Judging: gives verdicts in order of time, and again where the history has changed since.

One pass reaches them all: a verdict follows from those before it, so that none is left behind and a second
pass finds nothing to do. Statistics are read, not taken anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl

from perennial.declaration import Pipeline
from perennial.graph.lineage import digest
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.summaries import TABLE, judged
from perennial.stores.lake.tables import Tables
from perennial.validation.seasons.judgement import Judgement, history_of, judge
from perennial.validation.seasons.lineage import BEFORE, is_fit
from perennial.validation.seasons.panel import Panel, panel_of
from perennial.validation.seasons.summaries import SUMMARY_SCHEMA, watched_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is thought now of the newest revision of a partition."""

    judgement: Judgement
    panel: Panel
    rows: int
    """Accepted rows of the partition."""
    before: str | None
    """The verdict that stood."""
    acknowledged: str | None
    """Who found the rows right although they are blocked, and why."""

    @property
    def is_news(self) -> bool:
        """Whether it is another one than stood."""
        return self.judgement.verdict != self.before


class Judging:
    """One pass over the verdicts of a pipeline: those `asked` for, and those that their history has left behind."""

    def __init__(self, tables: Tables, pipeline: Pipeline, *, asked: Collection[str]) -> None:
        self.tables, self.pipeline, self.asked = tables, pipeline, set(asked)
        self.standing = tables.standing(pipeline)
        self.records = tables.history(pipeline, TABLE)
        self._most = history_of(pipeline.seasons, pipeline.time)
        self._read: dict[str, pl.DataFrame] = {}
        """Of the newest revision of each partition, as far as it is needed."""

    @cached_property
    def keys(self) -> list[str]:
        """The partitions to go through, in order: from the first that is to be judged on."""
        due = (key for key in self.records if key in self.asked or any(map(self._is_behind, self._made(key))))
        first = next(due, None)
        return [] if first is None else [key for key in self.records if key >= first]

    def judge(self, keys: Sequence[str], *, at: datetime) -> list[Verdict]:
        """Judge and record what is to be judged of `keys`, the next of `self.keys`; those of newest revisions."""
        panel: Panel | None = None
        found, records = [], []
        for key in keys:
            history = dict(list(self._fit.items())[-self._most :])
            for record in self._made(key):
                if key not in self.asked and record.inputs.get(BEFORE) == digest(history):
                    continue
                if record.revision == self._newest(key).revision:
                    panel = panel or self._panel([*self._fit, *keys])
                    verdict = self._verdict(panel, record, history)
                    found.append(verdict)
                else:
                    verdict = self._verdict(self._panel(history, record), record, history)
                records.append(judged(record, verdict.judgement, history))
                self.records[key][record.revision] = records[-1]
            if is_fit(self._newest(key), self._known):
                self._fit[key] = self._newest(key).content_hash
        self.tables.operations.annotate_partitions(self.pipeline.name, TABLE, records, at=at)
        self._fit = dict(list(self._fit.items())[-self._most :])
        self._read = {key: rows for key, rows in self._read.items() if key in self._fit}
        return found

    @cached_property
    def _fit(self) -> dict[str, str]:
        """What the next partition may be held against, and a few that lie further back."""
        return self.standing.fit.before(self.keys[0], self._most)

    @cached_property
    def _known(self) -> Mapping[tuple[str, str], str]:
        return self.standing.acknowledged()

    def _newest(self, key: str) -> PartitionRecord:
        return self.records[key][max(self.records[key])]

    def _made(self, key: str) -> Iterator[PartitionRecord]:
        """The revisions of `key` whose statistics stand."""
        for number, record in list(self.records[key].items()):
            if self._is_behind(record) or self.standing.problem_with(TABLE, key, number) is None:
                yield record

    def _is_behind(self, record: PartitionRecord) -> bool:
        return self.standing.waits_for_others(TABLE, record.partition, record.revision)

    def _verdict(self, panel: Panel, record: PartitionRecord, history: Mapping[str, str]) -> Verdict:
        judgement = judge(
            panel,
            record.partition,
            list(history),
            columns=watched_columns(self.pipeline),
            calendar=self.pipeline.time,
            seasons=self.pipeline.seasons,
        )
        word = self._known.get((record.partition, record.inputs["accepted"]))
        return Verdict(
            judgement=judgement,
            panel=panel,
            rows=self.standing.history("accepted")[record.partition][record.revision].rows,
            before=record.provenance.get("verdict"),
            acknowledged=word if judgement.verdict == "block" else None,
        )

    def _panel(self, keys: Iterable[str], past: PartitionRecord | None = None) -> Panel:
        """The summaries of the newest revisions of `keys`, and of one that is `past`."""
        wanted = list(keys)
        unread = {key: self._newest(key).revision for key in wanted if key not in self._read}
        if unread:
            self._read |= self._summaries(unread)
        summaries = [self._read[key] for key in wanted]
        if past is not None:
            summaries += self._summaries({past.partition: past.revision}).values()
        return panel_of(pl.concat([SUMMARY_SCHEMA.to_frame(), *summaries]))

    def _summaries(self, revisions: Mapping[str, int]) -> dict[str, pl.DataFrame]:
        rows = self.tables.read(self.pipeline, TABLE, revisions, SUMMARY_SCHEMA.names())
        parts = rows.partition_by("partition", as_dict=True)
        return {key: parts.get((key,), rows.clear()) for key in revisions}
