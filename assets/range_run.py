"""Range run: many partitions in one run, where the fate of one does not touch its neighbours.

Dagster stamps every partition of a range as materialized when the step ends well, and none when it
fails (dagster-io/dagster#17836). Here each partition is reported by itself, as soon as it is written:
a materialization and a passed check, or a failed check and the reason. Downstream steps of the same
run still start and pass over what is blocked; the last asset of the run's selection fails with the
list. `tests/assets/test_range_run.py` holds Dagster to the behaviour that this relies on.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from assets.lineage import evaluate_lineage, lineage_checks
from assets.partitioning import partitions_of
from assets.reporting import Evaluations, Materializations, forget_planned
from perennial.declaration import Pipeline
from perennial.errors import PartitionBlocked
from perennial.graph.lineage import Standing
from perennial.graph.outdated import CHECK as LINEAGE
from perennial.graph.records import PartitionRecord
from perennial.stores.lake.tables import Tables
from perennial.time import Calendar
from resources.blocked import blocked_line

MAX_PARTITIONS = 64
MAX_ROWS = 500_000
"""A batch is one commit: large enough to be cheap, small enough to bound memory and lost work."""

Metadata = Mapping[str, Any]


def range_asset(  # noqa: PLR0913 - the parts of an asset's specification
    pipeline: Pipeline,
    *names: str,
    stage: str,
    description: str,
    deps: Sequence[str | dg.AssetDep] = (),
    check: str | None = None,
    check_description: str = "",
    blocking: bool = True,
    calendar: Calendar | None = None,
    kinds: frozenset[str] = frozenset({"polars", "deltalake"}),
    metadata: Mapping[str, Any] | None = None,
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator: one or more assets that are written together by a range run; `check` belongs to the first.

    The body evaluates other `checks` itself.
    """
    logging.getLogger("dagster._core.execution.plan.active").addFilter(_gated_elsewhere)
    partitions = partitions_of(calendar or pipeline.time)
    specs = [
        dg.AssetSpec(
            [pipeline.name, name],
            deps=[[pipeline.name, dep] if isinstance(dep, str) else dep for dep in deps],
            description=description,
            group_name=f"{pipeline.name}_{stage}",
            owners=[pipeline.owner],
            tags={"pipeline": pipeline.name},
            kinds=set(kinds),
            partitions_def=partitions,
            metadata={"dagster/table_name": pipeline.table(name), **(metadata or {})},
        )
        for name in names
    ]
    own = [_check_spec(pipeline, names[0], check, check_description, blocking, partitions)] if check else []
    return dg.multi_asset(
        name=f"{pipeline.name}__{names[0]}",
        specs=specs,
        check_specs=[*own, *checks, *lineage_checks(pipeline, names)],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )


def _gated_elsewhere(record: logging.LogRecord) -> bool:
    """Drop Dagster's warning that a blocking check gave no result: here each partition gives its own, and the
    next step reads the manifest, in this run and in any later one.
    """
    return "emitted no result" not in record.getMessage()


def _check_spec(
    pipeline: Pipeline,
    name: str,
    check: str,
    description: str,
    blocking: bool,
    partitions: dg.PartitionsDefinition[str],
) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        # Checks by partition are a preview in Dagster 1.13; the version is locked, and tests hold it to what we use.
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        return dg.AssetCheckSpec(
            check, asset=[pipeline.name, name], description=description, blocking=blocking, partitions_def=partitions
        )


def batches_of(rows: Mapping[str, int]) -> Iterator[list[str]]:
    """The keys of `rows` in order, in batches of at most 64 partitions or half a million rows."""
    batch: list[str] = []
    size = 0
    for key in sorted(rows):
        if batch and (len(batch) == MAX_PARTITIONS or size + rows[key] > MAX_ROWS):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += rows[key]
    if batch:
        yield batch


def _stale(standing: Standing, parent: str, name: str, key: str) -> list[int]:
    """The earlier revisions of `key` whose `parent` stands and of which table `name` is not up to date."""
    return [
        number
        for number in standing.earlier(key)
        if not standing.problem_with(parent, key, number) and standing.problem_with(name, key, number)
    ]


