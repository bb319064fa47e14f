"""Files of records copied as Parquet beside the cache. Each is read once; later only what was appended is read. Records
that cannot be read are counted with their place.

Each source has a folder, with a manifest that is replaced as a whole. Pieces are never changed. When a file is replaced
or removed, the pieces that hold its rows are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from monitor.cache_folder import cache_folder
from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError
from monitor.sources.files import SETTLED_S, is_parquet
from monitor.sources.formats import format_named
from monitor.sources.formats.base import ID, SIDE, Format, UnreadableRecord
from monitor.sources.formats.payloads import together
from monitor.sources.records import columns as typing
from monitor.sources.records.columns import ColumnKind, Decision
from monitor.sources.records.text import Batch, Dialect, UnreadableText, batches, dialect_of, masked
from monitor.sources.spec import MADE_TIME, ReadSpec

_VERSION = 2
# Rows of a piece; fewer rows make a small piece; so many consecutive small pieces are merged.
_PIECE_ROWS, _SMALL_PIECE_ROWS, _MERGED_PIECES = 500_000, 50_000, 16
# Files smaller than this share a piece; each larger one has its own.
_SMALL_BYTES = 2_000_000
# Unused pieces stay this long, since other processes may read them; half a row is waited for as long.
_GRACE_S = 3600.0
_MOST_BYTES = 20 * 2**30
_COMPARED = 4096
_MIDNIGHT = re.compile(r"[T ]00:00(:00(\.0+)?)?$")


@dataclass
class _File:
    """How far a file has been read. end: in bytes, None where reading cannot be continued. header: of CSV. tail: the
    fault of its last line, which has no line end.
    """

    size: int
    mtime_ns: int
    end: int | None = None
    lines: int = 0
    header: list[str] = field(default_factory=list)
    head: str = ""
    last: str = ""
    waits: bool = False
    tail: dict[str, Any] | None = None


@dataclass
class _Piece:
    """Rows of some files. bad: how many of their records could not be read; their places are in a file beside it."""

    name: str
    rows: int
    files: list[str]
    bad: int = 0


@dataclass
class _Half:
    """Half a row: a request or an answer whose other half has not arrived."""

    side: str
    file: str
    row: dict[str, Any]


@dataclass
class _Manifest:
    """The state of a source. waiting: halves of rows, by their id."""

    columns: dict[str, None] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    dialect: Dialect | None = None
    files: dict[str, _File] = field(default_factory=dict)
    pieces: list[_Piece] = field(default_factory=list)
    number: int = 0
    waiting: dict[str, _Half] = field(default_factory=dict)


@dataclass(frozen=True)
class UnreadableRecords:
    """The records of a piece that could not be read. rows: the row of the piece beside each record, or with the bad
    value; shape (records,). piece: '' where it has no rows; seen: the time that then counts, in seconds since 1970.
    """

    piece: str
    rows: np.ndarray
    descriptions: list[str]
    seen: float = 0.0


@dataclass(frozen=True)
class ParquetCopy:
    """A source's files as Parquet. columns: all that were ever seen, in their order; the kind is None for a column
    without values.
    """

    pieces: tuple[str, ...]
    columns: dict[str, ColumnKind | None]
    bad: tuple[UnreadableRecords, ...]


def copy_as_parquet(path: str, files: list[str], read: ReadSpec, shown: str) -> ParquetCopy:
    """The files as they are now, as Parquet. Raises DataError where they are no text, SourceUnreachableError where they
    cannot be read, or nothing can be kept.
    """
    try:
        folder = _folder(path, read)
        return _parquet_copy(folder, _up_to_date(folder, files, read))
    except OSError as error:
        raise SourceUnreachableError(f"{shown} cannot be read, or kept in the cache folder: {error}") from None


def _up_to_date(folder: Path, files: list[str], read: ReadSpec) -> _Manifest:
    with _locked(folder):
        manifest = _load(folder)
        _forget(manifest, files)
        new = [file for file in files if _is_new(manifest, file)]
        if new:
            _Reader(folder, manifest, read).read(new)
            _merge_small_pieces(folder, manifest)
            _save(folder, manifest)
            _sweep(folder, manifest)
        os.utime(folder / "manifest.json") if (folder / "manifest.json").exists() else _save(folder, manifest)
    return manifest


def _folder(path: str, read: ReadSpec) -> Path:
    name = hashlib.sha256(json.dumps([_VERSION, path, asdict(read)]).encode()).hexdigest()[:24]
    folder = cache_folder() / "logs" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _load(folder: Path) -> _Manifest:
    try:
        content = json.loads((folder / "manifest.json").read_text())
        manifest = _Manifest(
            dict.fromkeys(content["columns"]),
            {name: Decision(ColumnKind(kind), form) for name, (kind, form) in content["decisions"].items()},
            Dialect(**content["dialect"]) if content["dialect"] else None,
            {name: _File(**fields) for name, fields in content["files"].items()},
            [_Piece(**fields) for fields in content["pieces"]],
            content["number"],
            {identity: _Half(**fields) for identity, fields in content["waiting"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _Manifest()
    return manifest if all((folder / piece.name).exists() for piece in manifest.pieces) else _Manifest()


def _save(folder: Path, manifest: _Manifest) -> None:
    content = {
        "columns": list(manifest.columns),
        "decisions": {name: (decision.kind.value, decision.form) for name, decision in manifest.decisions.items()},
        "dialect": manifest.dialect and asdict(manifest.dialect),
        "files": {name: asdict(file) for name, file in manifest.files.items()},
        "pieces": [asdict(piece) for piece in manifest.pieces],
        "number": manifest.number,
        "waiting": {identity: asdict(half) for identity, half in manifest.waiting.items()},
    }
    temporary = folder / f"manifest.json.{os.getpid()}"
    temporary.write_text(json.dumps(content))
    temporary.replace(folder / "manifest.json")


def _is_new(manifest: _Manifest, file: str) -> bool:
    state, stat = manifest.files.get(file), os.stat(file)
    if state is None or (state.size, state.mtime_ns) != (stat.st_size, stat.st_mtime_ns):
        return True
    return state.waits and time.time() - stat.st_mtime > SETTLED_S


def _forget(manifest: _Manifest, files: list[str]) -> None:
    """Remove the files that are gone, that changed other than by appending, or that were not read to their end; and
    all pieces that hold rows of them.
    """
    present = set(files)
    gone = {file for file, state in manifest.files.items() if file not in present or not _goes_on(file, state)}
    gone |= {file for piece in manifest.pieces for file in piece.files if file not in manifest.files}
    while True:
        touched = {file for piece in manifest.pieces if gone & set(piece.files) for file in piece.files}
        if touched <= gone:
            break
        gone |= touched
    manifest.pieces = [piece for piece in manifest.pieces if not gone & set(piece.files)]
    manifest.waiting = {identity: half for identity, half in manifest.waiting.items() if half.file not in gone}
    for file in gone:
        manifest.files.pop(file, None)


def _goes_on(file: str, state: _File) -> bool:
    stat = os.stat(file)
    if (stat.st_size, stat.st_mtime_ns) == (state.size, state.mtime_ns):
        return True
    return (
        state.end is not None
        and stat.st_size >= state.end
        and _head_and_tail_hashes(file, state.end) == (state.head, state.last)
    )


def _head_and_tail_hashes(file: str, end: int) -> tuple[str, str]:
    """The hashes of the first bytes of a file, and of the last bytes before `end`."""
    with open(file, "rb") as opened:
        head = opened.read(min(_COMPARED, end))
        opened.seek(max(end - _COMPARED, 0))
        last = opened.read(min(_COMPARED, end))
    return hashlib.sha256(head).hexdigest()[:16], hashlib.sha256(last).hexdigest()[:16]


class _Reader:
    """Reads files into pieces."""

    def __init__(self, folder: Path, manifest: _Manifest, read: ReadSpec) -> None:
        self._folder, self._manifest, self._read_spec = folder, manifest, read
        self._format: Format | None = None if read.format is None else format_named(read.format)
        self._tables: list[pa.Table] = []
        self._bad: list[tuple[int, str]] = []
        self._rows = 0
        self._files: dict[str, _File] = {}
        # The files of earlier halves of rows; the id of the last row, and how many rows before it have the same id.
        self._other_files: set[str] = set()
        self._last_id, self._repeats = "", 0

    def read(self, files: list[str]) -> None:
        """Read the new parts of some files; the manifest is saved with each piece."""
        for file in files:
            is_small = os.stat(file).st_size < _SMALL_BYTES
            if not is_small:
                self._flush()
            self._read_file(file)
            if not is_small or self._rows >= _PIECE_ROWS:
                self._flush()
        self._flush()

    def _read_file(self, file: str) -> None:
        stat, manifest = os.stat(file), self._manifest
        previous = manifest.files.get(file) or _File(0, 0, end=0)
        state = _File(stat.st_size, stat.st_mtime_ns, previous.end or 0, previous.lines, list(previous.header))
        self._files[file] = state
        if is_parquet(file):
            self._parquet(file, state)
            return
        dialect = self._dialect(file)
        if dialect is None:
            if stat.st_size and not _is_blank(file):
                self._bad.append((self._rows, f"{_named(file)}: the file cannot be unpacked"))
            state.end = 0
            return
        settled = time.time() - stat.st_mtime > SETTLED_S
        for batch in batches(file, dialect, self._read_spec, state.end or 0, state.lines, state.header):
            if batch.is_tail and dialect.kind == "csv" and not settled:
                state.waits = True
                break
            if batch.is_tail and batch.bad and batch.end is not None:
                state.waits = not settled
                state.tail = {"said": _description(file, batch.bad[-1])} if settled else None
                break
            self._take(file, batch)
            state.end, state.lines = batch.end, batch.lines
            if self._rows >= _PIECE_ROWS:
                self._flush(within=file)
        if state.end:
            state.head, state.last = _head_and_tail_hashes(file, state.end)

    def _dialect(self, file: str) -> Dialect | None:
        """The dialect of a file: that of the source's other files, but a JSON file among CSV files stays JSON."""
        own, source_dialect = dialect_of(file, self._read_spec), self._manifest.dialect
        if own is None or source_dialect is None:
            self._manifest.dialect = source_dialect or own
            return own
        return own if own.kind == "json" and source_dialect.kind != "json" else source_dialect

    def _parquet(self, file: str, state: _File) -> None:
        state.end = None
        try:
            for part in parquet.ParquetFile(file).iter_batches(20_000):
                self._take(file, Batch(records=_plain(part)))
        except (OSError, pa.ArrowException) as error:
            why = first_line(error)[:80]
            self._bad.append((self._rows, f"{_named(file)}: the file is no whole Parquet: {why}"))

    def _take(self, file: str, batch: Batch) -> None:
        bad = [(max(unreadable.row - 1, 0), _description(file, unreadable)) for unreadable in batch.bad]
        columns: dict[str, Any] = dict(batch.columns)
        number = len(next(iter(columns.values()))) if columns else len(batch.records)
        if self._format is not None:
            records = batch.records or [
                dict(zip(columns, row, strict=True))
                for row in zip(*(column.to_pylist() for column in columns.values()), strict=True)
            ]
            rows, unread = self._decoded(file, records)
            bad = sorted(bad + unread)
            columns, number = typing.opened(rows, self._manifest.columns, self._read_spec.open), len(rows)
        elif batch.records:
            columns = typing.opened(batch.records, self._manifest.columns, self._read_spec.open)
        else:
            columns = _open_texts(columns, self._manifest.columns, self._read_spec.open)
        if self._read_spec.makes_time:
            columns[MADE_TIME] = _made_time(columns, self._read_spec, file, number)
        columns |= {
            name: pa.array([value] * number, pa.string()) for name, value in _partition_values(file).items() if number
        }
        for name in columns:
            self._manifest.columns.setdefault(name)
        typed, unfit = self._typed(file, columns)
        bad = sorted(bad + unfit)
        self._bad += [(self._rows + row, description) for row, description in bad]
        if number:
            self._tables.append(
                pa.table(typed) if typed else pa.table({"monitor_nothing": pa.nulls(number, pa.bool_())})
            )
            self._rows += number

    def _decoded(self, file: str, records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
        """The rows of records by their format, and the records that hold none."""
        assert self._format is not None
        rows: list[dict[str, Any]] = []
        bad = []
        for record in records:
            try:
                record_rows = list(self._format.rows(record, self._read_spec, file))
            except UnreadableRecord as error:
                bad.append((max(len(rows) - 1, 0), f"{_named(file)}: {error}"))
            except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
                description = f"{_named(file)}: it is not what {self._format.title} holds ({type(error).__name__})"
                bad.append((max(len(rows) - 1, 0), description))
            else:
                rows += [full_row for row in record_rows if (full_row := self._full_row(file, row)) is not None]
        return rows, bad

    def _full_row(self, file: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """A complete row: of half a row both halves together; None until the other has arrived."""
        assert self._format is not None
        side, identity = row.pop(SIDE, None), str(row.get(ID))
        if side is None:
            if self._format.shares_ids and ID in row:
                self._repeats = self._repeats + 1 if identity == self._last_id else 0
                self._last_id = identity
                return row | {ID: f"{identity}-{self._repeats}"} if self._repeats else row
            return row
        half = self._manifest.waiting.get(identity)
        if half is None or half.side == side:
            self._manifest.waiting[identity] = _Half(side, file, row)
            return None
        del self._manifest.waiting[identity]
        self._other_files.add(half.file)
        inputs, answer = (row, half.row) if side == "request" else (half.row, row)
        return together([inputs], [{name: value for name, value in answer.items() if name != ID}])[0]

    def _typed(self, file: str, columns: dict[str, Any]) -> tuple[dict[str, pa.Array], list[tuple[int, str]]]:
        arrays: dict[str, pa.Array] = {}
        bad = []
        for name, values in columns.items():
            decision = self._manifest.decisions.get(name) or typing.decide(values, self._read_spec, name)
            if decision is None:
                continue
            self._manifest.decisions[name] = decision
            typed = typing.typed(values, decision, self._read_spec)
            arrays[name] = typed.values
            bad += [
                (
                    int(row),
                    (
                        f"{_named(file)}: {masked(typing.json_text(_item(values, row)))!r} in {name} is no"
                        f" {_WORDS[decision.kind]}"
                    ),
                )
                for row in typed.unfit
            ]
        return arrays, bad

    def _flush(self, within: str | None = None) -> None:
        """Write the rows that have been read as a piece. within: a file that is not read to its end yet; it does not
        count as read where reading it cannot be continued later.
        """
        manifest = self._manifest
        if self._rows or self._bad:
            files = [*self._files, *sorted(self._other_files)]
            manifest.pieces.append(_new_piece(self._folder, manifest, self._tables, self._bad, files))
        for file, state in self._files.items():
            if file == within and state.end:
                state.head, state.last = _head_and_tail_hashes(file, state.end)
                manifest.files[file] = replace(state)
            elif file != within:
                manifest.files[file] = state
        if self._files:
            _save(self._folder, manifest)
        self._files = {} if within is None else {within: self._files[within]}
        self._tables, self._bad, self._rows, self._other_files = [], [], 0, set()


def _open_texts(columns: dict[str, Any], names: dict[str, None], wanted: Sequence[str]) -> dict[str, Any]:
    """Columns of text; those that hold objects of JSON are opened."""
    opened_columns: dict[str, Any] = {}
    for name, values in columns.items():
        first = next((text for text in values.slice(0, 100).to_pylist() if text), "")
        if first[:1] == "{" and first[-1:] == "}" and isinstance(typing.object_in(first), dict):
            opened_columns |= typing.opened([{name: text or None} for text in values.to_pylist()], names, wanted)
        else:
            opened_columns[name] = values
    return opened_columns


def _made_time(columns: dict[str, Any], read: ReadSpec, file: str, rows: int) -> pa.Array:
    """The time of rows as text: of several columns, or of the path."""
    if read.time_path is not None:
        moment = time_in_path(file, read.time_path)
        return pa.array([None if moment is None else moment.isoformat()] * rows, pa.string())
    parts = [columns.get(name) for name in read.time_of]
    texts = [
        [None] * rows if column is None else column if isinstance(column, list) else column.to_pylist()
        for column in parts
    ]
    moments = [
        None if None in row else " ".join([_MIDNIGHT.sub("", str(row[0])), *map(str, row[1:])])
        for row in zip(*texts, strict=True)
    ]
    return pa.array(moments, pa.string())


def time_in_path(file: str, form: str) -> datetime | None:
    """The time that the path of a file holds, in the format of strptime; None where it holds none."""
    pattern = re.escape(form)
    for code, digits in {"%Y": r"\d{4}", "%j": r"\d{3}", "%b": "[A-Za-z]{3}"}.items():
        pattern = pattern.replace(code, digits)
    pattern = re.sub(r"%[A-Za-z]", r"\\d{1,2}", pattern)
    for text in reversed(re.findall(rf"(?<!\d){pattern}(?!\d)", file)):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form)  # noqa: DTZ007 - of the source's zone
    return None


def _partition_values(file: str) -> dict[str, str | None]:
    """The columns of a partitioned folder's path."""
    parts = dict(part.split("=", 1) for part in Path(file).parts[:-1] if "=" in part)
    return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, value in parts.items()}


