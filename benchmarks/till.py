"""Till: a generated pipeline with one partition of any size, for what must not depend on memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from perennial import (
    Column,
    Daily,
    Files,
    Label,
    Linear,
    Maturity,
    Pipeline,
    Regression,
    Rolling,
    Schema,
    ShareWithin,
    Windows,
    col,
    env,
    expect,
)  # fmt: skip

if TYPE_CHECKING:
    import numpy as np

DAY = "2024-03-01"
KINDS = ("food", "drink", "book", "toy")
SOURCE = "TILL_SOURCE"

till = Pipeline(
    name="till", owner="team:benchmarks",
    objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(1.0)),
    source=Files("{root}/sales_{partition:%Y-%m-%d}.parquet", root=env(SOURCE)),
    time=Daily(start=DAY, event_time="sold_at"),
    key=["sale"],
    schema=Schema({
        "sale": Column("int64"), "sold_at": Column("datetime"), "done_at": Column("datetime", known="with_label"),
        "shop": Column("int32"), "price": Column("float64"), "items": Column("int64"), "kind": Column("string"),
    }),
    expectations=[
        expect.not_null("sale"), expect.between("price", 0, 500, strict_low=True), expect.between("items", 1, 50),
        expect.in_set("kind", KINDS), expect.in_partition("sold_at"),
        expect.after("done_at", "sold_at", by=(timedelta(0), timedelta(hours=30))),
        expect.rows_between(1_000), expect.quarantined_share(0.05), expect.unique("sale"),
    ],
    features=[
        col("price").log1p().alias("log_price"), col("items"), col("kind"),
        (col("price") / col("items")).alias("price_each"), col("sold_at").dt.hour().alias("hour"),
    ],
    label=Label("minutes", value=(col("done_at") - col("sold_at")).dt.total_seconds() / 60, known_at="done_at"),
    candidates=[Linear()],
    windows=Windows(train=1),
)  # fmt: skip


full_till = replace(
    till,
    label=replace(till.label, mature_after=Maturity(completeness=0.9, at_latest=timedelta(days=30))),
    aggregates=[
        Rolling(by="shop", of="label", how="mean", days=7), Rolling(by=("shop", "kind"), of="price", how="std", days=7),
    ],
)  # fmt: skip
"""With what else a pipeline may declare that looks at each row: entity features, and labels that mature."""


def write_sales(folder: Path, rows: int, *, seed: int = 0) -> Path:
    """The file of DAY with so many rows, one in a thousand of them wrong."""
    import numpy as np
    import pyarrow.parquet as pq

    path, step = folder / f"sales_{DAY}.parquet", 1_000_000
    writer = None
    for first in range(0, rows, step):
        frame = _sales(np.random.default_rng([seed, first]), first, min(step, rows - first))
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    return path


def _sales(rng: np.random.Generator, first: int, count: int) -> pl.DataFrame:
    import numpy as np

    sold = np.datetime64(DAY, "us") + rng.integers(0, 86_400_000_000, count).astype("timedelta64[us]")
    minutes = rng.gamma(2, 5, count)
    price = np.where(rng.random(count) < 0.001, -1.0, np.round(rng.gamma(2, 10, count) + 0.01, 2))
    return pl.DataFrame({
        "sale": np.arange(first, first + count),
        "sold_at": sold,
        "done_at": sold + (minutes * 60e6).astype("timedelta64[us]"),
        "shop": rng.integers(1, 500, count).astype(np.int32),
        "price": price,
        "items": rng.integers(1, 9, count),
        "kind": np.array(KINDS)[rng.integers(0, len(KINDS), count)],
    })  # fmt: skip