class RangeRun:
    """One step over a range of partitions: what was written, what is blocked, and why."""

    def __init__(self, context: dg.AssetExecutionContext, pipeline: Pipeline, *names: str, check: str | None = None):
        self.context = context
        self.pipeline = pipeline
        self.names = names
        self.keys = list(context.partition_keys)
        self.blocked: dict[str, str] = {}
        self._materializations = Materializations(context)
        self._evaluations = Evaluations(context, dg.AssetKey([pipeline.name, names[0]]), check)
        self.is_past = False
        """Whether the rows at hand are of an earlier revision, of which nothing is reported."""
        specs = context.assets_def.check_specs
        forget_planned(context, (spec.key for spec in specs if spec.partitions_def is None))

    def batches(self, rows: Mapping[str, int]) -> Iterator[list[str]]:
        """The keys of `rows` in batches; what the check found in one is reported behind it, all at once."""
        self._materializations.together = True
        for batch in batches_of(rows):
            yield batch
            self._report_check()
        self._materializations.together = False

    def upstream(self, tables: Tables, name: str) -> dict[str, PartitionRecord]:
        """What data table `name` holds for the keys of this run.

        Blocks each key whose rows are missing, blocked, or not made from what stands above them now:
        in this run and in any later one, until that is mended.
        """
        standing = tables.standing(self.pipeline)
        for key in self.keys:
            problem = standing.problem_with(name, key)
            if problem:
                self.block(key, problem)
        records = tables.records(self.pipeline, name)
        return {key: records[key] for key in self.keys if key not in self.blocked}

    def work(self, tables: Tables, name: str) -> Iterator[tuple[dict[str, PartitionRecord], list[str]]]:
        """What data table `name` holds for the keys of this run, with the keys batch by batch.

        First comes the newest revision of each, as `upstream` gives it. Then, layer by layer, the revisions
        before it of which this asset is not up to date, since training sets of the past read them. Those
        are written like the newest, and nothing is reported of them.
        """
        for parents in self._revisions(tables, name):
            for keys in self.batches({key: record.rows for key, record in parents.items()}):
                yield parents, keys

    def _revisions(self, tables: Tables, name: str) -> Iterator[dict[str, PartitionRecord]]:
        yield self.upstream(tables, name)
        standing, own = tables.standing(self.pipeline), self.names[0]
        stale = {key: _stale(standing, name, own, key) for key in self.keys}
        if not any(stale.values()):
            return
        self.is_past = True
        history = tables.history(self.pipeline, name)
        for layer in range(max(map(len, stale.values()))):
            yield {key: history[key][numbers[layer]] for key, numbers in stale.items() if layer < len(numbers)}
        self.is_past = False

    def written(self, key: str, metadata: Metadata, check_metadata: Metadata | None = None, *, found: str = "") -> None:
        """Report that `key` of the first asset stands in the lake, and that its check passed: what it `found`."""
        self.materialized(key, metadata, self.names[0])
        self._evaluate(key, passed=True, metadata=check_metadata or {}, found=found)

    def materialized(self, key: str, metadata: Metadata, name: str) -> None:
        """Report that `key` of asset `name` stands in the lake."""
        if self.is_past:
            return
        self._materializations.add(
            dg.AssetMaterialization([self.pipeline.name, name], partition=key, metadata=dict(metadata))
        )

    def block(self, key: str, reason: str, check_metadata: Metadata | None = None) -> None:
        """Report that `key` is blocked, and why; its neighbours go on."""
        if self.is_past:
            self.context.log.warning(f"{self.pipeline.name} {key}: an earlier revision is blocked: {reason}")
            return
        self.blocked[key] = reason
        self.context.log.error(blocked_line(self.pipeline.name, key, self.names[0], reason))
        self._evaluate(key, passed=False, metadata={"reason": reason, **(check_metadata or {})}, found=reason)

    def warn_unless(
        self,
        key: str,
        holds: bool,
        metadata: Metadata,
        *,
        found: str,
        evidence: Metadata | None = None,
        severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
    ) -> None:
        """Report that `key` stands in the lake, and tell when its check's claim does not hold; never blocks."""
        self.materialized(key, metadata, self.names[0])
        shown = metadata if evidence is None else evidence
        self._evaluate(key, passed=holds, metadata=shown, found=found, severity=severity, blocking=False)

    def finish(self) -> Iterator[dg.Output[None]]:
        """End the step; raise PartitionBlocked when something is blocked and nobody downstream will say so."""
        self._report_check()
        self._report_lineage()
        blocked = self._blocked_in_this_run() if self._is_last() else {}
        if blocked:
            listed = "; ".join(f"{key} ({reason})" for key, reason in sorted(blocked.items()))
            raise PartitionBlocked(
                f"{len(blocked)} of {len(self.keys)} partitions are blocked: {listed}",
                where=f"{self.pipeline.name} {self.names[0]}",
                hint="the others were written; mend the source or the rule and run the blocked ones again",
            )
        for key in self.context.selected_asset_keys:
            yield dg.Output(
                None, output_name="__".join(key.path), metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
            )

    def _evaluate(
        self,
        key: str,
        *,
        passed: bool,
        metadata: Metadata,
        found: str,
        severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
        blocking: bool = True,
    ) -> None:
        if self._evaluations.check is not None and not self.is_past:
            shown = {"metadata": dict(metadata), "description": found or None}
            blocks = blocking and severity is dg.AssetCheckSeverity.ERROR
            self._evaluations.add(key, {"passed": passed, "severity": severity, "blocking": blocks, **shown})

    def _report_check(self) -> None:
        self._materializations.store()
        self._evaluations.store()

    def _report_lineage(self) -> None:
        """Write down whether what the step has made is up to date in every partition, not only in those of this run."""
        made = [key.path[-1] for key in self.context.selected_asset_keys]
        if any(spec.name == LINEAGE for spec in self.context.assets_def.check_specs):
            stores = self.context.resources
            for evaluation in evaluate_lineage(self.pipeline, stores.tables, made, at=stores.clock.now()):
                self.context.log_event(evaluation)

    def _blocked_in_this_run(self) -> dict[str, str]:
        """What is blocked here, and what could not be seen at its source, whose rows of before stand all the same."""
        logs = self.context.instance.all_logs(
            self.context.run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
        events = [entry.dagster_event.asset_check_evaluation_data for entry in logs if entry.dagster_event]
        last = {(each.asset_check_key, each.partition): each for each in events}  # a step may be tried again
        failed = [each for each in last.values() if each.blocking and not each.passed and each.partition in self.keys]
        return {str(each.partition): str(each.description) for each in failed} | self.blocked

    def _is_last(self) -> bool:
        """Whether no asset downstream of this one runs in the same run and would say what is blocked."""
        layer = self.context.job_def.asset_layer
        running = layer.executable_asset_keys
        mine = {dg.AssetKey([self.pipeline.name, name]) for name in self.names}
        downstream = {child for key in mine for child in layer.asset_graph.get(key).child_keys} & set(running) - mine
        if any(layer.asset_graph.get(key).group_name == self._monitoring for key in mine):
            return not downstream
        # What is measured in production has partitions of its own and passes over those that are blocked.
        return all(layer.asset_graph.get(child).group_name == self._monitoring for child in downstream)

    @property
    def _monitoring(self) -> str:
        return f"{self.pipeline.name}_monitoring"
