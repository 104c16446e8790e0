"""Maintenance: once a day the lake is compacted and what is past its time goes."""

import dagster as dg

from perennial.settings import Home
from perennial.stores.clock import Clock

CRON = "30 3 * * *"


@dg.op(description="Compacts the lake and removes old versions, pages, bundles and runs that nothing needs any more.")
def maintain(context: dg.OpExecutionContext, home: dg.ResourceParam[Home], clock: dg.ResourceParam[Clock]) -> None:
    """What `perennial maintain` does."""
    from resources.upkeep import maintain_home

    report = maintain_home(home, context.instance, now=clock.now())

    for where, why in report.refused.items():
        context.log.warning(f"left alone: {where}: {why}")
    for one in report.done:
        context.log.info(f"{one.kind} in {one.where}: {one.items} items, {one.size} bytes freed {one.note}")
    context.add_output_metadata(
        {
            "bytes freed": report.size,
            "held versions": len(report.holds),
            "left alone": dg.MetadataValue.md("\n".join(f"- {k}: {v}" for k, v in report.refused.items()) or "nothing"),
        }
    )


@dg.job(description="Lake care and clean-up; what a registered model was made from stays.")
def maintenance() -> None:
    """Run the maintenance of the whole home."""
    maintain()


def build_maintenance() -> dg.ScheduleDefinition:
    """Build the daily schedule of the maintenance job."""
    return dg.ScheduleDefinition(
        name="maintenance_schedule",
        job=maintenance,
        cron_schedule=CRON,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Maintains the lake and the home every night.",
    )
