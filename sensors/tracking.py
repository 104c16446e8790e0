"""Tracking: what MLflow could not be told when it happened is told when it is there again."""

import dagster as dg

from perennial.stores.models.tracking import Tracking


def build_catch_up() -> dg.SensorDefinition:
    """Build the sensor that sends what waits for MLflow."""

    @dg.sensor(
        name="mlflow_catch_up",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends MLflow the fits and versions that it could not be told when they were made.",
    )
    def mlflow_catch_up(tracking: dg.ResourceParam[Tracking]) -> dg.SkipReason:
        waiting = tracking.pending()
        if not waiting:
            return dg.SkipReason("nothing waits for MLflow")
        sent = tracking.flush()
        return dg.SkipReason(f"{len(sent)} of {waiting} waiting entries sent to MLflow")

    return mlflow_catch_up
