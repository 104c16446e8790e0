"""Taxi ETA: how many minutes a green taxi trip in New York takes, predicted at pickup."""

from datetime import timedelta

from perennial import (
    Column,
    Csv,
    ErrorCost,
    Files,
    GradientBoosting,
    KofN,
    Label,
    Linear,
    Lookup,
    Median,
    Monitoring,
    Monthly,
    NeuralNet,
    Pipeline,
    Regression,
    Retraining,
    Rolling,
    Schema,
    ShareWithin,
    Slice,
    Windows,
    col,
    concat_str,
    days,
    env,
    expect,
)  # fmt: skip

minutes = (col("dropoff_at") - col("pickup_at")).dt.total_seconds() / 60
charge = Column("float64", unit="USD", known="with_label")
charges = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "ehail_fee", "improvement_surcharge")
zones = ("pickup_zone", "dropoff_zone")
key = ["vendor", "pickup_at", "dropoff_at", *zones]
tlc = "https://d37ci6vzurychx.cloudfront.net"  # where the TLC publishes its files
boroughs = Lookup(  # no feature reads them: a request would have to carry them
    name="zones",
    key="LocationID",
    on="pickup_zone",
    columns={"Borough": "string"},
    source=Files(
        "{root}/taxi_zone_lookup.csv",
        root=env("TAXI_ZONES_SOURCE", f"{tlc}/misc"),
        licence="NYC TLC terms of use",
        format=Csv(null_values=("", "N/A", "Unknown")),
    ),
)  # of zones 264 and 265
not_pair = ("zone_pair",)  # 20,000 values: for the median only

taxi_eta = Pipeline(
    name="taxi_eta", owner="team:mobility",
    description="Minutes of a green taxi trip, predicted at pickup from the planned route.",
    objective=Regression(
        metric="mae", goal=3.4, unit="minutes", kpi=ShareWithin(5.0, "trips within 5 minutes of what the app said"),
        error_cost=ErrorCost(under=2.0, over=1.0, unit="minutes of a passenger's patience")),
    source=Files(
        "{root}/green_tripdata_{partition:%Y-%m}.parquet", licence="NYC TLC terms of use",
        root=env("TAXI_ETA_SOURCE", f"{tlc}/trip-data")),
    lookups=[boroughs],
    time=Monthly(start="2023-01", end="2023-12", event_time="pickup_at", timezone="America/New_York"),
    key=key,
    schema=Schema({
        "vendor": Column("int32", source="VendorID", meaning="who recorded the trip"),
        "pickup_at": Column("datetime", source="lpep_pickup_datetime"),
        "dropoff_at": Column("datetime", source="lpep_dropoff_datetime", known="with_label"),
        "store_and_forward": Column("string", source="store_and_fwd_flag", known="with_label"),
        "rate_code": Column("int64", source="RatecodeID", meaning="in effect at the trip's end", known="with_label"),
        "pickup_zone": Column("int32", source="PULocationID", meaning="TLC taxi zone"),
        "pickup_borough": Column("string", source="zones.Borough", nullable=True, meaning="null outside the boroughs"),
        "dropoff_zone": Column("int32", source="DOLocationID", meaning="TLC taxi zone that the passenger asks for"),
        "passengers": Column("int64", source="passenger_count", nullable=True),
        "planned_distance": Column(
            "float64", source="trip_distance", unit="miles", known="with_label",
            stands_in_for="the planned route's length: the TLC publishes the driven one, a dispatcher knows the plan"),
        **dict.fromkeys((*charges, "total_amount", "congestion_surcharge"), charge),
        "payment_type": Column("int64", known="with_label"),
        "trip_type": Column("int64", nullable=True, meaning="1 hailed in the street, 2 dispatched"),
    }),
    expectations=[
        *(expect.between(zone, 1, 265) for zone in zones), expect.in_partition("pickup_at"),
        expect.after("dropoff_at", "pickup_at", by=(timedelta(seconds=1), timedelta(hours=3))),
        expect.between("planned_distance", 0, 100, strict_low=True),
        expect.between("fare_amount", 0, 1_000, strict_low=True),  # a void or refund mirrors its trip, below zero
        expect.rows_between(30_000, 200_000), expect.quarantined_share(0.15), expect.unique(*key).warn(),
    ],
    features=[
        col("planned_distance").alias("distance"), col("planned_distance").log1p().alias("log_distance"),
        (col("pickup_at").dt.hour().cast(float) + col("pickup_at").dt.minute() / 60).alias("hour"),
        col("pickup_at").dt.weekday().alias("weekday"), (col("pickup_at").dt.weekday() >= 6).alias("weekend"),
        *(col(zone).alias(f"{zone}_number") for zone in zones),
        *(col(zone).cast(str).alias(f"{zone}_name") for zone in zones),
        concat_str([col(zone).cast(str) for zone in zones], separator="-").alias("zone_pair"),
        col("passengers"), col("trip_type").cast(str), col("vendor").cast(str).alias("meter"),
    ],
    aggregates=[
        *(Rolling(by=by, of="label", how="mean", days=28, default=15.0) for by in ("pickup_zone", zones)),
        Rolling(by=zones, how="count", days=28, default=0.0),
    ],
    label=Label("minutes", value=minutes, known_at="dropoff_at", unit="minutes", source="meter"),
    candidates=[
        Median(by="zone_pair"), Linear(ignore=not_pair),
        GradientBoosting(learning_rate=0.25, max_iter=100, max_leaf_nodes=63, ignore=not_pair),
        NeuralNet(batch_size=2_048, epochs=8, ignore=not_pair)],
    windows=Windows(train=6, validation=1, test=1),
    slices=[
        Slice(name="trips of 1 to 60 minutes", where=minutes.is_between(1, 60), limit=4.0),
        Slice(name="to an airport", where=col("dropoff_zone").is_in([1, 132, 138]), limit=9.0),
        Slice(name="from Manhattan", where=col("pickup_borough") == "Manhattan", limit=3.5),
        Slice(name="weekend", where=col("pickup_at").dt.weekday() >= 6, limit=4.5),
    ],
    monitoring=Monitoring(every="1mo"),
    retraining=Retraining(schedule="0 6 5 * *", new_labels=0.1, drift=KofN(k=1, n=2), cooldown=days(28)),
)  # fmt: skip
