"""Columns of files that hold more than one value: what lies in an object has a column of its own, what nobody can test
is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.sources.records.columns import object_in

# Values of a column that are looked at.
PEEKED = 1_000
_MOST_NUMBERS = 100
_MOST_COLUMNS = 2_000
# Of text that is there so much must be an object.
_ENOUGH = 0.95
# What nobody can test, and what it is for people.
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
    """How a table's columns are read: SQL by the name of each; and what is left out, with what it is."""

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
        found = (
            _of_text(name, quoted_name(name), peek(quoted_name(name)))
            if name in texts
            else _parts(name, quoted_name(name), kind, peek, wanted, 0)
        )
        for inner, sql, what in found:
            if what is not None or len(columns) >= _MOST_COLUMNS:
                left_out[inner] = what or "one of too many columns"
            elif inner not in columns:
                columns[inner] = sql
    return UnpackedColumns(columns, left_out)


_Part = tuple[str, str, str | None]


def _parts(
    name: str, sql: str, kind: Any, peek: Callable[[str], Sequence[Any]], wanted: Sequence[str], depth: int
) -> Iterator[_Part]:
    """The columns that a value gives: name, SQL and, where it is left out, what it is."""
    if kind.id == "struct" and (depth == 0 or name in wanted):
        for key, inner in kind.children:
            yield from _parts(f"{name}.{key}", f"struct_extract({sql}, {_text(key)})", inner, peek, wanted, depth + 1)
    elif kind.id in ("list", "array") and dict(kind.children).get("child", kind).id in _NUMBERS:
        lengths = {len(each) for each in peek(sql) if each is not None}
        if len(lengths) == 1 and 1 < (length := lengths.pop()) <= _MOST_NUMBERS:
            yield from ((f"{name}.{place}", f"({sql})[{place + 1}]", None) for place in range(length))
        else:
            yield name, sql, "a list"
    elif kind.id in _LEFT_OUT:
        yield name, sql, _LEFT_OUT[kind.id]
    elif kind.id == "decimal" and dict(kind.children)["scale"]:
        yield name, f"CAST({sql} AS DOUBLE)", None
    elif kind.id == "null":  # a column that holds nothing, as one of text files does
        yield name, "CAST(NULL AS VARCHAR)", None
    elif str(kind) == "TIMESTAMPTZ_NS":  # which ibis does not know
        yield name, f"CAST({sql} AS TIMESTAMPTZ)", None
    else:
        yield name, sql, None


def _of_text(name: str, sql: str, values: Sequence[Any]) -> Iterator[_Part]:
    """A column of text, or those of the objects of JSON that it holds."""
    there = [value for value in values if value]
    objects = [found for value in there if value[:1] == "{" and isinstance(found := object_in(value), dict)]
    if not objects or len(objects) < _ENOUGH * len(there):
        yield name, sql, None
        return
    for key in dict.fromkeys(key for each in objects for key in each):
        kinds = {type(each[key]) for each in objects if each.get(key) is not None}
        target = (
            "BOOLEAN"
            if kinds == {bool}
            else "BIGINT"
            if kinds == {int}
            else "DOUBLE"
            if kinds <= {int, float}
            else "VARCHAR"
        )
        where = _text('$."{}"'.format(key.replace('"', '\\"')))
        found = f"CASE WHEN json_valid({sql}) THEN TRY_CAST(json_extract_string({sql}, {where}) AS {target}) END"
        yield f"{name}.{key}", found, None


def _text(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


def quoted_name(name: str) -> str:
    """The name of a column or table as DuckDB's SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))
