"""Formats: a file is judged by its content; what is no table is named for what it is."""

from __future__ import annotations

import gzip
import io
import traceback
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.casting import cast_partition
from perennial.errors import SourceError
from perennial.schema import Column, Schema
from perennial.sources import Csv, Files, JsonLines, Parquet
from perennial.stores.sources import content as contents
from perennial.stores.sources.content import take
from perennial.stores.sources.formats import Rows, read_rows

TABLE = pl.DataFrame({"zone": [1, 2], "name": ["Newark", None]})
ANY = Files("{root}/any")


def parquet(table: pl.DataFrame = TABLE) -> bytes:
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def read(content: bytes, source: Files = ANY, *, name: str = "any", spool: Path = Path("unused")) -> Rows:
    return read_rows(take(io.BytesIO(content), spool=spool, name=name), source, spool=spool, where="taxi 2023-01")


def refusal(content: bytes, source: Files = ANY, *, name: str = "any") -> str:
    with pytest.raises(SourceError) as caught:
        read(content, source, name=name)
    assert str(caught.value).startswith("taxi 2023-01: ")
    assert len(str(caught.value)) < 1_000
    return str(caught.value)


@pytest.mark.parametrize("wrap", [lambda content: content, gzip.compress, lambda content: zipped(inner=content)])
@pytest.mark.parametrize(
    ("content", "is_text"),
    [(parquet(), False), (b"zone,name\n1,Newark\n2,\n", True), (b'{"zone":1,"name":"Newark"}\n{"zone":2}\n', False)],
)
def test_reads_each_format_bare_or_wrapped_by_what_it_is(content: bytes, is_text: bool, wrap) -> None:
    found = read(wrap(content))

    assert found.is_text == is_text
    assert found.frame["name"].to_list() == ["Newark", None]
    assert found.frame["zone"].cast(pl.Int64).to_list() == [1, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["an empty file", "0 bytes", "until the source has delivered"]),
        (b"<!DOCTYPE html><title>404 Not Found</title>", ["an HTML page '404 Not Found'"]),
        (b"  <html><body>x", ["an HTML page"]),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1427002\n",
            ["a Git-LFS pointer to a file of 1,427,002 bytes", "git lfs pull"],
        ),
        (
            b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code><Message>No such key.</Message></Error>',
            ["an object store's error NoSuchKey: No such key.", "credentials"],
        ),
        (b"<?xml version='1.0'?><rows/>", ["an XML document"]),
        (parquet()[:-1], ["a parquet file that was cut short"]),
        (b"PAR1", ["a parquet file that was cut short"]),
        (b"PAR1" + b"\0" * 100 + b"PAR1", ["a damaged parquet file"]),
        (bytes(range(256)), ["no kind of file that is known here"]),
        (b"PK\x03\x04 and no more", ["a damaged zip"]),
        (zipped(a=parquet())[:-30], ["a damaged zip"]),
        (gzip.compress(parquet())[:-9], ["a damaged gzip"]),
        (gzip.compress(b"<html>"), ["an HTML page"]),
        (zipped(), ["holds 0 files"]),
        (zipped(a=b"x", b=b"y"), ["holds 2 files", "a, b", "member="]),
        (zipped(a=gzip.compress(b"x")), ["a gzip", "a table"]),
    ],
)
def test_what_is_no_table_is_named_for_what_it_is(content: bytes, words: list[str]) -> None:
    message = refusal(content)

    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "source", "name", "words"),
    [
        (b"zone\n1\n", ANY, "month.parquet", ["month.parquet is text", "a complete parquet file", "b'zone"]),
        (b"zone\n1\n", ANY, "month.zip", ["month.zip is text", "expected a zip"]),
        (b"zone\n1\n", Files("x", format=Parquet()), "x", ["x is text", "a complete parquet file"]),
        (parquet(), Files("x", format=Csv()), "x", ["x is a parquet file", "text with a header line"]),
        (b"zone\n1\n", Files("x", format=JsonLines()), "x", ["x is text", "one JSON object a line"]),
    ],
)
def test_what_is_another_table_than_its_name_or_declaration_says_is_refused(
    content: bytes, source: Files, name: str, words: list[str]
) -> None:
    message = refusal(content, source, name=name)

    for word in words:
        assert word in message


