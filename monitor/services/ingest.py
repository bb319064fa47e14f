"""Ingest: predictions and labels that models send, kept where their monitor's source reads them."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from monitor.config.model import Location, MonitorConfig
from monitor.config.secrets import expand
from monitor.domain.columns import Columns
from monitor.errors import DataError, NotFoundError, UsageError
from monitor.services.context import Context
from monitor.sources.ingest import Taken, as_text, as_times, open_store
from monitor.sources.ingest_table import TableStore

Form = Literal["json", "ndjson", "arrow"]
MOST_ROWS = 1_000_000
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # kinds of messages


@dataclass(frozen=True)
class _Asked:
    config: MonitorConfig
    place: Location
    columns: Columns


def ingest_predictions(context: Context, monitor: str, rows: pa.Table) -> Taken:
    """Keep predictions: a column for the id, the prediction or its probability, the features; the event time is now where none is given.

    Raises NotFoundError for an unknown monitor, UsageError for one whose source is not written here, DataError for rows that cannot be taken.
    """
    asked = _asked(context, monitor, labels=False)
    columns, times = asked.columns, asked.config.columns.event_time or "event_time"
    said = [name for name in (columns.prediction, *columns.probabilities.values()) if name is not None]
    rows = _checked(rows, [columns.id or "id", *said])
    rows = _timed(rows, times)
    return _keep(context, asked.place, rows, columns.id or "id", times, None)


def ingest_labels(context: Context, monitor: str, rows: pa.Table) -> Taken:
    """Keep labels: a column for the id, one for the label; its time is now where none is given. Another label for the same id corrects it."""
    asked = _asked(context, monitor, labels=True)
    own = asked.config.labels
    assert own is not None
    id_name = own.columns.id or asked.columns.id or "id"
    label = own.columns.label or asked.columns.label or "label"
    rows = _checked(rows, [id_name, label])
    if rows[label].null_count:
        raise DataError(f"'{label}' is missing in some of the rows: a label that is not known yet is not sent")
    times = own.columns.label_time or asked.columns.label_time or "label_time"
    return _keep(context, asked.place, _timed(rows, times), id_name, times, label)


def _keep(context: Context, place: Location, rows: pa.Table, id_name: str, times: str, label: str | None) -> Taken:
    ids, values = as_text(rows[id_name]), None if label is None else as_text(rows[label])
    if place.path is not None:
        folder = (context.loaded.folder / Path(expand(place.path)).expanduser()).parent
        return open_store(folder).add(rows, ids, values)
    return TableStore(context.place(place), id_name, times, label).add(rows, ids, values)


def _asked(context: Context, monitor: str, *, labels: bool) -> _Asked:
    config = context.configuration.monitors.get(monitor)
    if config is None:
        raise NotFoundError(f"there is no monitor {monitor}")
    place: Location | None = config.labels if labels else config.source
    if place is None or not place.ingest:
        noun = "labels" if labels else "source"
        raise UsageError(f"the {noun} of {monitor} are not written by this API: set `ingest: true` in its `{noun}`")
    return _Asked(config, place, config.to_columns())


def _checked(rows: pa.Table, needed: list[str]) -> pa.Table:
    if len(set(rows.column_names)) != len(rows.column_names):
        raise DataError("a column's name comes twice")
    absent = [name for name in needed if name not in rows.column_names]
    if absent:
        raise DataError(f"the rows have no column '{absent[0]}'; their columns are: {', '.join(rows.column_names)}")
    nested = [field.name for field in rows.schema if pa.types.is_nested(field.type)]
    if nested:
        raise DataError(f"'{nested[0]}' holds lists or objects: send one value a column")
    return rows


def _timed(rows: pa.Table, name: str) -> pa.Table:
    """The rows with their times; those that have none came now."""
    now = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
    if name not in rows.column_names:
        return rows.append_column(name, pa.chunked_array([pa.repeat(now, rows.num_rows)]))
    times = as_times(rows[name], name).fill_null(now)
    return rows.set_column(rows.column_names.index(name), name, times)


def parse(body: bytes, form: Form) -> pa.Table:
    """Rows from JSON (a list of objects, or `{"rows": [...]}`), JSON lines, or an Arrow stream. Raises DataError."""
    try:
        if form == "arrow":
            return _from_arrow(body)
        if form == "ndjson":
            rows: Any = [json.loads(line) for line in body.splitlines() if line.strip()]
        else:
            given: Any = json.loads(body)
            rows = given.get("rows") if isinstance(given, dict) else given
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"the body is not {form}: {str(error).splitlines()[0]}") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(each, dict) for each in rows):
        raise DataError('the body must be a list of rows, each an object: [{"id": "1", …}, …]')
    names = list(dict.fromkeys(name for each in rows for name in each))
    try:
        return pa.table({name: [each.get(name) for each in rows] for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"a column holds values of several types: {str(error).splitlines()[0]}") from None


def _from_arrow(body: bytes) -> pa.Table:
    """An Arrow stream of a sender that is not trusted: nothing in it is unpacked, and every offset is looked at before it is used."""
    for message in pa.ipc.MessageReader.open_stream(body):
        if _holds_packed_buffers(message.metadata.to_pybytes()):
            raise DataError(
                "buffers that are packed within the Arrow stream are not taken: pack the whole by Content-Encoding"
            )
    with pa.ipc.open_stream(body) as reader:
        if any(pa.types.is_run_end_encoded(field.type) for field in reader.schema):
            raise DataError("run-end encoded columns are not taken")
        rows = reader.read_all()
    if rows.num_rows > MOST_ROWS:
        raise DataError(f"{rows.num_rows} rows in one request: send at most {MOST_ROWS}")
    rows.validate(full=True)
    return rows


def _holds_packed_buffers(metadata: bytes) -> bool:
    """Whether a record or dictionary batch names a compression (Arrow's Message.fbs, a flatbuffer: `RecordBatch.compression` is its fourth field)."""

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
        if not kind or not header or metadata[kind] not in (_DICTIONARY_BATCH, _RECORD_BATCH):
            return False
        batch = below(header)
        if metadata[kind] == _DICTIONARY_BATCH:
            batch = below(field(batch, 1))
        return field(batch, 3) != 0
    except (struct.error, IndexError):
        raise DataError("the body is no Arrow stream") from None
