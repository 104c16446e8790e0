"""Proposal: what a file suggests loads as a declaration, holds on the file itself, and asks what no file can tell."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial import BinaryClassification
from perennial.casting import cast_partition
from perennial.declaration import Pipeline
from perennial.errors import DeclarationError
from perennial.ingestion.proposing.module import QUESTION, module_text
from perennial.ingestion.proposing.proposal import ROW_NUMBER, Proposal, _outward, propose
from perennial.settings import CLONE
from perennial.sources import Csv, Files
from perennial.stores.sources.content import take
from perennial.stores.sources.formats import Rows, read_rows
from perennial.validation.verdicts import judge_partitions, split_rows

SETS = {
    "taxi": ("green_taxi/green_tripdata_2023-02.parquet", "lpep_dropoff_datetime - lpep_pickup_datetime"),
    "hotel": ("hotel_bookings/hotel_bookings.csv.zip", "is_canceled"),
    "bike": ("bike_sharing/hour.csv", "cnt"),
    "credit": ("credit_default/UCI_Credit_Card.csv", "default.payment.next.month"),
}


def declared(text: str, name: str) -> Pipeline:
    """The pipeline that a module declares."""
    names: dict[str, object] = {}
    exec(compile(text, f"{name}.py", "exec"), names)  # noqa: S102 - the module under test
    found = names[name]
    assert isinstance(found, Pipeline)
    return found


def rows_of(path: Path, spool: Path, source: Files) -> Rows:
    with path.open("rb") as stream:
        return read_rows(take(stream, spool=spool, name=path.name), source, spool=spool, where=path.name)


def partitions_of(rows: pl.DataFrame, pipeline: Pipeline, found: Proposal) -> pl.DataFrame:
    """`rows` as they land, in the partitions that the calendar cuts."""
    at = pipeline.time.event_time
    key = pl.col(at).dt.strftime(pipeline.time.key_format) if found.is_whole else pl.lit(pipeline.time.start)
    return rows.with_columns(partition=key, event_time=pl.col(at), known_at=pl.col(at))


@pytest.mark.real_data
@pytest.mark.parametrize("name", SETS)
def test_the_proposal_of_a_real_file_loads_and_every_expectation_holds_on_that_file(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    file, label = SETS[name]
    raw = rows_of(real_data / file, tmp_path, Files(Path(file).name))

    found = propose(raw.frame, file=Path(file).name, reading=Csv() if raw.is_text else None, label=label)
    pipeline = declared(module_text(found, name=name), name)

    assert isinstance(pipeline.source, Files)
    read = rows_of(real_data / file, tmp_path, pipeline.source)
    frame = read.frame
    if found.event_time is None:  # the source must deliver it: that is the question the module asks
        frame = frame.with_columns(happened_at=pl.lit("2024-01-01").str.to_datetime("%Y-%m-%d"))
    cast = cast_partition(frame, pipeline.schema, where=name, is_text=read.is_text)
    landed = partitions_of(cast.frame, pipeline, found)
    split = split_rows(landed, pipeline.expectations, pipeline.time)
    verdicts = judge_partitions(split, pipeline.expectations)
    assert split.quarantined.height == 0
    assert not [r.expectation.claim for v in verdicts.values() for r in v.results if not r.success]
    assert len(verdicts) == landed["partition"].n_unique() >= 1


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "learned"), [("taxi", 64_809), ("hotel", 20_000), ("bike", 8_645), ("credit", 20_000)]
)
def test_what_the_first_rows_of_a_real_source_suggest_takes_the_next(
    real_data: Path, tmp_path: Path, name: str, learned: int
) -> None:
    file, label = SETS[name]
    raw = rows_of(real_data / file, tmp_path, Files(Path(file).name))
    march = [rows_of(real_data / file.replace("-02", "-03"), tmp_path, Files("x")).frame] if name == "taxi" else []
    first, following = raw.frame.head(learned), pl.concat([raw.frame, *march]).slice(learned, 5_000 if march else 700)

    found = propose(first, file="a.csv", reading=Csv() if raw.is_text else None, label=label)
    pipeline = declared(module_text(found, name=name), name)

    assert isinstance(pipeline.source, Files)
    read = pipeline.source.format if isinstance(pipeline.source.format, Csv) else Csv()
    lacking = pl.all().replace(dict.fromkeys(read.null_values)) if raw.is_text else pl.all()
    rows = following.with_columns(lacking).with_row_index(ROW_NUMBER, offset=1)
    if found.event_time is None:  # what the question asks for
        rows = rows.with_columns(happened_at=pl.lit("2024-01-01").str.to_datetime("%Y-%m-%d"))
    schema = replace(pipeline.schema, allow_additional=True)
    cast = cast_partition(rows, schema, where=name, is_text=raw.is_text, timezone="UTC")
    split = split_rows(partitions_of(cast.frame, pipeline, found), pipeline.expectations, pipeline.time)
    assert split.quarantined.height <= 0.05 * cast.frame.height
    assert not [one for one in pipeline.key if f"between({one!r}" in str(pipeline.expectations)]
    assert {"bike": "dteday", "taxi": "lpep_pickup_datetime"}.get(name) == found.event_time
    assert name != "bike" or {"casual", "registered"} <= set(found.late)


def test_without_a_label_it_asks_and_does_not_load() -> None:
    found = propose(
        pl.DataFrame({"price": ["1.5", "2.5"], "at": ["2024-01-01", "2024-01-02"]}), file="a.csv", reading=Csv()
    )
    text = module_text(found, name="rides")

    assert "Candidates: price" in text
    with pytest.raises(DeclarationError, match=f"'label.value' does not fit, found '{QUESTION}'"):
        declared(text, "rides")


def test_columns_that_give_the_label_away_are_barred_with_the_reason() -> None:
    rows = pl.DataFrame({"n": range(100), "twice": [2.0 * n for n in range(100)], "size": [n % 7 for n in range(100)]})

    found = propose(rows, file="x_2024-01.parquet", label="n")

    assert found.late == {"n": "", "twice": "it moves with the label (correlation 1.00)"}
    text = module_text(found, name="x")
    assert "barred as a guess: it moves with the label (correlation 1.00)" in text
    assert 'col("twice")' not in text


def test_personal_data_is_marked_and_neither_listed_nor_a_feature() -> None:
    rows = pl.DataFrame({"contact": ["a@b.org", "c@d.org"] * 4, "phone": ["1", "2"] * 4, "n": range(8)})

    found = propose(rows, file="x_2024-01.parquet", label="n")

    assert found.personal == {"contact": "values like e-mail addresses", "phone": "its name"}
    text = module_text(found, name="x")
    assert "a@b.org" not in text
    assert 'col("contact")' not in text
    assert '"contact": Column("string", pii=True)' in text


def test_a_date_in_the_name_is_the_partition() -> None:
    rows = pl.DataFrame({"n": [1, 2]})

    found = [propose(rows, file=name) for name in ("a_2024-02.csv", "a_20240229.csv", "a_2024-02-29.parquet", "a.csv")]

    assert [(f.pattern, f.calendar, f.start) for f in found] == [
        ("a_{partition:%Y-%m}.csv", "Monthly", "2024-02"),
        ("a_{partition:%Y%m%d}.csv", "Daily", "2024-02-29"),
        ("a_{partition:%Y-%m-%d}.parquet", "Daily", "2024-02-29"),
        ("a.csv", "Monthly", "2024-01"),
    ]


def test_rows_that_nothing_tells_apart_are_known_by_their_number() -> None:
    assert propose(pl.DataFrame({"n": [1, 1, 1]}), file="a.csv").key == (ROW_NUMBER,)
    assert propose(pl.DataFrame({"n": [1, 2, 3], "m": [1, 1, 1]}), file="a.csv").key == ("n",)
    assert propose(pl.DataFrame({"n": [1, 2, 1, 2], "m": [1, 1, 2, 2]}), file="a.csv").key == ("n", "m")


def test_texts_for_no_value_are_named_and_codes_stay_text() -> None:
    rows = pl.DataFrame({"agent": ["9", "NULL", "7"], "zip_code": ["01067", "10115", "80331"], "n": ["1", "2", "3"]})

    found = propose(rows, file="a.csv", reading=Csv())

    assert [(c.name, c.kind) for c in found.columns] == [("agent", "int64"), ("zip_code", "string"), ("n", "int64")]
    assert found.reading == Csv(null_values=("", "NULL"))
    assert 'format=Csv(null_values=("", "NULL")),' in module_text(found, name="agents")


def test_an_unknown_label_is_named_with_the_columns_there_are() -> None:
    with pytest.raises(ValueError, match="no column 'nope'; the file has n"):
        propose(pl.DataFrame({"n": [1]}), file="a.csv", label="nope")


def test_a_key_and_a_running_number_have_no_range_which_the_next_file_leaves() -> None:
    numbers = range(1, 201)
    rows = pl.DataFrame({"nr": numbers, "ticket": [7 * n for n in numbers], "size": [n % 9 for n in numbers]})

    claims = [line.text for line in propose(rows, file="a.csv").expectations]

    assert [claim for claim in claims if "between(" in claim] == [
        'expect.between("size", 0, 8)', "expect.rows_between(100, 400)"
    ]  # fmt: skip
    assert 'expect.not_null("ticket")' in claims


@pytest.mark.parametrize("name", ["reservation_status_date", "closed_at", "updated_at", "dropoff_datetime"])
def test_a_sole_time_that_sounds_like_an_end_is_a_question_until_it_is_named(name: str) -> None:
    rows = pl.DataFrame({name: [datetime(2024, 1, n) for n in range(1, 9)], "n": range(8), "gone": [0, 1] * 4})

    asked = propose(rows, file="a.csv", label="gone")
    told = propose(rows, file="a.csv", label="gone", event_time=name)

    text = module_text(asked, name="rows")
    assert f"QUESTION: when did a row happen? {name} sounds like an end." in text
    assert declared(text, "rows").time.event_time == "happened_at"
    assert name in asked.late
    assert declared(module_text(told, name="rows"), "rows").time.event_time == name
    with pytest.raises(ValueError, match="column 'n' has no time in every row"):
        propose(rows, file="a.csv", event_time="n")


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-01T10:00:00", "2024-01-01T10:00:00.25", "2024-01-01 10:00:00.250000"),
        *("2024-01-01T10:00:00Z", "2024-01-01T10:00:00.5Z", "2024-01-01 10:00:00Z", "2024-01-01T12:00:00+02:00"),
    ],
)
@pytest.mark.parametrize("reading", [Csv(), None])
def test_a_time_in_text_is_known_for_one_however_it_is_written(text: str, reading: Csv | None) -> None:
    frame = pl.DataFrame({"started_at": [text] * 3, "n": ["1", "2", "3"] if reading else [1, 2, 3]})
    frame = frame.with_columns(size=pl.col("n"))

    found = propose(frame, file="a.csv", reading=reading, label="n")
    pipeline = declared(module_text(found, name="rows"), "rows")
    cast = cast_partition(frame, pipeline.schema, where="x", is_text=reading is not None, timezone="UTC")

    assert pipeline.time.event_time == "started_at"
    assert cast.frame["started_at"].dt.truncate("1s").to_list() == [datetime(2024, 1, 1, 10)] * 3
    assert cast.frame["started_at"].to_list() == found.column("started_at").values.to_list()


def test_times_with_an_offset_and_decimals_are_kept() -> None:
    at = pl.Series("started_at", [datetime(2024, 1, 1, n, tzinfo=UTC) for n in range(3)]).dt.convert_time_zone(
        "Asia/Tokyo"
    )
    price = pl.Series("price", ["1.10", "2.20", "3.30"]).cast(pl.Decimal(10, 2))
    number = pl.Series("number", ["1", "2", "3"]).cast(pl.Decimal(20, 0))
    exact = pl.Series("exact", ["1234567890123456.12"] * 3).cast(pl.Decimal(20, 2))
    frame = pl.DataFrame([at, price, number, exact])

    found = propose(frame, file="a.parquet", label="price")
    pipeline = declared(module_text(found, name="rows"), "rows")

    assert [(c.name, c.kind) for c in found.columns] == [
        ("started_at", "datetime"),
        ("price", "float64"),
        ("number", "int64"),
    ]
    assert found.undeclared == ("exact",)
    cast = cast_partition(frame, pipeline.schema, where="x", timezone=pipeline.time.timezone)
    assert cast.frame["price"].to_list() == [1.1, 2.2, 3.3]
    assert cast.frame["started_at"][0] == datetime(2024, 1, 1)


def test_two_columns_that_add_up_to_the_label_are_barred() -> None:
    part = pl.DataFrame({"casual": [n * 7 % 31 for n in range(60)], "member": [n * 5 % 37 for n in range(60)]})
    rows = part.with_columns(cnt=pl.sum_horizontal("casual", "member"), none=pl.lit(0), hour=pl.int_range(60) % 24)

    assert propose(rows, file="a.csv", label="cnt").late == {
        "cnt": "",
        "casual": "it adds up to the label with member",
        "member": "it adds up to the label with casual",
    }
    almost = rows.with_columns(cnt=pl.col("cnt") + (pl.int_range(60) == 59).cast(int))
    assert propose(almost, file="a.csv", label="cnt").late == {"cnt": ""}


def test_how_text_was_read_is_declared() -> None:
    reading = Csv(separator="\t", encoding="latin-1")

    found = propose(pl.DataFrame({"n": ["1", "2"]}), file="a.tsv", reading=reading, label="n")

    pipeline = declared(module_text(found, name="rows"), "rows")
    assert isinstance(pipeline.source, Files)
    assert pipeline.source.format == reading


@given(st.floats(-1e9, 1e9).filter(lambda x: abs(x) > 1e-6))
def test_a_rounded_bound_never_cuts_the_value_off(value: float) -> None:
    slack = 1e-6 * abs(value)

    assert _outward(value, -1) <= value + slack
    assert _outward(value, 1) >= value - slack
    assert abs(_outward(value, 1) - value) <= 0.11 * abs(value)


COLUMNS = st.dictionaries(
    st.text("abcXYZ_. -", min_size=1, max_size=12),
    st.sampled_from([pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Datetime("us"), pl.Date, pl.Null]),
    min_size=1,
    max_size=6,
)


@given(COLUMNS, st.integers(1, 5))
def test_whatever_the_columns_the_module_is_python_that_only_its_questions_keep_from_loading(
    columns: dict[str, pl.DataType], rows: int
) -> None:
    frame = pl.DataFrame({name: pl.Series([None] * rows, dtype=kind) for name, kind in columns.items()})

    text = module_text(propose(frame, file="any.parquet"), name="any_of_it")

    with pytest.raises(DeclarationError, match=QUESTION):
        declared(text, "any_of_it")


VALUES = st.sampled_from(
    [
        pl.Series(["paid", "open", "paid", "paid"]),
        pl.Series(["a'\"", "\\", "\\", "\\"]),
        pl.Series(["a", "b", "c", None]),
        pl.Series([None, None, None, None], dtype=pl.String),
        pl.Series([True, False, None, True]),
        pl.Series([1, 0, 0, 1]),
        pl.Series([1.5, math.nan, math.inf, None]),
        pl.Series(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-03"]).str.to_datetime("%Y-%m-%d"),
    ]
)
FILES = st.text(st.characters(exclude_characters="/\0", codec=None), min_size=1, max_size=12)


@given(st.lists(VALUES, min_size=1, max_size=4), st.data(), FILES)
def test_whatever_label_and_file_name_are_told_the_module_loads_or_one_error_says_why_not(
    values: list[pl.Series], data: st.DataObject, file: str
) -> None:
    frame = pl.DataFrame([one.alias(f"c{n}") for n, one in enumerate(values)])
    named = st.sampled_from(frame.columns)
    label = data.draw(st.one_of(named, st.tuples(named, named).map(" - ".join)))

    found, problem = None, ""
    try:
        found = propose(frame, file=file, label=label)
    except ValueError as error:
        problem = str(error)
    if found is None:
        assert re.match(r"no (label|time) in column 'c\d'", problem)
        return

    pipeline = declared(module_text(found, name="any_of_it"), "any_of_it")
    assert isinstance(pipeline.source, Files)
    dated = {"root": "r", "partition": pipeline.time.window(pipeline.time.start).start}
    assert pipeline.source.pattern.format(**dated) == f"r/{file}"


def test_of_two_texts_the_rarer_is_asked_for_and_what_decides_it_is_barred() -> None:
    status = ["paid", "open", "open", "open"] * 10
    rows = pl.DataFrame({"status": status, "paid_by": [{"paid": "card", "open": "none"}[one] for one in status]})

    found = propose(rows, file="a.csv", label="status")

    text = module_text(found, name="rides")
    pipeline = declared(text, "rides")
    assert isinstance(pipeline.objective, BinaryClassification)
    assert (pipeline.objective.positive, pipeline.objective.goal) == ("paid", 0.45)
    assert rows.select(pipeline.label.value.cast(int)).to_series().sum() == 10
    assert found.late["paid_by"] == "each of its values has one value of the label"
    assert "which of the two texts is asked for is a guess" in text


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("zone", "no label in column 'zone', which holds text of 3 values; a number, a truth value"),
        ("day", "no label in column 'day', which holds a time"),
        ("surname", "no label in column 'surname', which holds personal data"),
        ("n - day", "no time in column 'n'"),
        ("day - day - day", "a label of 3 columns"),
    ],
)
def test_a_label_that_cannot_be_predicted_is_one_error_without_a_value(label: str, problem: str) -> None:
    times = pl.Series(["2024-01-01", "2024-01-02", "2024-01-02"]).str.to_datetime("%Y-%m-%d")
    rows = pl.DataFrame({"zone": ["a", "b", "c"], "n": [1, 2, 3], "day": times, "surname": ["x", "y", "y"]})

    with pytest.raises(ValueError, match=re.escape(problem)):
        propose(rows, file="a.csv", label=label)


def test_the_module_is_laid_out_as_make_check_wants_it(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "VendorID": ["1", "2", "2"],
            "a long name of a column that holds a time": ["2024-01-01", "2024-01-02", "2024-01-02"],
            "share": ["0.5", None, "0.25"],
            "kind": ["a", 'b"c', None],
            "Sex": ["f", "m", "f"],
        }
    )
    (tmp_path / "__init__.py").touch()
    module = tmp_path / "proposed.py"
    module.write_text(module_text(propose(rows, file="a.csv", reading=Csv(), label="share"), name="proposed"))

    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(CLONE / "pyproject.toml"), str(module)]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