def test_a_member_of_a_zip_is_found_by_its_pattern() -> None:
    content = zipped(data__csv=b"zone\n1\n", read__me=b"about")

    assert read(content, Files("x", member="*.csv")).frame["zone"].to_list() == ["1"]


def test_declared_texts_stand_for_no_value_and_the_separator_is_declared() -> None:
    found = read(b"a;b\nNULL;\n007;'\n", Files("x", format=Csv(separator=";", null_values=("NULL", ""))))

    assert found.frame.to_dict(as_series=False) == {"a": [None, "007"], "b": [None, "'"]}


def test_another_encoding_is_declared_and_an_undeclared_one_is_named_with_its_line() -> None:
    content = "a,b\n1,x\n2,Zürich\n".encode("latin-1")

    message = refusal(content)

    for word in ("not text in utf-8", "line 3: invalid start byte (byte 0xfc)", "Csv(encoding="):
        assert word in message
    assert read(content, Files("x", format=Csv(encoding="latin-1"))).frame["b"].to_list() == ["x", "Zürich"]
    utf16 = "a\nZürich\n".encode("utf-16")
    assert read(utf16, Files("x", format=Csv(encoding="utf-16"))).frame["a"].to_list() == ["Zürich"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'a,b\n1,"two\nlines"\n3\n', ["line 4: 1 fields in 1 characters", "2 fields separated by ','"]),
        (b"a,b\n1,2,3\n", ["line 2: 3 fields in 3 characters"]),
        (b"a,a\n1,2\n", ["column 'a' twice"]),
        (b'a,b\n1,2\n3,"cut\n', ["ends inside a quoted text"]),
    ],
)
def test_text_that_fits_no_table_is_named_with_its_line(content: bytes, words: list[str]) -> None:
    message = refusal(content)

    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a":1}\n{"a":\n', ["line 2: Expecting value at character 5 of 5"]),
        (b'{"a":1}\n[1]\n', ["line 2: no object"]),
        (b'{"a":"\xff"}\n', ["not JSON lines"]),
    ],
)
def test_json_that_is_no_object_a_line_is_named_with_its_line(content: bytes, words: list[str]) -> None:
    message = refusal(content, name="x.jsonl")

    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name,phone\nAda,088171,x\n", ["line 2: 3 fields in 10 characters"]),
        (b"name,phone\nAda 088171\n", ["line 2: 1 fields"]),
        (b"name,phone\nAda,088171 \xff\n", ["line 2: invalid start byte (byte 0xff)"]),
        (b'{"phone":"088171"}\n{"phone":"088171"\n', ["line 2: Expecting ',' delimiter at character 17 of 17"]),
        (b'{"phone":"088171"}\n"088171"\n', ["line 2: no object"]),
        (b'{"phone":"088171 \xff"}\n', ["line 1: 'utf-8' codec can't decode byte 0xff in position 17"]),
        (b'[{"phone":"1"}, "088171"]', ["element 2 is no object"]),
        (b'[{"phone":"088171"}', ["line 1 column 20"]),
        (b'{"phone":{"a":"088171"}}\n{"phone":["088171"]}\n', ["values make no table", "same kind of value"]),
    ],
)
def test_no_message_tells_what_stands_in_a_line_that_cannot_be_read(content: bytes, words: list[str]) -> None:
    """Declared or not, it may be personal; the traceback of the run log holds the reader's own error, too."""
    with pytest.raises(SourceError) as caught:
        read(content, name="calls.jsonl" if content[:1] == b"{" else "any")
    told = "".join(traceback.format_exception(caught.value))

    assert "088171" not in told
    for word in words:
        assert word in told


def test_a_file_of_another_kind_shows_no_more_than_its_first_four_bytes() -> None:
    assert "that start with b'0881'," in refusal(b"088171,Ada\n", name="x.parquet")


def test_a_tenth_declared_a_small_float_lands_alike_from_every_format() -> None:
    schema = Schema({"share": Column("float32")})
    small = pl.DataFrame({"share": pl.Series([0.1], dtype=pl.Float32)})
    contents = [
        b"share\n0.1\n",
        b'{"share":0.1}\n',
        b'[{"share":0.1}]',
        parquet(small),
        parquet(small.cast(pl.Float64)),
    ]

    for content in [*contents, parquet(pl.DataFrame({"share": [0.1]}))]:
        found = read(content)
        cast = cast_partition(found.frame, schema, where="x", is_text=found.is_text)
        assert cast.frame.equals(small)


