"""Monitoring: what was answered, what became of it, and how good it was, by the pipeline's own clock."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets.describe import head, row_counts, table
from assets.range_run import RangeRun, range_asset
from perennial.declaration import Pipeline
from perennial.monitoring import Performance, match_outcomes, performance
from perennial.settings import Home
from perennial.stores.clock import Clock
from perennial.stores.inference_log import take_in
from perennial.stores.served import read_labels, read_served
from perennial.stores.tables import Outcome, Tables
