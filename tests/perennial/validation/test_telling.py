"""Telling: a person reads which rows failed and what changed, and never a value that is personal."""

from __future__ import annotations

import polars as pl

from perennial.schema import Column, Schema
from perennial.time import Daily
from perennial.validation import expectations as expect
from perennial.validation.telling import LastGood, failing_lines, failing_rows, since_last_good
from perennial.validation.verdicts import PartitionVerdict, judge_partitions, split_rows

DAY = Daily(start="2024-01-01", event_time="at")
SCHEMA = Schema({"km": Column("float64"), "mail": Column("string", pii=True)})
RULES = [
    expect.between("km", 0, 10),
    expect.matches("mail", "@"),
    expect.quarantined_share(0.25),
    expect.mean_between("km", 0, 1),
]


def judged(km: list[float], mail: list[str]) -> PartitionVerdict:
    rows = pl.DataFrame({"partition": ["2024-01-01"] * len(km), "km": km, "mail": mail})
    return judge_partitions(split_rows(rows, RULES, DAY), RULES)["2024-01-01"]


def test_each_failed_expectation_is_a_line_with_up_to_five_rows_those_that_block_first() -> None:
    verdict = judged([1.0, -1.5, *[-2.0] * 6], ["a@b"] * 8)

    assert failing_lines(verdict, SCHEMA) == [
        "2024-01-01: 'at most 25 % of landed rows quarantined' does not hold, found 87.5 %",
        (
            "2024-01-01: 'km from 0 to 10' does not hold in 7 rows (87.50%), such as row 1: km -1.5; row 2: km -2; "
            "row 3: km -2; row 4: km -2; row 5: km -2"
        ),
    ]
    assert [row["for example"] for row in failing_rows(verdict, SCHEMA)] == [
        "", "row 1: km -1.5", "row 2: km -2", "row 3: km -2", "row 4: km -2", "row 5: km -2",
    ]  # fmt: skip


def test_a_table_of_examples_says_once_what_does_not_hold_and_in_how_many_rows() -> None:
    rows = list(failing_rows(judged([1.0, -1.5, -2.0, 11.0], ["a@b"] * 4), SCHEMA))

    of_km = [row for row in rows if "km " in str(row["for example"])]
    assert [(row["does not hold"], row["rows"]) for row in of_km] == [("km from 0 to 10", 3), ("", None), ("", None)]


def test_personal_data_is_hidden_everywhere() -> None:
    verdict = judged([1.0, 1.0], ["secret", "a@b"])

    told = [*failing_lines(verdict, SCHEMA), *map(str, failing_rows(verdict, SCHEMA))]

    assert "secret" not in " ".join(told)
    assert "row 0: mail hidden" in told[0] + told[1]


def test_a_text_of_a_megabyte_is_cut() -> None:
    schema = Schema({"km": Column("float64"), "mail": Column("string")})

    (line, *_) = [line for line in failing_lines(judged([1.0, 1.0], ["x" * 1_000_000, "@"]), schema) if "mail" in line]

    assert len(line) < 300
    assert "(1,000,000 characters)" in line


def test_what_changed_since_the_last_good_partition_is_one_line() -> None:
    before = LastGood(partition="2023-12-31", landed=100, quarantined=3, reasons={"km from 0 to 10": 1})

    line = since_last_good(judged([1.0, -1.0], ["a@b", "a@b"]), before)

    assert line == (
        "2024-01-01 against 2023-12-31, the last good one: 100 -> 2 rows landed (-98%), 3 % -> 50 % quarantined, "
        "most of it 'km from 0 to 10' 1 % -> 50 %"
    )
    grown = since_last_good(judged([1.0, -1.0, -1.0, 1.0], ["a@b", "a@b", "a@b", "?"]), before)
    assert grown.endswith("most of it 'km from 0 to 10' 1 % -> 50 %"), "not the text that fails in 25 %"
    assert "nothing to compare with" in since_last_good(judged([1.0], ["@"]), None)


def test_rows_are_matched_one_to_one_however_often_they_repeat() -> None:
    from perennial.validation.requeue import Judged, compare

    def rows(*values: int, reason: str | None = None) -> pl.DataFrame:
        frame = pl.DataFrame({"n": list(values)}, schema={"n": pl.Int64})
        return frame if reason is None else frame.with_columns(reason=pl.lit(reason))

    change = compare(
        Judged(accepted=rows(5, 6), quarantined=rows(1, 1, 2, reason="low; odd")),
        Judged(accepted=rows(1, 5, 2), quarantined=rows(1, 6, reason="even")),
        columns=["n"],
    )

    assert change.accepted_again == {"low": 2, "odd": 2}
    assert change.still == {"even": 1}
    assert change.quarantined_now == {"even": 1}
    assert change.line == "accepted 2 -> 3 rows, quarantined 3 -> 2"