def test_texts_of_a_megabyte_pass_in_each_format() -> None:
    long = "x" * 1_048_576 + ",\n\"'"
    table = pl.DataFrame({"a": [long, long]})
    text = table.write_csv().encode()

    for content in (parquet(table), text, table.write_ndjson().encode()):
        assert read(content).frame["a"].to_list() == [long, long]


def test_content_too_large_for_memory_lies_in_a_nameless_file_and_is_read_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "IN_MEMORY", 100)
    taken: list[int] = []

    def read_some(file: io.BufferedRandom, size: int = -1) -> bytes:
        taken.append(size)
        return io.BufferedRandom.read(file, size)

    monkeypatch.setattr(contents._Nameless, "read", read_some)

    found = read(parquet(), Files("x", row_number="row"), spool=tmp_path / "spool")

    assert -1 not in taken  # never whole

    assert isinstance(found.rows, pl.LazyFrame)
    assert found.frame.rows() == [(1, "Newark", 1), (2, None, 2)]
    assert list((tmp_path / "spool").iterdir()) == []
    assert read(gzip.compress(b"zone,name\n" + b"1,Newark\n" * 100), spool=tmp_path).frame.height == 100


def test_rows_are_numbered_from_one_under_a_name_of_their_own() -> None:
    assert read(parquet(), Files("x", row_number="row")).frame["row"].to_list() == [1, 2]
    assert "a column 'zone' of its own" in refusal(parquet(), Files("x", row_number="zone"))


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_what_is_written_as_csv_is_read_back(rows: list[tuple[str, str]]) -> None:
    table = pl.DataFrame(rows, schema=["a", "b"], orient="row")
    content = table.write_csv(quote_style="always").encode()

    found = read(content, Files("x", format=Csv(null_values=()))).frame

    assert found.equals(table)


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_a_text_that_another_sign_separates_is_one_clear_error(sign: str) -> None:
    declared = Csv(separator=";" if sign == "," else ",")
    text = 'id;place;size\n1;"a, b";2.5\n2;b;3\n'.replace(";", sign)

    problem = refusal(text.encode(), Files("x", format=declared))

    assert "one column" in problem
    assert f"Csv(separator={sign!r})" in problem


@pytest.mark.parametrize("text", ['text\n"a, b"\nc\n', "a;b\n1\n2\n", "a\n1;2\n3;4\n"])
def test_one_column_is_read_where_no_other_sign_cuts_header_and_rows(text: str) -> None:
    assert read(text.encode(), Files("x", format=Csv())).frame.width == 1


def test_an_array_of_objects_is_read_as_json_lines_are() -> None:
    lines = b'{"zone":1,"name":"Newark","at":"2024-01-01"}\n{"zone":2.5}\n'
    array = b'\n[{"zone":1,"name":"Newark","at":"2024-01-01"},\n {"zone":2.5}]'

    assert read(array).frame.equals(read(lines).frame)
    assert read(array, name="a.json").frame.equals(read(gzip.compress(array), Files("x", format=JsonLines())).frame)
    assert read(b"[]").frame.height == 0
    assert read(b"[id],[name]\n1,2\n").frame.columns == ["[id]", "[name]"]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (b'[{"a":1}, [2]]', ["no JSON array of objects", "element 2 is no object"]),
        (b'[{"a":1}, {"a":', ["no JSON array of objects", "line 1"]),
        (b"[[1, 2], [3, 4]]", ["element 1 is no object"]),
    ],
)
def test_an_array_of_something_else_is_told(array: bytes, words: list[str]) -> None:
    problem = refusal(array)

    for word in words:
        assert word in problem


def test_text_in_utf_16_says_what_to_declare() -> None:
    content = "a,b\n1,2\n".encode("utf-16")

    assert "is text in UTF-16" in refusal(content)
    assert "declare Csv(encoding='utf-16')" in refusal(content, Files("x", format=Csv(separator=";")))
    assert read(content, Files("x", format=Csv(encoding="UTF_16"))).frame.rows() == [("1", "2")]
