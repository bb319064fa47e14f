"""What people and programs send that nobody thought of: hypothesis strategies for the parameters and bodies of
requests.
"""

from __future__ import annotations

import base64
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
from hypothesis import strategies as st

TIMES = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "0001-01-01",
    "9999-12-31T23:59:59Z",
    "1000-01-01T00:00:00+23:59",
    "8999-12-31T23:59:59-23:59",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2025-02-30",
    "2025-01-01T24:00:00Z",
    "1969-12-31T23:59:60Z",
    "2025-06-01T00:00:00.123456789Z",
    "2025-W01-1",
    "1e9",
    "0",
    "now",
    "٢٠٢٥-٠١-٠١",
    "",
)
TEXTS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "%00",
    "%",
    "_",
    "\\",
    "'",
    '"',
    "';--",
    "${HOME}",
    "{{7*7}}",
    "../../etc/passwd",
    "<b>",
    "\u202e",
    "\ufeff",
    "é",
    "e\u0301",
    "𝒳",
    "\u2028",
    "ÿ" * 64,
    "x" * 70,
    "x" * 5000,
    "id",
    "ID",
    "rowid",
    "event_time",
    "prediction",
    "null",
    "nan",
    "-1",
    "1e400",
    "٣",
)
HALVES = ("\ud800", "a\udfff", "\udc80x")  # of surrogate pairs: what JSON can write and Unicode does not have
DURATIONS = (
    "0s",
    "1s",
    "4h",
    "2d",
    "1mo",
    "900mo",
    "99999999d",
    "9" * 25 + "d",
    "9" * 5000 + "s",
    "-1d",
    "1.5h",
    "٣d",
    "1 d",
    "d",
    "",
)

texts = st.sampled_from(TEXTS) | st.text(max_size=40)
all_texts = texts | st.sampled_from(HALVES)
times = st.sampled_from(TIMES) | st.datetimes(timezones=st.none() | st.timezones()).map(
    lambda moment: moment.isoformat()
)
durations = st.sampled_from(DURATIONS) | st.from_regex(r"\A\d{1,12} ?(s|m|min|h|d|w|mo)\Z")
digits = st.from_regex(r"\A-?\d{1,70}\Z") | st.sampled_from(("٣٤", "1_0", " 7 ", "0x10", str(2**63), str(2**31), "-1"))
cursors = digits.map(lambda number: base64.urlsafe_b64encode(number.encode()).decode()) | digits | texts
numbers = (
    st.integers()
    | st.integers(-(2**63), 2**64)
    | st.floats()
    | st.sampled_from((2**63 - 1, 2**63, -(2**63), 2**64, 1e300, float("inf"), -0.0, 2**53 + 1))
)


def parameter(name: str) -> st.SearchStrategy[str]:
    """What may come as a parameter of a request, by its name."""
    if name in ("start", "end", "starts_at", "deployed_at"):
        return times
    return {"cursor": cursors, "duration": durations, "limit": digits, "points": digits}.get(name, texts)


def body(good: dict[str, Any], known_values: dict[str, str]) -> st.SearchStrategy[Any]:
    """A JSON body whose fields are those of a good one, with values of every kind; where a field is of something known,
    often that.
    """
    of_any_kind = all_texts | numbers | st.none() | st.lists(all_texts, max_size=3)
    needed = {name: st.just(known_values[name]) for name in good if name in known_values}
    return st.fixed_dictionaries(
        needed,
        optional={
            name: parameter(name) | of_any_kind | st.just(value)
            for name, value in good.items()
            if name not in known_values
        },
    )


values = (
    numbers
    | all_texts
    | times
    | st.booleans()
    | st.none()
    | st.lists(numbers, max_size=2)
    | st.dictionaries(all_texts, numbers, max_size=2)
)
_OWN = {
    "id": numbers | all_texts | st.uuids().map(str) | st.none() | st.booleans(),
    "event_time": times | numbers | st.none(),
    "prediction": numbers | all_texts | st.none(),
    "probability": numbers | st.none() | all_texts,
    "label": numbers | all_texts | st.booleans() | st.none(),
    "label_time": times | numbers | st.none(),
    "income": numbers,
}
_NEEDED = {
    "id": st.integers(0, 2000).map(str),
    "prediction": st.sampled_from((0, 1)),
    "probability": st.floats(0, 1),
    "label": st.sampled_from((0, 1)),
}


@st.composite
def json_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows as JSON may hold them: of one shape, so that many are taken, with a few columns of any kind."""
    columns: dict[str, Any] = dict(_NEEDED)
    for name in draw(st.lists(st.sampled_from(sorted(_OWN)), max_size=2)):
        columns[name] = _OWN[name]
    for name in draw(st.lists(all_texts, max_size=3)):
        columns[name] = draw(st.sampled_from((numbers, all_texts, times, st.booleans(), values)))
    return draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=5))


TYPES: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.uint64(),
    pa.int64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(38, 0),
    pa.decimal128(10, 3),
    pa.decimal256(70, 2),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.binary(4),
    pa.binary_view(),
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time64("ns"),
    pa.timestamp("s"),
    pa.timestamp("ms", "UTC"),
    pa.timestamp("us", "Nowhere/Land"),
    pa.timestamp("ns", "+14:00"),
    pa.duration("ns"),
    pa.month_day_nano_interval(),
    pa.list_(pa.int8()),
    pa.struct([("a", pa.int8())]),
    pa.map_(pa.string(), pa.int8()),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.timestamp("s")),
    pa.run_end_encoded(pa.int32(), pa.string()),
    pa.uuid(),
)


@st.composite
def arrow_columns(draw: st.DrawFn, rows: int) -> pa.Array:
    """A column of any type, whose buffers hold any bytes where that type has a fixed width."""
    kind = draw(st.sampled_from(TYPES))
    try:
        width = kind.bit_width // 8
    except ValueError:
        width = 0
    if width and not pa.types.is_dictionary(kind) and not pa.types.is_nested(kind) and kind != pa.uuid():
        content = draw(st.binary(min_size=width * rows, max_size=width * rows))
        return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(content)])
    texts_ = draw(st.lists(texts | st.none(), min_size=rows, max_size=rows))
    words = pa.array(texts_, pa.string())
    try:
        return compute.run_end_encode(words) if pa.types.is_run_end_encoded(kind) else words.cast(kind)
    except (pa.ArrowException, ValueError):
        return pa.nulls(rows, kind)


@st.composite
def arrow_bodies(draw: st.DrawFn) -> bytes:
    """Arrow streams: columns of any type beside those that are needed; some of them with bytes that were changed, cut
    off or put in.
    """
    rows = draw(st.integers(0, 4))
    ids = draw(st.lists(st.integers(0, 5000), min_size=rows, max_size=rows))
    columns: dict[str, pa.Array] = {
        "id": pa.array(ids, pa.int64()).cast(pa.string()),
        "prediction": pa.array([1] * rows, pa.int64()),
        "probability": pa.array([0.5] * rows, pa.float64()),
        "label": pa.array([1] * rows, pa.int64()),
    }
    for name in draw(st.lists(texts | st.sampled_from(sorted(_OWN)), max_size=2)):
        columns[name] = draw(arrow_columns(rows))
    stream = bytearray(as_stream(pa.table(columns)))
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 3, 20)))):
        stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return bytes(stream[: draw(st.sampled_from((len(stream), len(stream), len(stream) // 2)))])


def as_stream(table: pa.Table, **options: Any) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
