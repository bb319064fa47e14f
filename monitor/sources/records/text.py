"""CSV and JSON files as records, read piece by piece. Lines that are no record are counted."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.csv as arrow_csv
import zstandard

from monitor.errors import DataError
from monitor.sources.spec import ReadSpec

# How many bytes of a file are read at a time.
_PIECE = 16_000_000
_HEAD = 256_000
# A value in quotes that goes over more lines is taken for a quote that was never closed.
_MOST_LINES = 50
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ": "xz"}
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SEPARATORS = ",;\t|"
_MASKS = ((re.compile(r"[^\W\d_]", re.UNICODE), "x"), (re.compile(r"\d"), "9"))


@dataclass(frozen=True)
class UnreadableText:
    """What could not be read. row: how many good records of its batch come before it. line: of its file, from 1; 0
    where a file has none. example: with its letters and digits masked.
    """

    row: int
    line: int
    why: str
    example: str


@dataclass
class Batch:
    """Consecutive records of a file: of a CSV file columns of text, of a JSON file objects.

    end: how much of the file has been read by then, in bytes as stored; None where that is unknown
        (compressed, or in another encoding). lines: likewise.
    """

    columns: dict[str, pa.Array] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    bad: list[UnreadableText] = field(default_factory=list)
    end: int | None = None
    lines: int = 0
    is_tail: bool = False


@dataclass(frozen=True)
class Dialect:
    """How a source's text files are written. kind: csv or json. separator: of CSV."""

    kind: str
    encoding: str
    separator: str = ","


def masked(text: str) -> str:
    """The first characters of a text, its letters as x and its digits as 9."""
    short = text.strip()[:60]
    for pattern, mask in _MASKS:
        short = pattern.sub(mask, short)
    return short


def opened(file: str, read: ReadSpec) -> IO[bytes]:
    """A file, unpacked: by its first bytes, whatever its name."""
    raw = open(file, "rb")  # noqa: SIM115 - closed by who reads it
    start = raw.read(6)
    raw.seek(0)
    how = read.compression or next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "none")
    if start.startswith(b"PK\x03\x04"):
        raise DataError(f"{file} is a ZIP archive: unpack it")
    if how == "zstd":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    openers: dict[str, Any] = {"gzip": gzip.GzipFile, "bz2": bz2.BZ2File, "xz": lzma.LZMAFile}
    return openers[how](fileobj=raw) if how == "gzip" else openers[how](raw) if how in openers else raw


def is_plain(file: str, dialect: Dialect, read: ReadSpec) -> bool:
    """Whether bytes of the file are bytes of its text, so that reading can go on where it ended."""
    if dialect.encoding != "utf-8" or read.compression not in (None, "none"):
        return False
    with open(file, "rb") as raw:
        start = raw.read(6)
    return not any(start.startswith(magic) for magic in _MAGIC)


def dialect_of(file: str, read: ReadSpec) -> Dialect | None:
    """How a file is written; None for one without a character. Raises DataError for binary data of no known kind."""
    try:
        with opened(file, read) as stream:
            head = stream.read(_HEAD)
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError):
        return None
    if not head.strip(b"\x00\r\n\t "):
        return None
    encoding = read.encoding or _encoding_of(head)
    text = head.decode(encoding, errors="replace").lstrip("\ufeff")
    if _is_json(text):  # which is UTF-8, whatever single lines hold
        return Dialect("json", "utf-8" if encoding == "cp1252" and read.encoding is None else encoding)
    if text.count("\x00") > len(text) // 100:
        raise DataError(f"{file} is neither Parquet nor text")
    return Dialect("csv", encoding, read.separator or _separator_of(text))


def _is_json(text: str) -> bool:
    """Whether text begins as JSON does, or most of its first lines do: one may be a stray one."""
    if text.lstrip()[:1] in ("{", "["):
        return True
    lines = [line for line in text.splitlines()[:100] if line.strip()]
    return sum(line.startswith("{") for line in lines) > len(lines) / 2


