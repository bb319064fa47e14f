"""The types that columns of rows are kept with, whatever the sender's encoding; and what they take in memory once it is
undone.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from monitor.domain.text import first_line, quoted
from monitor.errors import DataError

# Every value of a column counts as a number of 64 bits: that is how it is kept.
_VALUE_BYTES = 8
# What a column of a batch takes by itself, however few values it has.
_COLUMN_BYTES = 256
# A text in Arrow's view layout is 16 bytes, of which the first four are its length.
_VIEW_INTS = 4
_UNITS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# The seconds and days of the years 1 to 9999, counted from 1970: what Python and the databases call a time.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896


def kept_type(name: str, kind: pa.DataType) -> pa.DataType:
    """The type that a column is kept with: whole numbers as 64 bits, times in microseconds, a dictionary as its values.
    Raises DataError.
    """
    if pa.types.is_run_end_encoded(kind):
        raise DataError(f"{quoted(name)}: run-end encoded columns are not taken")
    if pa.types.is_nested(kind):
        raise DataError(f"{quoted(name)} holds lists or objects: send one value a column")
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(kind.value_type):
        return kept_type(name, kind.value_type)
    if pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return kind
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return pa.int64()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if pa.types.is_date(kind):
        return pa.date32()
    if _is_text(kind):
        return pa.string()
    raise DataError(
        f"{quoted(name)} is of the type {kind}, which is not taken: send truth values, numbers, texts, dates or times"
    )


def plain(rows: pa.Table) -> pa.Table:
    """The rows with the types that they are kept with, so that nothing behind this meets another one. Raises
    DataError.
    """
    columns = [_plain(name, column) for name, column in zip(rows.column_names, rows.columns, strict=True)]
    return pa.Table.from_arrays(columns, names=rows.column_names)


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = kept_type(name, column.type)
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        _require_python_times(name, column)
        # Of times with nanoseconds the microseconds are kept; nothing else may lose anything.
        return column.cast(kind, safe=not pa.types.is_timestamp(column.type))
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"{quoted(name)} cannot be kept as {kind}: {first_line(error)}") from None


def _require_python_times(name: str, column: pa.ChunkedArray) -> None:
    """Raises DataError for dates and times before the year 1 or after 9999, which no database and no reader takes."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        units = _UNITS_A_SECOND[kind.unit]
        first, last, numbers = _FIRST_SECOND * units, (_LAST_SECOND + 1) * units - 1, column.cast(pa.int64())
    elif pa.types.is_date32(kind):
        first, last, numbers = _FIRST_DAY, _LAST_DAY, column.cast(pa.int32())
    elif pa.types.is_date64(kind):
        first, last, numbers = _FIRST_SECOND * 1000, _LAST_SECOND * 1000, column.cast(pa.int64())
    else:
        return
    extremes = compute.min_max(numbers).as_py()
    if extremes["min"] is not None and not first <= extremes["min"] <= extremes["max"] <= last:
        raise DataError(f"{quoted(name)} holds times that lie outside the years 1 to 9999")


def decoded_bytes(batch: pa.RecordBatch) -> int:
    """What a batch takes in memory with its encodings undone; nothing is undone for that, and no text is looked at.

    Its buffers must be large enough (`RecordBatch.validate()`); it is exact where the batch is valid, and never too
    small.
    """
    return sum(_COLUMN_BYTES + _VALUE_BYTES * batch.num_rows + _text_bytes(column) for column in batch.columns)


def _text_bytes(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return _total(_text_lengths(column))
    lengths = _text_lengths(column.dictionary)
    # A dictionary counts with every batch that uses it: each looks through it again.
    return (
        int(column.dictionary.nbytes)
        + _total(lengths)
        + _total(None if lengths is None else compute.take(lengths, column.indices))
    )


def _text_lengths(values: pa.Array) -> pa.Array | None:
    """The bytes of each text, None for values that are no texts."""
    if not _is_text(values.type):
        return None
    if not pa.types.is_string_view(values.type):
        return compute.binary_length(values)
    if not len(values):
        return pa.array([], pa.uint32())
    views = np.frombuffer(values.buffers()[1], np.uint32)[_VIEW_INTS * values.offset :: _VIEW_INTS][: len(values)]
    return pa.array(views, mask=values.is_null().to_numpy(zero_copy_only=False))


def _total(lengths: pa.Array | None) -> int:
    return 0 if lengths is None else int(compute.sum(lengths).as_py() or 0)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
