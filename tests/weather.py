"""Weather: a pipeline whose rows are joined with readings of another source."""

from __future__ import annotations

from datetime import UTC, datetime

from perennial import (
    Column,
    Daily,
    Files,
    Label,
    Median,
    Pipeline,
    Regression,
    Schema,
    ShareWithin,
    Timeline,
    Windows,
    col,
    env,
    hours,
)

DAY = datetime(2024, 1, 2, tzinfo=UTC)
WEATHER = Timeline(
    name="weather",
    source=Files("{root}/{partition:%Y-%m-%d}.csv", env("WEATHER"), licence="CC BY 4.0"),
    on={"zone": "station"},
    event_time=col("measured_at").str.to_datetime("%Y-%m-%d %H:%M"),
    known_at=col("published_at").str.to_datetime("%Y-%m-%d %H:%M"),
    within=hours(6),
    columns={"celsius": "float64"},
)
PIPELINE = Pipeline(
    name="rides",
    owner="team:tests",
    objective=Regression(goal=1.0, unit="minutes", kpi=ShareWithin(5.0)),
    source=Files("{root}/{partition:%Y-%m-%d}.parquet"),
    time=Daily(start="2024-01-01", event_time="asked"),
    key=["asked"],
    timelines=[WEATHER],
    schema=Schema(
        {
            "asked": Column("datetime"),
            "zone": Column("string"),
            "celsius": Column("float64", source="weather.celsius", nullable=True),
        }
    ),
    features=[col("celsius")],
    label=Label("z", value=col("celsius"), known_at="asked"),
    candidates=[Median(by="celsius")],
    windows=Windows(train=1),
)