def _encoding_of(head: bytes) -> str:
    for byte_order_mark, name in _MARKS.items():
        if head.startswith(byte_order_mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 5:
        return "utf-16-le" if odd > even else "utf-16-be"
    lines = [line for line in head.splitlines()[: -1 if len(head) == _HEAD else None] if not line.isascii()]
    wrong = sum(not _is_utf8(line) for line in lines)
    # Single lines may be damaged. If most lines that are not ASCII are no UTF-8, the text has another encoding.
    return "cp1252" if wrong > len(lines) / 2 else "utf-8"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _separator_of(text: str) -> str:
    """The separator that splits the header and most of the first lines into the same number of values."""
    lines = [line for line in text.splitlines()[:60] if line.strip()]
    best, most = ",", 1.0
    for separator in _SEPARATORS:
        widths = [len(_values_of(line, separator) or ()) for line in lines]
        width, often = Counter(widths).most_common(1)[0]
        if width > 1 and often * (1 + width / 100) > most and widths[0] > 1:
            best, most = separator, often * (1 + width / 100)
    return best


def batches(
    file: str, dialect: Dialect, read: ReadSpec, start: int = 0, lines: int = 0, header: list[str] | None = None
) -> Iterator[Batch]:
    """The records of a file, from `start` on. lines: how many come before that. header: of a CSV file, where it has
    been read before; new ones are put into it.

    The last batch is `is_tail` where the file ends without an end of line: it holds what may be half written.
    """
    names = [] if header is None else header
    if not names and read.format is None:
        names += read.names
    plain = is_plain(file, dialect, read)
    with opened(file, read) as raw:
        if start:
            raw.seek(start)
        stream: Any = raw if dialect.encoding == "utf-8" else _Recoded(raw, dialect.encoding)
        rest, done = b"", start
        while True:
            try:
                block = stream.read(_PIECE)
            except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
                yield Batch(
                    bad=[UnreadableText(0, lines + 1, f"the rest of the file cannot be unpacked: {error}", "")],
                    end=None,
                    lines=lines,
                )
                return
            data = rest + block
            if not done and data.startswith(codecs.BOM_UTF8):
                data, done = data[3:], done + 3
            complete, rest = (
                (data, b"") if dialect.kind == "json" and data.lstrip()[:1] == b"[" else _cut(data, dialect, not block)
            )
            if dialect.kind == "json" and (data.lstrip()[:1] == b"[" or _is_document(complete or data)):
                data += stream.read()
                yield _document(data, lines)
                return
            if complete:
                batch = _read(complete, dialect, names, lines)
                lines, done = lines + complete.count(b"\n"), done + len(complete)
                batch.end, batch.lines = (done if plain else None), lines
                yield batch
            if not block:
                break
    if rest.strip():
        batch = _read(rest, dialect, names, lines)
        batch.is_tail, batch.end, batch.lines = True, (done + len(rest) if plain else None), lines + 1
        yield batch


class _Recoded:
    """Text of another encoding, read as UTF-8."""

    def __init__(self, raw: IO[bytes], encoding: str) -> None:
        self._raw, self._decoder = raw, codecs.getincrementaldecoder(encoding)(errors="replace")

    def read(self, size: int = -1) -> bytes:
        block = self._raw.read(size)
        text: str = self._decoder.decode(block, final=not block)
        return text.lstrip("\ufeff").encode() if text or not block else self.read(size)


def _cut(data: bytes, dialect: Dialect, is_end: bool) -> tuple[bytes, bytes]:
    """Data up to the end of its last whole record, and the rest. A line end within quotes ends no record of CSV: it is
    cut behind a line that is a whole one.
    """
    end = data.rfind(b"\n") + 1
    if dialect.kind == "csv" and not is_end and b'"' in data:
        width = len(_values_of(data.partition(b"\n")[0].decode("utf-8", errors="replace"), dialect.separator) or ())
        last = end
        for _ in range(_MOST_LINES):
            begin = data.rfind(b"\n", 0, max(last - 1, 0)) + 1
            if (
                len(_values_of(data[begin:last].decode("utf-8", errors="replace").rstrip(), dialect.separator) or ())
                == width
            ):
                return data[:last], data[last:]
            last = begin
    return data[:end], data[end:]


def _read(data: bytes, dialect: Dialect, header: list[str], lines: int) -> Batch:
    return _json_lines(data, lines) if dialect.kind == "json" else _csv(data, dialect.separator, header, lines)


# -- JSON -----------------------------------------------------------------------------------------------------------


def _json_lines(data: bytes, lines: int) -> Batch:
    batch = Batch()
    decode = msgspec.json.Decoder().decode
    for number, line in enumerate(data.split(b"\n"), lines + 1):
        if not line or line.isspace():
            continue
        try:
            record = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _odd_line(line, number, batch)
            continue
        if isinstance(record, dict):
            batch.records.append(record)
        else:
            batch.bad.append(_bad(batch, number, "it is no object", line))
    return batch


def _odd_line(line: bytes, number: int, batch: Batch) -> None:
    """A line that is not one plain object of JSON: several, one with NaN, or none."""
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        batch.bad.append(_bad(batch, number, "it is not written in UTF-8", line))
        return
    place, decoder, records = 0, json.JSONDecoder(), []
    while place < len(text):
        try:
            record, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            batch.bad.append(_bad(batch, number, "it is no JSON", line))
            return
        records.append(record)
        place += len(text[place:]) - len(text[place:].lstrip(" \t\r,"))
    if all(isinstance(record, dict) for record in records):
        batch.records += records
    else:
        batch.bad.append(_bad(batch, number, "it is no object", line))


def _bad(batch: Batch, line: int, why: str, text: bytes) -> UnreadableText:
    return UnreadableText(len(batch.records), line, why, masked(text[:200].decode("utf-8", errors="replace")))


def _is_document(data: bytes) -> bool:
    """Whether objects of JSON go over several lines."""
    first, _, rest = data.lstrip().partition(b"\n")
    try:
        json.loads(first)
    except ValueError:
        if first.rstrip() in (b"{", b"["):
            return True
        try:
            json.JSONDecoder().raw_decode(data.decode("utf-8", errors="replace").lstrip())
        except (ValueError, RecursionError):
            return False
        return bool(rest)
    return False


def _document(data: bytes, lines: int) -> Batch:
    """A file that is one array of objects, or objects over several lines."""
    batch, text, place, decoder = Batch(), data.decode("utf-8", errors="replace"), 0, json.JSONDecoder()
    skip = re.compile(r"[\s,\[]*")
    place = skip.match(text).end()  # type: ignore[union-attr]
    while place < len(text) and text[place] != "]":
        try:
            record, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            line = lines + text.count("\n", 0, place) + 1
            batch.bad.append(
                UnreadableText(len(batch.records), line, "it is no JSON", masked(text[place : place + 60]))
            )
            place = _next_object(text, place)
            continue
        if isinstance(record, dict):
            batch.records.append(record)
        else:
            line = lines + text.count("\n", 0, place) + 1
            batch.bad.append(UnreadableText(len(batch.records), line, "it is no object", masked(text[place:end])))
        place = skip.match(text, end).end()  # type: ignore[union-attr]
    return batch


def _next_object(text: str, place: int) -> int:
    """Where the next object that begins a line, or follows a comma, begins; the end of the text if none does."""
    match = re.compile(r"(?:\n\s*|\},\s*)(?=\{)").search(text, place + 1)
    return len(text) if match is None else match.end()


# -- CSV ------------------------------------------------------------------------------------------------------------


def _csv(data: bytes, separator: str, header: list[str], lines: int) -> Batch:
    if not header:
        first = _header_line(data)
        data = first.rest
        lines += first.lines
        names = _values_of(first.text, separator) or [first.text]
        header += _header(names, _first_rows(data, separator))
        if not data.strip():
            return Batch()
    names = header
    if _is_utf8(data):
        columns = _by_arrow(data, separator, names)
        if columns is not None:
            return Batch(columns=_without_headers(columns, names))
    rows, bad = _by_line(data, separator, len(names), lines)
    header_row = list(names)
    rows = [row for row in rows if row != header_row]
    transposed = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    columns = {name: pa.array(values, pa.string()) for name, values in zip(names, transposed, strict=True)}
    return Batch(columns=columns, bad=bad)


class _HeaderLine(NamedTuple):
    """The first line that is not blank. rest: the data after it. lines: how many lines come before the rest."""

    text: str
    rest: bytes
    lines: int


def _header_line(data: bytes) -> _HeaderLine:
    skipped = 0
    while True:
        line, _, data = data.partition(b"\n")
        skipped += 1
        if line.strip() or not data:
            return _HeaderLine(line.decode("utf-8", errors="replace").strip("\r"), data, skipped)


def _first_rows(data: bytes, separator: str) -> list[list[str]]:
    lines = data[:64_000].decode("utf-8", errors="replace").splitlines()[:20]
    return [row for line in lines if (row := _values_of(line, separator))]


def _header(names: list[str], rows: list[list[str]]) -> list[str]:
    """The names of columns, each once. Where every row has one value more than the header, the first is the name of the
    row (as R writes it), or the last is nothing.
    """
    if rows and all(len(row) == len(names) + 1 for row in rows):
        names = [*names, ""] if all(not row[-1] for row in rows) else ["row_name", *names]
    unique_names: list[str] = []
    for place, name in enumerate(names):
        plain = name.strip() or f"column{place}"
        number, unique = 1, plain
        while unique in unique_names:
            unique, number = f"{plain}_{number}", number + 1
        unique_names.append(unique)
    return unique_names


def _by_arrow(data: bytes, separator: str, names: list[str]) -> dict[str, pa.Array] | None:
    """The columns, read all at once; None where a line is odd."""
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            arrow_csv.ReadOptions(column_names=names, use_threads=True, block_size=len(data) + 1),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns = {name: table.column(name).combine_chunks() for name in names}
    long = b'"' in data and any(_has_many_lines(column) for column in columns.values())
    return None if long else columns


def _has_many_lines(column: pa.Array) -> bool:
    import pyarrow.compute as pc

    return bool((pc.max(pc.count_substring(column, "\n")).as_py() or 0) >= _MOST_LINES)


def _without_headers(columns: dict[str, pa.Array], names: list[str]) -> dict[str, pa.Array]:
    """The rows without repeated headers; concatenated files have these."""
    import pyarrow.compute as pc

    is_header = pc.equal(columns[names[0]], names[0])
    if not pc.any(is_header).as_py():
        return columns
    for name in names[1:]:
        is_header = pc.and_(is_header, pc.equal(columns[name], name))
    return {name: column.filter(pc.invert(is_header)) for name, column in columns.items()}


def _by_line(data: bytes, separator: str, width: int, lines: int) -> tuple[list[list[str]], list[UnreadableText]]:
    """The rows that are whole, and the lines that are not."""
    rows: list[list[str]] = []
    bad: list[UnreadableText] = []
    parts, place = data.split(b"\n"), 0
    while place < len(parts):
        line = parts[place]
        if not line.strip():
            place += 1
            continue
        parsed = _ParsedRow(None, 1, "it is not written in UTF-8")
        if _is_utf8(line):
            parsed = _row(parts, place, separator, width)
        if parsed.values is None:
            example = masked(line[:200].decode("utf-8", errors="replace"))
            bad.append(UnreadableText(len(rows), lines + place + 1, parsed.why, example))
        else:
            rows.append(parsed.values)
        place += parsed.lines
    return rows, bad


class _ParsedRow(NamedTuple):
    """A row of CSV. values: None where the text is no row; why: the reason. lines: how many it takes."""

    values: list[str] | None
    lines: int
    why: str = ""


def _row(parts: list[bytes], place: int, separator: str, width: int) -> _ParsedRow:
    """The row that begins with a line."""
    row = _values_of(parts[place].decode("utf-8"), separator)
    if row is not None:
        if len(row) == width:
            return _ParsedRow(row, 1)
        return _ParsedRow(None, 1, f"it has {len(row)} values, the header has {width}")
    for span in range(2, min(_MOST_LINES, len(parts) - place) + 1):
        text = b"\n".join(parts[place : place + span])
        row = _values_of(text.decode("utf-8", errors="replace"), separator)
        if row is not None and len(row) == width:
            return _ParsedRow(row, span)
    return _ParsedRow(None, 1, "a quote in it is never closed")


def _values_of(text: str, separator: str) -> list[str] | None:
    """The values of one row; None where a quote is not closed."""
    try:
        rows = list(csv.reader(io.StringIO(text.strip("\r"), newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
