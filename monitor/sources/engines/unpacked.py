"""Columns of files that hold more than one value. The values in an object get columns of their own; columns that no
check can test are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from monitor.sources.records.columns import object_in

# Values of a column that are looked at.
PEEKED = 1_000
_MOST_NUMBERS = 100
_MOST_COLUMNS = 2_000
# The share of the texts of a column that must be objects.
_ENOUGH = 0.95
# Types that no check can test, with their description for people.
_LEFT_OUT = {
    "blob": "binary",
    "bit": "bits",
    "map": "a map",
    "union": "values of different types",
    "interval": "a span of time",
    "list": "a list",
    "array": "a list",
    "struct": "an object within an object, which `columns.open` opens",
    "variant": "values of different types",
    "geometry": "a shape",
}
_NUMBERS = (
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
    "float",
    "double",
    "decimal",
)


@dataclass(frozen=True)
class UnpackedColumns:
    """How a table's columns are read: SQL by name; and the columns that are left out, with what they hold."""

    columns: dict[str, str]
    left_out: dict[str, str]


def unpacked(
    types: Mapping[str, Any], texts: Collection[str], peek: Callable[[str], Sequence[Any]], wanted: Sequence[str]
) -> UnpackedColumns:
    """The columns of a table. types: DuckDB's, by name. texts: columns of text that may hold objects. peek: the first
    values of a column. wanted: objects within objects that are opened, too.
    """
    columns: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, kind in types.items():
        parts = (
            _of_text(name, quoted_name(name), peek(quoted_name(name)))
            if name in texts
            else _parts(name, quoted_name(name), kind, peek, wanted, 0)
        )
        for part in parts:
            if part.left_out is not None or len(columns) >= _MOST_COLUMNS:
                left_out[part.name] = part.left_out or "one of too many columns"
            elif part.name not in columns:
                columns[part.name] = part.sql
    return UnpackedColumns(columns, left_out)


class _Part(NamedTuple):
    """A column that a value gives. left_out: what it holds, if it is left out."""

    name: str
    sql: str
    left_out: str | None = None


def _parts(
    name: str, sql: str, kind: Any, peek: Callable[[str], Sequence[Any]], wanted: Sequence[str], depth: int
) -> Iterator[_Part]:
    """The columns that a value gives."""
    if kind.id == "struct" and (depth == 0 or name in wanted):
        for key, inner in kind.children:
            yield from _parts(f"{name}.{key}", f"struct_extract({sql}, {_text(key)})", inner, peek, wanted, depth + 1)
    elif kind.id in ("list", "array") and dict(kind.children).get("child", kind).id in _NUMBERS:
        lengths = {len(value) for value in peek(sql) if value is not None}
        if len(lengths) == 1 and 1 < (length := lengths.pop()) <= _MOST_NUMBERS:
            yield from (_Part(f"{name}.{place}", f"({sql})[{place + 1}]") for place in range(length))
        else:
            yield _Part(name, sql, "a list")
    elif kind.id in _LEFT_OUT:
        yield _Part(name, sql, _LEFT_OUT[kind.id])
    elif kind.id == "decimal" and dict(kind.children)["scale"]:
        yield _Part(name, f"CAST({sql} AS DOUBLE)")
    elif kind.id == "null":  # a column that holds nothing, as one of text files does
        yield _Part(name, "CAST(NULL AS VARCHAR)")
    elif str(kind) == "TIMESTAMPTZ_NS":  # which ibis does not know
        yield _Part(name, f"CAST({sql} AS TIMESTAMPTZ)")
    else:
        yield _Part(name, sql)


def _of_text(name: str, sql: str, values: Sequence[Any]) -> Iterator[_Part]:
    """A column of text, or those of the objects of JSON that it holds."""
    present = [value for value in values if value]
    objects = [content for value in present if value[:1] == "{" and isinstance(content := object_in(value), dict)]
    if not objects or len(objects) < _ENOUGH * len(present):
        yield _Part(name, sql)
        return
    for key in dict.fromkeys(key for content in objects for key in content):
        kinds = {type(content[key]) for content in objects if content.get(key) is not None}
        target = _sql_type(kinds)
        json_path = _text('$."{}"'.format(key.replace('"', '\\"')))
        expression = (
            f"CASE WHEN json_valid({sql}) THEN TRY_CAST(json_extract_string({sql}, {json_path}) AS {target}) END"
        )
        yield _Part(f"{name}.{key}", expression)


def _sql_type(kinds: set[type]) -> str:
    """The type that holds values of these kinds of JSON."""
    if kinds == {bool}:
        return "BOOLEAN"
    if kinds == {int}:
        return "BIGINT"
    return "DOUBLE" if kinds <= {int, float} else "VARCHAR"


def _text(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


def quoted_name(name: str) -> str:
    """The name of a column or table as DuckDB's SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))
