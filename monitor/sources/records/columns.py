"""The types of a source's columns. They are decided once, from the first records, and then kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import duckdb
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from monitor.sources.spec import ReadSpec


class ColumnKind(StrEnum):
    """What a column holds. zoned: times with a zone."""

    BOOLEAN = "boolean"
    WHOLE = "whole"
    NUMBER = "number"
    TIME = "time"
    ZONED = "zoned"
    DATE = "date"
    TEXT = "text"


@dataclass(frozen=True)
class Decision:
    """How a column is read. form: of times that are not written by ISO 8601."""

    kind: ColumnKind
    form: str = ""


# Words for a value that is missing, in columns that hold no text otherwise.
ABSENT = ("", "na", "n/a", "nan", "null", "none", "?", "-")
# A column is of a type if this share of its values is; the others are bad values. Booleans in CSV files need all
# values.
_ENOUGH = 0.95
_MOST_DIGITS = 9007199254740992  # beyond it floats lose digits
_MOST_COLUMNS = 2_000
_DECIDED_BY = 50_000
_WHOLE = r"^[+-]?(0|[1-9]\d{0,17})$"
_NUMBER = r"^[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?$|^[+-]?(inf|Infinity)$"
_DAY, _CLOCK, _ZONE = r"\d{4}-\d\d-\d\d", r"[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?", r" ?(Z|[+-]\d\d(:?\d\d)?)"
_ISO = {
    ColumnKind.DATE: f"^{_DAY}$",
    ColumnKind.TIME: f"^{_DAY}({_CLOCK})?$",
    ColumnKind.ZONED: f"^{_DAY}{_CLOCK}{_ZONE}$",
}
_SECONDS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# Numbers of seconds between the years 2000 and 2040.
FIRST_S, LAST_S = 946_684_800, 2_208_988_800
_TYPES = {
    ColumnKind.BOOLEAN: pa.bool_(),
    ColumnKind.WHOLE: pa.int64(),
    ColumnKind.NUMBER: pa.float64(),
    ColumnKind.TIME: pa.timestamp("us"),
    ColumnKind.ZONED: pa.timestamp("us", "UTC"),
    ColumnKind.DATE: pa.date32(),
    ColumnKind.TEXT: pa.string(),
}


@dataclass(frozen=True)
class TypedColumn:
    """A column of its decided type. values: of shape (rows,), null where a value is missing or cannot be read; unfit:
    the rows whose value cannot be read.
    """

    values: pa.Array
    unfit: np.ndarray


def decide(values: pa.Array | list[Any], read: ReadSpec, name: str = "") -> Decision | None:
    """How a column is read, decided from its present values; None if there are none. values: text of a CSV file, or
    values of JSON.
    """
    if name in read.text:
        return Decision(ColumnKind.TEXT)
    values = values[:_DECIDED_BY]
    if isinstance(values, list):
        present = [value for value in values if value is not None]
        if not present:
            return None
        return _json_decision(present, read)
    text = _stripped(values)
    present = text.filter(pc.invert(pc.fill_null(_is_absent(text, read), True)))
    if not len(present):
        return None if not len(_present(values, read)) else Decision(ColumnKind.TEXT)
    decision = _time_decision(present, read)
    if decision is not None:
        return decision
    share = {
        kind: _share(_fits_number(_undressed(present, read), kind)) for kind in (ColumnKind.WHOLE, ColumnKind.NUMBER)
    }
    if _share(_fits_boolean(present)) == 1:
        return Decision(ColumnKind.BOOLEAN)
    if share[ColumnKind.NUMBER] < _ENOUGH:
        return Decision(ColumnKind.TEXT)
    return Decision(ColumnKind.WHOLE if share[ColumnKind.WHOLE] == share[ColumnKind.NUMBER] else ColumnKind.NUMBER)


def typed(values: pa.Array | list[Any], decision: Decision, read: ReadSpec) -> TypedColumn:
    """A column of its decided type; whole numbers with other numbers among them become numbers."""
    if isinstance(values, list):
        return _typed_values(values, decision, read)
    if decision.kind == ColumnKind.TEXT:
        absent = _is_in(values, ("", *read.na))
        return TypedColumn(pc.if_else(absent, None, values), np.zeros(0, np.int64))
    plain = _plainly(values, decision, read)
    if plain is not None:
        return TypedColumn(plain, np.zeros(0, np.int64))
    text = _stripped(values)
    is_present = pc.invert(pc.fill_null(_is_absent(text, read), True))
    text = pc.if_else(is_present, text, None)
    if decision.kind == ColumnKind.BOOLEAN:
        lower = pc.utf8_lower(text)
        return _with_unfit(pc.if_else(_fits_boolean(text), pc.equal(lower, "true"), None), text)
    if decision.kind in (ColumnKind.WHOLE, ColumnKind.NUMBER):
        return _numbers(_undressed(text, read), decision.kind)
    return _with_unfit(_times(text, decision), text)


def _plainly(values: pa.Array, decision: Decision, read: ReadSpec) -> pa.Array | None:
    """Values that are all written plainly, converted at once; None if one is not."""
    if decision.kind == ColumnKind.BOOLEAN or decision.form or read.na or read.decimal or read.thousands:
        return None
    try:
        column = pc.cast(pc.if_else(pc.equal(values, ""), None, values), _TYPES[decision.kind])
    except pa.ArrowInvalid:
        return None
    has_zeros = (
        decision.kind in (ColumnKind.WHOLE, ColumnKind.NUMBER)
        and pc.any(pc.match_substring_regex(values, r"^[+-]?0\d")).as_py()
    )
    return None if has_zeros else _combined(column)


def json_text(value: Any) -> str:
    """A value of JSON as text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def opened(
    records: Sequence[dict[str, Any]], names: dict[str, None], wanted: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """The values of records by column, of shape (records,). What lies in an object, or in text that is one, has a
    column of its own: `inputs.amount`; numbers in a list of always the same length as `scores.0`, …. names: the columns
    that are known, to which new ones are added; beyond 2,000 none is. wanted: objects within objects that are opened,
    too.
    """
    columns: dict[str, list[Any]] = {}
    for name, values in _by_name(records).items():
        for inner, column in _inside(name, values, wanted).items():
            if inner in names or len(names) < _MOST_COLUMNS:
                names[inner] = None
                columns[inner] = column
    return columns


def _by_name(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    keys: dict[str, None] = {}
    last: Any = None
    for record in records:
        if record.keys() != last:
            last = record.keys()
            keys |= dict.fromkeys(record)
    return {name: [record.get(name) for record in records] for name in keys}


def _inside(name: str, values: list[Any], wanted: Sequence[str]) -> dict[str, list[Any]]:
    """A column, or the columns of the values in its objects and lists."""
    kinds = set(map(type, values))
    if str in kinds and any(isinstance(value, str) and value[:1] == "{" and value[-1:] == "}" for value in values):
        values = [object_in(value) if isinstance(value, str) and value[:1] == "{" else value for value in values]
        kinds = set(map(type, values))
    if dict not in kinds and list not in kinds:
        return {name: values}
    columns: dict[str, list[Any]] = {}
    for place, value in enumerate(values):
        for inner, inner_value in _parts(name, value, wanted):
            column = columns.setdefault(inner, [])
            column.extend([None] * (place - len(column)))
            column.append(inner_value)
    for column in columns.values():
        column.extend([None] * (len(values) - len(column)))
    if name in columns and len(columns) > 1 and all(value is None for value in columns[name]):
        del columns[name]
    return columns


def _parts(name: str, value: Any, wanted: Sequence[str], depth: int = 0) -> Iterable[tuple[str, Any]]:
    """A value by column: the values of an object, and the numbers of a list in it or in place of it."""
    if depth and name in wanted and isinstance(value, str):
        value = object_in(value)
    if isinstance(value, dict) and value and (depth == 0 or name in wanted):
        return [part for key, inner in value.items() for part in _parts(f"{name}.{key}", inner, wanted, depth + 1)]
    return _numbers_in(name, value)


def _numbers_in(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, list) and 1 < len(value) <= 100 and all(map(_is_number, value)):
        return [(f"{name}.{position}", number) for position, number in enumerate(value)]
    return [(name, value)]


def object_in(text: str) -> Any:
    """The value of a text of JSON; the text itself where it is no JSON."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _time_decision(present: pa.Array, read: ReadSpec) -> Decision | None:
    """How present texts are read as times; None if they are no times."""
    for form in read.date_format:
        if _share(pc.is_valid(_parsed(present, form))) >= _ENOUGH:
            return Decision(ColumnKind.ZONED if form in _SECONDS or "%z" in form else ColumnKind.TIME, form)
    for kind, form in _ISO.items():
        if _share(pc.match_substring_regex(present, form)) >= _ENOUGH:
            return Decision(kind)
    return None


def _json_decision(present: list[Any], read: ReadSpec) -> Decision:
    texts = [value for value in present if isinstance(value, str)]
    numbers = [value for value in present if _is_number(value)]
    if len(numbers) >= _ENOUGH * len(present):
        for form in read.date_format:
            parsed = _epoch(pa.array(map(float, numbers)), form) if form in _SECONDS else None
            if parsed is not None and _share(pc.is_valid(parsed)) >= _ENOUGH:
                return Decision(ColumnKind.ZONED, form)
        if any(isinstance(value, float) for value in numbers):
            return Decision(ColumnKind.NUMBER)
        return Decision(ColumnKind.WHOLE if all(-(2**63) <= value < 2**63 for value in numbers) else ColumnKind.TEXT)
    if sum(isinstance(value, bool) for value in present) >= _ENOUGH * len(present):
        return Decision(ColumnKind.BOOLEAN)
    if len(texts) >= _ENOUGH * len(present):
        return _time_decision(_stripped(pa.array(texts, pa.string())), read) or Decision(ColumnKind.TEXT)
    return Decision(ColumnKind.TEXT)


def _typed_values(values: list[Any], decision: Decision, read: ReadSpec) -> TypedColumn:
    kind = decision.kind
    plain = _plain_values(values, kind) if not decision.form else None
    if plain is not None:
        return TypedColumn(plain, np.zeros(0, np.int64))
    if kind == ColumnKind.TEXT:
        return TypedColumn(
            pa.array([None if value is None else json_text(value) for value in values], pa.string()),
            np.zeros(0, np.int64),
        )
    if kind in (ColumnKind.TIME, ColumnKind.ZONED, ColumnKind.DATE):
        if decision.form in _SECONDS:
            numbers = pa.array(
                [float(value) if _is_number(value) else _number_in(value) for value in values], pa.float64()
            )
            return _with_unfit(
                _epoch(numbers, decision.form), pa.array([None if value is None else "" for value in values])
            )
        text = pa.array([None if value is None else json_text(value) for value in values], pa.string())
        return typed(text, decision, read)
    fits: Callable[[Any], bool] = (lambda value: isinstance(value, bool)) if kind == ColumnKind.BOOLEAN else _is_number
    absent = {*ABSENT, *read.na}
    unfit = [
        place
        for place, value in enumerate(values)
        if value is not None and not fits(value) and not (isinstance(value, str) and value.strip().lower() in absent)
    ]
    fitting = [value if fits(value) else None for value in values]
    if kind == ColumnKind.WHOLE:
        if all(value is None or (isinstance(value, int) and -(2**63) <= value < 2**63) for value in fitting):
            return TypedColumn(pa.array(fitting, pa.int64()), np.array(unfit, np.int64))
        kind = ColumnKind.NUMBER
    if kind == ColumnKind.NUMBER:
        fitting = [None if value is None else float(value) for value in fitting]
    return TypedColumn(pa.array(fitting, _TYPES[kind]), np.array(unfit, np.int64))


_PYTHON_TYPES: dict[ColumnKind, set[type]] = {
    ColumnKind.BOOLEAN: {bool},
    ColumnKind.WHOLE: {int},
    ColumnKind.NUMBER: {int, float},
    ColumnKind.TEXT: {str},
}


def _plain_values(values: list[Any], kind: ColumnKind) -> pa.Array | None:
    """Values that are all of the kind, converted at once; None if one is not."""
    if not set(map(type, values)) - {type(None)} <= _PYTHON_TYPES.get(kind, set()):
        return None
    try:
        return pa.array(values, _TYPES[kind])
    except (pa.ArrowException, OverflowError):
        return None


def _number_in(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _stripped(values: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(values)


def _present(values: pa.Array, read: ReadSpec) -> pa.Array:
    return values.filter(pc.invert(pc.fill_null(_is_in(values, ("", *read.na)), True)))


def _is_in(values: pa.Array, words: Sequence[str]) -> pa.Array:
    return pc.is_in(values, value_set=pa.array(words, pa.string()))


def _is_absent(text: pa.Array, read: ReadSpec) -> pa.Array:
    """Which values are missing by their words; null stays null."""
    words = [*ABSENT, *(word.lower() for word in read.na)]
    return pc.if_else(pc.is_valid(text), _is_in(pc.utf8_lower(text), words), None)


def _share(fits: pa.Array) -> float:
    """The share of values that are true; of no values 0."""
    return float(pc.mean(pc.cast(pc.fill_null(fits, False), pa.int8())).as_py() or 0.0)


def _fits_boolean(text: pa.Array) -> pa.Array:
    return pc.fill_null(_is_in(pc.utf8_lower(text), ("true", "false")), False)


def _undressed(text: pa.Array, read: ReadSpec) -> pa.Array:
    """Numbers without currency, per cent and thousands separators, with a decimal point."""
    text = pc.replace_substring_regex(text, r"^([+-]?)[$€£]\s*", r"\1")
    text = pc.replace_substring_regex(text, r"\s*[%€$£]$", "")
    if read.thousands:
        separator = re.escape(read.thousands)
        grouped = pc.match_substring_regex(text, rf"^[+-]?\d{{1,3}}({separator}\d{{3}})+([^\d]\d*)?$")
        text = pc.if_else(grouped, pc.replace_substring(text, read.thousands, ""), text)
    if read.decimal and read.decimal != ".":
        text = pc.if_else(pc.match_substring(text, "."), text, pc.replace_substring(text, read.decimal, "."))
    return text


def _fits_number(text: pa.Array, kind: ColumnKind) -> pa.Array:
    return pc.match_substring_regex(text, _WHOLE if kind == ColumnKind.WHOLE else _NUMBER)


def _numbers(text: pa.Array, kind: ColumnKind) -> TypedColumn:
    fits = pc.fill_null(_fits_number(text, ColumnKind.NUMBER), False)
    is_whole = pc.fill_null(_fits_number(text, ColumnKind.WHOLE), False)
    target = (
        pa.int64()
        if kind == ColumnKind.WHOLE and pc.all(pc.equal(fits, is_whole)).as_py() is not False
        else pa.float64()
    )
    return _with_unfit(pc.cast(pc.if_else(fits, text, None), target), text)


def _times(text: pa.Array, decision: Decision) -> pa.Array:
    if decision.form:
        return _parsed(text, decision.form)
    fits = pc.fill_null(pc.match_substring_regex(text, _ISO[decision.kind]), False)
    text = pc.if_else(fits, text, None)
    target = _TYPES[decision.kind]
    if decision.kind != ColumnKind.DATE:
        text = pc.replace_substring_regex(text, r"(:\d\d)[.,](\d{1,6})\d*", r"\1.\2")
        text = pc.replace_substring(text, " Z", "Z")
        text = pc.replace_substring_regex(text, r"(\d) ([+-])", r"\1\2")
    try:
        return pc.cast(text, target)
    except pa.ArrowInvalid:  # a day that does not exist, such as 30 February
        moments = pd.to_datetime(
            pd.Series(text.to_pylist(), dtype=object),
            format="ISO8601",
            errors="coerce",
            utc=decision.kind == ColumnKind.ZONED,
        )
        return pc.cast(
            pa.array(
                moments.astype("datetime64[us, UTC]" if decision.kind == ColumnKind.ZONED else "datetime64[us]"),
                from_pandas=True,
            ),
            target,
        )


def _parsed(text: pa.Array, form: str) -> pa.Array:
    """Text read by a format; null where it does not fit."""
    if form in _SECONDS:
        fits = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        return _epoch(pc.cast(pc.if_else(fits, text, None), pa.float64()), form)
    with duckdb.connect() as connection:
        connection.register("column", pa.table({"text": text}))
        connection.execute("SET TimeZone = 'UTC'")
        target = "TIMESTAMPTZ" if "%z" in form else "TIMESTAMP"
        statement = f'SELECT CAST(try_strptime(text, $form) AS {target}) AS moment FROM "column"'  # noqa: S608 - one of two words
        result = connection.sql(statement, params={"form": form}).to_arrow_table()
    return pc.cast(
        result.column("moment").combine_chunks(), _TYPES[ColumnKind.ZONED if "%z" in form else ColumnKind.TIME]
    )


def _epoch(numbers: pa.Array, form: str) -> pa.Array:
    """Numbers since 1970 as times; null where that is not between 2000 and 2040."""
    scale = _SECONDS[form]
    values = numbers.to_numpy(zero_copy_only=False)
    inside = (values >= FIRST_S * scale) & (values <= LAST_S * scale)
    micro = np.where(inside, np.round(np.where(inside, values, 0) / scale * 1e6), 0).astype("int64")
    return pa.array(micro, pa.int64(), mask=~inside).cast(pa.timestamp("us", "UTC"))


def _with_unfit(values: pa.Array, text: pa.Array) -> TypedColumn:
    """Values with the rows whose text could not be read."""
    unfit = pc.and_(pc.is_valid(text), pc.is_null(values))
    return TypedColumn(_combined(values), np.flatnonzero(_combined(unfit).to_numpy(zero_copy_only=False)))


def _combined(values: Any) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
