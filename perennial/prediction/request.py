"""Request: the instances of a prediction request, checked against a bundle's schema, field by field.

Nothing is repaired and nothing is dropped: an instance fits exactly or is refused with the name of the
field. A datetime with an offset is turned into wall-clock time of the pipeline's timezone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from perennial.bundle.bundle import RequestColumn, RequestSchema
from perennial.errors import RequestError
from perennial.schema import POLARS_TYPES, Kind

LARGEST_FLOAT32 = 3.4028234663852886e38
EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - wall-clock time
"""No event lies outside; far from the ends, so that every timezone can represent it."""

_TYPES: dict[Kind, Any] = {
    "string": str,
    "bool": bool,
    "int32": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    "int64": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "float32": Annotated[float, msgspec.Meta(ge=-LARGEST_FLOAT32, le=LARGEST_FLOAT32)],
    "float64": float,
    "datetime": datetime,
}
_EXPECTED: dict[Kind, str] = {
    "string": "a text",
    "bool": "true or false",
    "int32": "an integer of 32 bits",
    "int64": "an integer of 64 bits",
    "float32": "a finite number of 32 bits",
    "float64": "a finite number",
    "datetime": "a time such as 2024-02-29T13:05:00, of the years 1900 to 2199",
}

Row = msgspec.Struct
"""A checked instance: its fields in the order of the schema, in their declared types."""


class BodyError(RequestError):
    """The body of a request is not JSON, or JSON of another shape."""


class FieldError(RequestError):
    """A field of one instance, or of one outcome, does not fit; `index` and `field` say which."""

    def __init__(
        self, what: str, *, index: int, field: str | None, found: str, expected: str, of: str = "instances"
    ) -> None:
        self.index = index
        self.field = field
        super().__init__(what, where=f"{of}[{index}]", found=found, expected=expected)


class RequestReader:
    """Reads the requests of one bundle: JSON to checked rows, checked rows to a frame."""

    def __init__(self, schema: RequestSchema, *, of: str = "instances") -> None:
        self.schema = schema
        self._of = of
        required = {column.name: column for column in (*schema.columns, *schema.optional)}
        self._fields = required | {lookup.name: lookup.field for lookup in schema.lookups}
        self._first_lookup = len(required)
        self._lookups = {lookup.name for lookup in schema.lookups}
        self._types = {name: _type(column) for name, column in self._fields.items()}
        self._row = self._row_type()
        self._body: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("Request", [(of, _list_of(self._row))], forbid_unknown_fields=True)
        )
        self._times = [f"f{i}" for i, column in enumerate(self._fields.values()) if column.kind == "datetime"]
        self._event_time = f"f{list(self._fields).index(schema.event_time)}"
        self._polars = {name: POLARS_TYPES[column.kind] for name, column in self._fields.items()}
        self._zone = ZoneInfo(schema.timezone)

    def decode(self, body: bytes) -> list[Row]:
        """The checked instances of the JSON text `{"instances": [...]}`, or of the list that `of` names.

        Raises BodyError for broken JSON or another shape, FieldError for an instance that does not fit.
        """
        try:
            rows: list[Row] = getattr(self._body.decode(body), self._of)
            for row in rows:
                self._settle(row)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            return self.check(list_in(body, self._of))  # the slow way, for an answer that names the field
        return list(rows)

    def check(self, instances: Sequence[Any]) -> list[Row]:
        """The checked form of `instances`; raises FieldError for the first that does not fit."""
        return [self._check(index, instance) for index, instance in enumerate(instances)]

    def frame(self, rows: Iterable[Row], looked_up: Iterable[Sequence[float | None]] | None = None) -> pl.DataFrame:
        """Checked rows in the declared types, the columns that every instance carries and the lookups.

        `looked_up` holds the lookups of each row; without it, those that a row lacks have their defaults.
        """
        values = list(map(msgspec.structs.astuple, rows))
        if self.schema.lookups:
            first = self._first_lookup
            found = looked_up if looked_up is not None else (self._or_defaults(row[first:]) for row in values)
            values = [(*row[:first], *one) for row, one in zip(values, found, strict=True)]
        frame = pl.DataFrame(values, schema=self._polars, orient="row")  # 3 times as fast as column by column
        return frame.select(self.schema.polars.names()) if self.schema.optional else frame

    def carried(self, row: Row) -> tuple[Any, ...]:
        """The lookups of a row in the order of the schema, UNSET where the row does not carry one."""
        return msgspec.structs.astuple(row)[self._first_lookup :]

    def event_time(self, row: Row) -> datetime:
        """When the instance happened, in UTC."""
        local: datetime = getattr(row, self._event_time)
        return local.replace(tzinfo=self._zone).astimezone(UTC)

    def _row_type(self) -> type[Row]:
        """A struct with a field a column: f0, f1, …, since a column's name need not be an identifier."""
        required = len(self.schema.columns)
        fields: list[Any] = [
            (f"f{i}", wanted) if i < required else (f"f{i}", wanted | None, None)
            for i, wanted in enumerate(list(self._types.values())[: self._first_lookup])
        ]
        for i, wanted in list(enumerate(self._types.values()))[self._first_lookup :]:
            fields.append((f"f{i}", wanted | None | msgspec.UnsetType, msgspec.UNSET))
        names = {f"f{i}": name for i, name in enumerate(self._types)}
        return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, omit_defaults=True, gc=False)

    def _settle(self, row: Row) -> None:
        for name in self._times:
            value = getattr(row, name)
            if value is not None:
                setattr(row, name, self._wall_clock(value))

    def _wall_clock(self, value: datetime) -> datetime:
        """`value` on the pipeline's own clock; raises ValueError or OverflowError for a far-off time."""
        if value.tzinfo is not None:
            value = value.astimezone(self._zone).replace(tzinfo=None)
        if not EARLIEST <= value < LATEST:
            raise ValueError(value)
        return value

    def _check(self, index: int, instance: Any) -> Row:
        if not isinstance(instance, Mapping):
            self._refuse(index, None, "it is not an object", instance, "an object with a value a field")
        known = ", ".join(self._fields)
        for name in instance:
            if name not in self._fields:
                self._refuse(index, str(name), f"field {name!r} is not known", instance[name], f"only {known}")
        for column in self.schema.columns:
            if column.name not in instance:
                found = f"fields {', '.join(map(str, instance)) or 'none'}"
                raise FieldError(
                    f"field {column.name!r} is missing",
                    index=index, field=column.name, found=found[:200], expected=_expected(column), of=self._of,
                )  # fmt: skip
        return self._row(*(self._value_of(index, name, instance) for name in self._fields))

    def _value_of(self, index: int, name: str, instance: Mapping[str, Any]) -> Any:
        if name not in instance and name in self._lookups:
            return msgspec.UNSET
        return self._value(index, self._fields[name], instance.get(name))

    def _or_defaults(self, carried: Sequence[Any]) -> tuple[float | None, ...]:
        pairs = zip(carried, self.schema.lookups, strict=True)
        return tuple(lookup.default if value is msgspec.UNSET else value for value, lookup in pairs)

    def _value(self, index: int, column: RequestColumn, value: Any) -> Any:
        optional = column in self.schema.optional
        if value is None and (column.nullable or optional):
            return None
        try:
            return self._exact(value, column)
        except (msgspec.MsgspecError, ValueError, OverflowError):
            what = f"field {column.name!r} " + ("is null" if value is None else "does not fit")
            self._refuse(index, column.name, what, value, _expected(column))

    def _exact(self, value: Any, column: RequestColumn) -> Any:
        checked = msgspec.convert(value, self._types[column.name])
        if isinstance(checked, str):
            checked.encode()  # half a surrogate pair is no text
        if isinstance(checked, float) and not math.isfinite(checked):
            raise ValueError(checked)
        return self._wall_clock(checked) if isinstance(checked, datetime) else checked

    def _refuse(self, index: int, field: str | None, what: str, value: Any, expected: str) -> NoReturn:
        raise FieldError(what, index=index, field=field, found=_short(value), expected=expected, of=self._of)


def list_in(body: bytes, name: str) -> list[Any]:
    """The list in the JSON text `{name: [...]}`, unchecked, with NaN and infinities as numbers.

    Raises BodyError for any other text.
    """
    shape = f'{{"{name}": [{{...}}]}}'
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyError("the body is not JSON", where="request", found=str(error)[:200], expected=shape) from error
    if not isinstance(content, dict) or not isinstance(content.get(name), list) or len(content) > 1:
        raise BodyError("the body has another shape", where="request", found=_short(content), expected=shape)
    return list(content[name])


def _list_of(row: type[Row]) -> Any:
    return list[row]  # type: ignore[valid-type]


def _type(column: RequestColumn) -> Any:
    wanted = _TYPES[column.kind]
    return wanted | None if column.nullable else wanted


def _expected(column: RequestColumn) -> str:
    text = _EXPECTED[column.kind] + (f" ({column.unit})" if column.unit else "")
    return text + " or null" if column.nullable else text


def _short(value: Any) -> str:
    """A found value as JSON would say it, at most 60 characters, harmless to print and to encode."""
    text = value.isoformat() if isinstance(value, datetime) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
