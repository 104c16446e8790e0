"""Tracking: what waits for MLflow is sent when it is there."""

from sensors.tracking import build_catch_up
from tests.sensors.conftest import World


def test_nothing_waits(world: World) -> None:
    assert world.tick(build_catch_up()).skip_message == "nothing waits for MLflow"
