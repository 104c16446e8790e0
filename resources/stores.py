"""Stores: each one of `perennial.stores` as a Dagster resource.

Every default is the embedded one under PERENNIAL_HOME. Paths and addresses come from the environment
of the process, never from run configuration, which whoever launches a run may write.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from perennial.settings import CLONE, Home, find_home
from perennial.stores.clock import Clock
from perennial.stores.code import Code
from perennial.stores.folders import make_home
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.stores.lake.tables import Tables
from perennial.stores.models.artifacts import Artifacts
from perennial.stores.models.bundles import BundleStore
from perennial.stores.models.retraining import TrainingHistory
from perennial.stores.models.tracking import Tracking
from perennial.stores.online.feature_store import FeatureStore
from perennial.stores.online.places import place_of
from perennial.stores.sources import Sources

if TYPE_CHECKING:
    from perennial.stores.operations import Operations


def open_operations(home: Home) -> "Operations":
    """The operations database, at its newest schema. Raises PerennialError where it cannot be opened."""
    from perennial.stores.operations import Operations

    make_home(home.root)
    operations = Operations(home.operations_url)
    operations.migrate()
    return operations


def open_tables(home: Home) -> Tables:
    """The lake's tables and their manifest."""
    return Tables(
        lakehouse=Lakehouse(root=home.lake),
        operations=open_operations(home),
        online_place=place_of(home.online_store, home=home.root),
    )


def open_training_history(home: Home) -> TrainingHistory:
    """What has been recorded of each pipeline's data and trainings."""
    return TrainingHistory(
        tables=open_tables(home), artifacts=Artifacts(home.artifacts), bundles=BundleStore(home.bundles)
    )


STORES: Mapping[str, Callable[[Home], Any]] = {
    "home": lambda home: home,
    "operations": open_operations,
    "tables": open_tables,
    "sources": lambda home: Sources(home=home.root, state=home),
    "feature_store": lambda home: FeatureStore(root=home.feature_store, online_url=home.online_store),
    "artifacts": lambda home: Artifacts(home.artifacts),
    "bundles": lambda home: BundleStore(home.bundles),
    "training_history": open_training_history,
    "tracking": lambda home: Tracking(uri=home.mlflow_url, spool=home.tracking, public_url=home.mlflow_ui),
    "code": lambda _: Code(root=CLONE),
    "clock": lambda _: Clock(),
}
"""What an asset or sensor may ask for by name, and how it is opened."""


def resources() -> dict[str, dg.ResourceDefinition]:
    """The stores as resources, opened when a run first needs them."""
    return {name: _resource(opener) for name, opener in STORES.items()}


def _resource(opener: Callable[[Home], Any]) -> dg.ResourceDefinition:
    return dg.ResourceDefinition(lambda _: opener(find_home(os.environ)), description=opener.__doc__)
