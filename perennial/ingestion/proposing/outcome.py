"""Outcome: whether the label that a person named can be predicted, and which of two texts is the one asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perennial.ingestion.proposing.typed import Typed


def positive_text(columns: Mapping[str, Typed], spanned: Sequence[str], hidden: Mapping[str, str]) -> str | None:
    """The rarer text of a label that holds two; None for numbers, truth values and a span between two times.

    `spanned` are the label's columns, one or two. Raises ValueError for a label that is none of these, and for a
    text that is personal, since the module would show it.
    """
    if len(spanned) > 2:
        raise ValueError(f"a label of {len(spanned)} columns; one can be predicted, or a span between two times")
    if len(spanned) == 2:
        wrong = [name for name in spanned if columns[name].kind != "datetime"]
        if wrong:
            raise ValueError(f"no time in column {wrong[0]!r}: a span lies between two times")
        return None
    (column,) = (columns[name] for name in spanned)
    if column.values.dtype.is_numeric() or column.kind == "bool":
        return None
    texts = column.values.alias("text").drop_nulls().value_counts(name="rows").sort("rows", "text")
    if column.kind != "string" or texts.height != 2 or column.name in hidden:
        found = "personal data" if column.name in hidden else "a time" if column.kind == "datetime" else "text"
        told = f"{found} of {texts.height:,} values" if found == "text" else found
        raise ValueError(
            f"no label in column {column.name!r}, which holds {told}; a number, a truth value, one of two texts, "
            "or a span between two times can be predicted"
        )
    return str(texts["text"][0])
