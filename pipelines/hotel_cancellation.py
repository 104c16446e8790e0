"""Hotel cancellation: how likely a booking of two hotels in Portugal is cancelled, predicted when it is made.

Bookings of 2015-07 to 2017-03: the file holds arrivals of 2015-07-01 to 2017-08-31, so earlier bookings are those
that were made long ahead, mostly cancelled ones, and of later ones the long stays ahead are missing.

A booking has no number, so its row's place in the file is the key. A quarter of the rows are equal to another in
every column: we keep them, because a group is entered as many bookings of one kind, and equal rows are of one day,
so that no split takes them apart.
"""

from perennial import (
    BaseRate,
    BinaryClassification,
    Column,
    Csv,
    DecisionCost,
    Files,
    GradientBoosting,
    KofN,
    Label,
    Linear,
    Maturity,
    Monitoring,
    Monthly,
    Pipeline,
    Retraining,
    Rolling,
    Schema,
    Seasons,
    ShareOfDecisions,
    Slice,
    Windows,
    col,
    concat_str,
    days,
    env,
    expect,
)  # fmt: skip

arrival = concat_str(
    [col("arrival_date_year"), col("arrival_date_month"), col("arrival_date_day_of_month")], separator="-"
).str.to_datetime("%Y-%B-%d")
guests = ("adults", "children", "babies")
choices = ("hotel", "meal", "market_segment", "distribution_channel", "reserved_room_type", "customer_type")
changing = ("booking_changes", "days_in_waiting_list", "total_of_special_requests", "required_car_parking_spaces")

hotel_cancellation = Pipeline(
    name="hotel_cancellation", owner="team:revenue",
    description="Probability that a booking is cancelled, predicted when it is made.",
    objective=BinaryClassification(
        metric="log_loss", goal=0.6, positive="cancelled",
        kpi=ShareOfDecisions("precision", "rooms given away again that really were free"),
        error_cost=DecisionCost(false_positive=150.0, false_negative=100.0, unit="EUR")),  # guest sent away, room empty
    source=Files(
        "{root}/hotel_bookings.csv.zip", root=env("HOTEL_CANCELLATION_SOURCE"), row_number="row",
        format=Csv(null_values=("NULL", "NA")), licence="CC BY 4.0, Antonio, Almeida, Nunes 2019"),
    time=Monthly(start="2015-07", end="2017-03", event_time="booked_on", timezone="Europe/Lisbon"),
    key=["booking"],
    schema=Schema({
        "booking": Column("int64", source="row", meaning="place in the file"),
        "booked_on": Column("datetime", source=arrival - col("lead_time") * days(1), meaning="arrival less lead time"),
        "arrives_on": Column("datetime", source=arrival),
        "lead_time": Column("int32", unit="days", meaning="from booking to arrival"),
        "stays_in_weekend_nights": Column("int32"), "stays_in_week_nights": Column("int32"),
        **dict.fromkeys(guests, Column("int32", nullable=True)),
        "guests": Column("int32", source=col("adults") + col("children").fill_null(0) + col("babies")),
        **dict.fromkeys(choices, Column("string")),
        "agent": Column("string", nullable=True), "company": Column("string", nullable=True),
        "is_repeated_guest": Column("int32"), "previous_cancellations": Column("int32"),
        "previous_bookings_not_canceled": Column("int32"),
        "is_canceled": Column("int32", known="with_label"),
        "status_on": Column(
            "datetime", source=col("reservation_status_date").str.to_datetime("%Y-%m-%d"), known="with_label"),
        "reservation_status": Column("string", known="with_label"),
        "assigned_room_type": Column("string", known="with_label", meaning="given at check-in"),
        **dict.fromkeys(changing, Column("int32", known="with_label", meaning="changes until arrival or cancellation")),
        "deposit_type": Column("string", known="with_label", meaning="by payments until arrival or cancellation"),
        "adr": Column("float64", unit="EUR", known="with_label", meaning="what was charged, by nights stayed"),
        "country": Column("string", known="with_label", meaning="corrected at check-in: before, mostly Portugal"),
    }, allow_additional=True),
    expectations=[
        *map(expect.not_null, ("lead_time", *choices)),
        expect.between("adr", 0, 1_000), expect.between("guests", 1, 60),
        expect.rows_between(1_000, 20_000), expect.quarantined_share(0.02), expect.unique("booking"),
    ],
    features=[
        col("lead_time"), col("lead_time").log1p().alias("log_lead_time"),
        *(col(f"stays_in_{part}_nights") for part in ("weekend", "week")), *map(col, guests),
        col("arrives_on").dt.month().alias("arrival_month"), col("arrives_on").dt.weekday().alias("arrival_weekday"),
        *map(col, choices), col("agent"), col("company"),
        col("is_repeated_guest"), col("previous_cancellations"), col("previous_bookings_not_canceled"),
    ],
    # The mean is of the outcomes that came first, mostly cancellations: right in time, and higher than the whole truth.
    # Not by `country`, which is told at check-in. How much an agent books lately made the trees worse on later months.
    aggregates=[Rolling(by="agent", of="label", how="mean", days=180)],
    seasons=Seasons(ignore=(  # filled in later, or hardly ever
        "is_canceled", "status_on", "reservation_status", *changing, "assigned_room_type", "deposit_type", "adr",
        "country", "company", "previous_bookings_not_canceled")),
    label=Label(
        "cancelled", value=col("is_canceled"), known_at="status_on", unit="share", delay=days(1),
        source=col("reservation_status"),  # the entry that closed the booking: Canceled, No-Show or Check-Out
        mature_after=Maturity(completeness=0.9, at_latest=days(500))),
    candidates=[BaseRate(by="market_segment"), Linear(), GradientBoosting()],
    windows=Windows(train=6, validation=2, test=2),
    slices=[
        Slice(name="city hotel", where=col("hotel") == "City Hotel", limit=0.7),
        Slice(name="resort hotel", where=col("hotel") == "Resort Hotel", limit=0.65),
        Slice(name="guests from Portugal", where=col("country") == "PRT", limit=0.75),
        Slice(name="guests from elsewhere", where=col("country") != "PRT", limit=0.65),
        Slice(name="online agents", where=col("market_segment") == "Online TA", limit=0.65),
        Slice(name="groups", where=col("market_segment") == "Groups", limit=1.0),  # a group cancels as one
    ],
    monitoring=Monitoring(every="1mo"),
    retraining=Retraining(schedule="0 6 2 * *", new_labels=0.1, drift=KofN(k=2, n=3), cooldown=days(28)),
)  # fmt: skip