_WORDS = {
    ColumnKind.BOOLEAN: "true or false",
    ColumnKind.WHOLE: "number",
    ColumnKind.NUMBER: "number",
    ColumnKind.TIME: "time",
    ColumnKind.ZONED: "time with a zone",
    ColumnKind.DATE: "date",
    ColumnKind.TEXT: "text",
}


def _item(values: Any, row: int) -> Any:
    return values[int(row)] if isinstance(values, list) else values[int(row)].as_py()


def _named(file: str) -> str:
    return Path(file).name


def _description(file: str, bad: UnreadableText) -> str:
    line = f"line {bad.line} of " if bad.line else ""
    return f"{line}{_named(file)}: {bad.why}" + (f", such as {bad.example!r}" if bad.example else "")


def _plain(part: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as JSON would hold them: times as text, bytes as text."""
    rows: list[dict[str, Any]] = part.to_pylist()
    return [{name: _plain_value(value) for name, value in row.items()} for row in rows]


def _plain_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, list) and value and isinstance(value[0], tuple):  # a map
        return dict(value)
    if isinstance(value, dict):
        return {name: _plain_value(inner) for name, inner in value.items()}
    if isinstance(value, (str, int, float, bool, list)) or value is None:
        return value
    return float(value)


def _is_blank(file: str) -> bool:
    with open(file, "rb") as opened:
        return not opened.read(_COMPARED).strip(b"\x00\r\n\t ")


def _new_piece(
    folder: Path, manifest: _Manifest, tables: list[pa.Table], bad: list[tuple[int, str]], files: list[str]
) -> _Piece:
    """Write tables as a piece, and the bad records to a file beside it. It is not added to the manifest."""
    manifest.number += 1
    path = folder / f"{manifest.number:08d}.parquet"
    table = pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})
    parquet.write_table(table, path, compression="zstd", row_group_size=100_000)
    if bad:
        places = pa.table(
            {"row": pa.array([row for row, _ in bad], pa.int64()), "said": [description for _, description in bad]}
        )
        parquet.write_table(places, path.with_suffix(".bad"))
    return _Piece(path.name, table.num_rows, list(dict.fromkeys(files)), len(bad))


def _read_bad(path: Path) -> list[tuple[int, str]]:
    table = parquet.read_table(path.with_suffix(".bad"))
    return list(zip(table.column("row").to_pylist(), table.column("said").to_pylist(), strict=True))


def _merge_small_pieces(folder: Path, manifest: _Manifest) -> None:
    """Merge consecutive small pieces of the same files."""
    groups = itertools.groupby(manifest.pieces, lambda piece: (piece.rows < _SMALL_PIECE_ROWS, tuple(piece.files[:1])))
    merged: list[_Piece] = []
    for (is_small, _), group in groups:
        pieces = list(group)
        if not is_small or len(pieces) < _MERGED_PIECES:
            merged += pieces
            continue
        bad, rows = [], 0
        for piece in pieces:
            if piece.bad:
                bad += [(rows + row, description) for row, description in _read_bad(folder / piece.name)]
            rows += piece.rows
        tables = [parquet.read_table(folder / piece.name) for piece in pieces if piece.rows]
        files = [file for piece in pieces for file in piece.files]
        merged.append(_new_piece(folder, manifest, tables, bad, files))
    manifest.pieces = merged


def _sweep(folder: Path, manifest: _Manifest) -> None:
    """Remove unused pieces that nobody can be reading any more. Where all sources take too much room, remove those that
    were not used for the longest time.
    """
    needed, old = {Path(piece.name).stem for piece in manifest.pieces}, time.time() - _GRACE_S
    for file in folder.iterdir():
        if file.suffix in (".parquet", ".bad") and file.stem not in needed and file.stat().st_mtime < old:
            file.unlink(missing_ok=True)
    sizes = {
        source: sum(file.stat().st_size for file in source.iterdir())
        for source in folder.parent.iterdir()
        if source.is_dir()
    }
    for source in sorted(sizes, key=lambda source: source.stat().st_mtime):
        if sum(sizes.values()) <= _MOST_BYTES:
            break
        if source != folder:
            shutil.rmtree(source, ignore_errors=True)
            sizes[source] = 0


def _parquet_copy(folder: Path, manifest: _Manifest) -> ParquetCopy:
    bad = []
    for piece in manifest.pieces:
        if piece.bad:
            places = _read_bad(folder / piece.name)
            rows = np.array([row for row, _ in places], np.int64)
            name, seen = str(folder / piece.name), (folder / piece.name).stat().st_mtime
            bad.append(
                UnreadableRecords(name if piece.rows else "", rows, [description for _, description in places], seen)
            )
    for file, state in manifest.files.items():
        if state.tail is not None:
            own = next((piece for piece in reversed(manifest.pieces) if file in piece.files and piece.rows), None)
            name, number = ("", 0) if own is None else (str(folder / own.name), own.rows)
            bad.append(UnreadableRecords(name, np.array([number - 1]), [state.tail["said"]], state.mtime_ns / 1e9))
    for half in manifest.waiting.values():
        seen = manifest.files[half.file].mtime_ns / 1e9 if half.file in manifest.files else time.time()
        if time.time() - seen > _GRACE_S:
            description = (
                f"{_named(half.file)}:"
                f" {'a request without an answer' if half.side == 'request' else 'an answer without a request'}"
            )
            bad.append(UnreadableRecords("", np.zeros(1, np.int64), [description], seen))
    pieces = tuple(str(folder / piece.name) for piece in manifest.pieces if piece.rows)
    kinds = {name: manifest.decisions[name].kind if name in manifest.decisions else None for name in manifest.columns}
    return ParquetCopy(pieces, kinds, tuple(bad))


def first_records(files: list[str], read: ReadSpec, number: int = 20) -> list[dict[str, Any]]:
    """The first records of some of the files, as stored; a format is recognised by them."""
    records: list[dict[str, Any]] = []
    for file in [*files[:2], *files[-1:]]:
        with contextlib.suppress(OSError, DataError, pa.ArrowException):
            if is_parquet(file):
                records += _plain(next(parquet.ParquetFile(file).iter_batches(number), pa.RecordBatch.from_pylist([])))
                continue
            dialect = dialect_of(file, read)
            batch = None if dialect is None else next(batches(file, dialect, read), None)
            if batch is not None and batch.columns:
                names = list(batch.columns)
                rows = zip(*(column.slice(0, number).to_pylist() for column in batch.columns.values()), strict=True)
                records += [dict(zip(names, row, strict=True)) for row in rows]
            elif batch is not None:
                records += batch.records[:number]
    return records


def times_beside(bad: UnreadableRecords, name: str) -> list[Any]:
    """The times of the rows beside bad records, as a column holds them. Where no row has one: when the records were
    seen, in seconds since 1970.
    """
    if bad.piece and name in parquet.read_schema(bad.piece).names:
        times = parquet.read_table(bad.piece, columns=[name]).column(name).to_pandas().ffill().bfill()
        if pd.api.types.is_datetime64_any_dtype(times) and not times.empty:
            return list(times.iloc[np.clip(bad.rows, 0, len(times) - 1)])
    return [bad.seen] * len(bad.descriptions)


def require_records(parquet_copy: ParquetCopy, shown: str) -> None:
    """Raise DataError where files hold no record that can be read."""
    if not parquet_copy.pieces:
        reason = next((unreadable.descriptions[0] for unreadable in parquet_copy.bad), "they are empty")
        raise DataError(f"{shown}: none of its files holds a record: {reason}")
