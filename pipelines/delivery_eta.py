"""Delivery ETA: how many minutes a dinner takes to the door, predicted when it is ordered."""

from perennial import (  # noqa: I001 - a declaration fits on one screen
    Column, Daily, ErrorCost, Files, GradientBoosting, KofN, Label, Linear, Median, Monitoring, NeuralNet, Pipeline,
    Regression, Retraining, Rolling, Schema, ShareWithin, Slice, Windows, col, days, env, expect, hours,
)  # fmt: skip

hour = col("ordered_at").dt.hour().cast(float) + col("ordered_at").dt.minute() / 60
weekday = col("ordered_at").dt.weekday()
bike = col("courier_vehicle") == "bike"
minutes = (col("delivered_at") - col("ordered_at")).dt.total_seconds() / 60
texts = ("order_id", "restaurant", "zone", "cuisine", "courier", "courier_vehicle")
never_null = (*texts[1:], *"weather distance_km items open_orders courier_deliveries delivered_at".split())

delivery_eta = Pipeline(
    name="delivery_eta", owner="team:delivery", description="Minutes from an order to the door, told at the order.",
    objective=Regression(
        metric="mae", goal=3.0, unit="minutes", kpi=ShareWithin(5.0, "dinners within 5 minutes of what the app said"),
        error_cost=ErrorCost(under=3.0, over=1.0, unit="minutes of a hungry person's patience")),
    source=Files(
        "{root}/orders_{partition:%Y-%m-%d}.parquet", root=env("DELIVERY_ETA_SOURCE", "{home}/world/delivery_eta"),
        licence="CC0-1.0 (simulated)", simulated_by="delivery_eta"),
    time=Daily(start="2024-01-01", end="2025-12-31", event_time="ordered_at",
               timezone="Europe/Berlin", known_after=hours(2)),  # the last dinner of the day has arrived
    key=["order_id"],
    schema=Schema({
        **{name: Column("string") for name in texts},
        "weather": Column("string", meaning="dry, rain or snow, in the hour of the order"),
        "temperature_c": Column("float64", unit="°C", nullable=True), "distance_km": Column("float64", unit="km"),
        "items": Column("int64"), "open_orders": Column("int64", meaning="the restaurant's queue before this order"),
        "courier_deliveries": Column("int64", meaning="what the courier has delivered so far, in all"),
        "ordered_at": Column("datetime"), "delivered_at": Column("datetime", known="with_label"),
    }),
    expectations=[
        *(expect.not_null(name) for name in never_null),  # any zone: new ones open
        expect.in_set("weather", ["dry", "rain", "snow"]), expect.in_set("courier_vehicle", ["bike", "scooter", "car"]),
        expect.between("distance_km", 0, 30, strict_low=True), expect.between("items", 1, 50),
        expect.between("open_orders", 0, 200), expect.between("temperature_c", -30, 45),
        expect.in_partition("ordered_at"), expect.after("delivered_at", "ordered_at", by=(hours(0.2), hours(4))),
        expect.rows_between(100, 2_000), expect.quarantined_share(0.10), expect.share_not_null("temperature_c", 0.5),
        expect.unique("order_id").warn(),  # a few orders are sent twice; the training set keeps one of each key
    ],
    features=[
        *map(col, ("distance_km", "items", "open_orders", "temperature_c", "courier_deliveries")),
        *map(col, ("restaurant", "zone", "cuisine", "courier_vehicle", "weather")),
        col("distance_km").log1p().alias("log_distance"), hour.alias("hour"), weekday.alias("weekday"),
        (hour.is_between(16.5, 19.0, closed="left") & (weekday <= 5)).alias("rush_hour"),
    ],
    aggregates=[  # nobody knows a new restaurant or courier: they get the city's mean
        *(Rolling(by=name, of="label", how="mean", days=28, default=32.5) for name in ("restaurant", "courier")),
        Rolling(by="restaurant", how="count", days=7, default=0.0),
    ],
    label=Label("minutes", value=minutes, known_at="delivered_at", unit="minutes"),
    candidates=[Median(by="restaurant"), Linear(), GradientBoosting(), NeuralNet()],
    windows=Windows(train=28, validation=7, test=7),  # whole weeks: weekends differ
    slices=[
        Slice(name="weekend", where=weekday >= 6, limit=5.0), Slice(name="bikes", where=bike, limit=5.0),
        Slice(name="long queues", where=col("open_orders") >= 10, limit=5.0),
    ],
    # Weather and temperature move with every day, 40 restaurants with chance: neither says that the city has changed.
    monitoring=Monitoring(columns=("distance_km", "zone", "cuisine", "courier_vehicle", "items", "open_orders")),
    # The first 7 drifted days fill the sealed test, the fit sees those after them. Half new labels are about 18 days.
    retraining=Retraining(schedule="0 4 * * 1", new_labels=0.5, drift=KofN(k=10, n=14), cooldown=days(7)),
)  # fmt: skip
