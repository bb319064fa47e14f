"""Rows from the body of a request. Its sender is not trusted: how much the rows would take is looked at before anything
is unpacked.
"""

from __future__ import annotations

import io
import json
import struct
from typing import Any, Literal

import pyarrow as pa

from monitor.domain.text import first_line, quoted
from monitor.errors import DataError
from monitor.sources.ingest_types import decoded_bytes, kept_type

Form = Literal["json", "ndjson", "arrow"]
MOST_ROWS = 1_000_000
# No model has so many inputs: names beyond it are looked at no further.
MOST_COLUMNS = 10_000
# An empty list or object takes three bytes of JSON and twenty times that in memory.
_MOST_JSON_PARTS = 2 * MOST_ROWS
_CELL_BYTES = 8
_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH = 1, 2, 3  # kinds of messages


def parse(body: bytes, form: Form, most_bytes: int) -> pa.Table:
    """Rows from JSON (a list of objects, or `{"rows": [...]}`), JSON lines, or an Arrow stream.

    most_bytes: what the rows may take in memory, their encodings undone. Raises DataError.
    """
    try:
        if form == "arrow":
            return _from_arrow(body, most_bytes)
        rows = _json_rows(body, form)
    except (ValueError, OSError, RecursionError, pa.ArrowException) as error:
        raise DataError(f"the body is not {form}: {first_line(error)}") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError('the body must be a list of rows, each an object: [{"id": "1", …}, …]')
    _check_row_count(len(rows))
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_column_count(len(names))
    if len(names) * len(rows) * _CELL_BYTES > most_bytes:
        raise _too_large(most_bytes)
    return pa.Table.from_arrays([json_column(name, [row.get(name) for row in rows]) for name in names], names=names)


def _json_rows(body: bytes, form: Form) -> Any:
    if body.count(b"{") + body.count(b"[") > _MOST_JSON_PARTS:
        raise DataError(f"too many rows in one request: send at most {MOST_ROWS}")
    if form == "ndjson":
        return [json.loads(line) for line in io.BytesIO(body) if line.strip()]
    content: Any = json.loads(body)
    return content.get("rows") if isinstance(content, dict) else content


def json_column(name: str, values: list[Any]) -> pa.Array:
    """The values of a column. Objects are refused before Arrow looks at them: a table of every key by every row is what
    it would make.
    """
    if any(isinstance(value, list | dict) for value in values):
        raise DataError(f"{quoted(name)} holds lists or objects: send one value a column")
    try:
        name.encode()
        return pa.array(values)
    except UnicodeError:
        raise DataError(
            f"{quoted(name)}: the name or a text of it is no Unicode: it holds half of a surrogate pair"
        ) from None
    except OverflowError:
        raise DataError(f"{quoted(name)} holds a whole number of more than 64 bits") from None
    except pa.ArrowException as error:
        raise DataError(f"column {quoted(name)} holds values of several types: {first_line(error)}") from None


def _check_row_count(rows: int) -> None:
    if rows > MOST_ROWS:
        raise DataError(f"{rows} rows in one request: send at most {MOST_ROWS}")


def _check_column_count(columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise DataError(f"{columns} columns in one request: send at most {MOST_COLUMNS}")


def _too_large(most_bytes: int) -> DataError:
    return DataError(
        f"the rows take more than {most_bytes // 2**20} MB in memory, their encodings undone: send fewer in one request"
        " (web.decoded_limit_mb)"
    )


def _from_arrow(body: bytes, most_bytes: int) -> pa.Table:
    """An Arrow stream: batch by batch every offset and index is looked at, and what the batch would take, before it is
    used.
    """
    for message in pa.ipc.MessageReader.open_stream(body):
        _check_message(message.metadata.to_pybytes())
    batches, rows, size = [], 0, 0
    with pa.ipc.open_stream(body) as reader:
        _check_column_count(len(reader.schema))
        for field in reader.schema:
            kept_type(field.name, field.type)
        for batch in reader:
            rows += batch.num_rows
            _check_row_count(rows)
            batch.validate()
            size += decoded_bytes(batch)
            if size > most_bytes:
                raise _too_large(most_bytes)
            batch.validate(full=True)  # after that: it looks through every text, also where a thousand are one
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def _check_message(metadata: bytes) -> None:
    """Raises DataError for encodings that Arrow undoes while reading, before their decoded size is known: compression,
    another byte order, dictionaries that are added to.

    (Arrow's Message.fbs and Schema.fbs, flatbuffers: `RecordBatch.compression` is its fourth field,
    `DictionaryBatch.isDelta` its third, `Schema.endianness` its first.)
    """

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, metadata, at)[0])

    def field(table: int, index: int) -> int:
        """Where a field's value is, 0 where it is absent."""
        fields = table - number("<i", table)
        inside = 4 + 2 * index < number("<H", fields)
        offset = number("<H", fields + 4 + 2 * index) if inside else 0
        return table + offset if offset else 0

    def below(at: int) -> int:
        return at + number("<I", at)

    try:
        root = number("<I", 0)
        kind, header = field(root, 1), field(root, 2)
        if not kind or not header or metadata[kind] not in (_SCHEMA, _DICTIONARY_BATCH, _RECORD_BATCH):
            return
        batch = below(header)
        if metadata[kind] == _SCHEMA:
            order = field(batch, 0)
            if order and number("<h", order):
                raise DataError("Arrow streams whose numbers are big-endian are not taken")
            return
        if metadata[kind] == _DICTIONARY_BATCH:
            delta = field(batch, 2)
            if delta and metadata[delta]:
                raise DataError("dictionaries that are added to within the Arrow stream are not taken: send each whole")
            batch = below(field(batch, 1))
        packed = field(batch, 3)
    except (struct.error, IndexError):
        raise DataError("the body is no Arrow stream") from None
    if packed:
        raise DataError(
            "buffers that are packed within the Arrow stream are not taken: pack the whole by Content-Encoding"
        )
