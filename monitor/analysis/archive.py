"""References as archives: a zip of JSON and Arrow, never pickle. And as files that processes map into memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa
from pyarrow import ipc

from monitor.analysis import mapping
from monitor.analysis.reference import ANALYSIS_VERSION, Reference, ReferenceSummary
from monitor.analysis.schema import canonical_text, plain
from monitor.analysis.summary import Summary
from monitor.domain.columns import Columns
from monitor.errors import DataError


def to_bytes(reference: Reference) -> bytes:
    """The archive of a reference; equal references give equal bytes."""
    meta = {
        "version": reference.version,
        "task": reference.task,
        "seed": reference.seed,
        "columns": reference.columns.to_dict(),
        "analysis": ANALYSIS_VERSION,
        "summary": reference.summary.to_dict(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("reference.json"), json.dumps(meta, default=str))
        archive.writestr(zipfile.ZipInfo("rows.arrow"), arrow_bytes(reference.frame, "zstd"))
    return buffer.getvalue()


def from_bytes(data: bytes) -> Reference:
    """The inverse of `to_bytes`. Raises DataError for anything else."""
    with _whole_zip(io.BytesIO(data)) as archive:
        meta = json.loads(archive.read("reference.json"))
        frame = ipc.open_file(io.BytesIO(archive.read("rows.arrow"))).read_pandas()
    sorts = meta["summary"]["sorts"]
    frame = pd.DataFrame(
        {name: frame[name] if sorts[name] in ("numerical", "time") else frame[name].astype(object) for name in frame}
    )
    return _reference_of(meta, lambda: frame)


def mapped(path: str | Path) -> Reference:
    """As `from_bytes`, of an archive on disk. Rows and summaries are mapped from a second file with the suffix
    `.mapped`, which the first process writes.

    A damaged mapped file is written again.
    """
    mapped_path = Path(path).with_suffix(".mapped")
    file = _open_mapped(mapped_path)
    if file is None:
        reference = from_bytes(Path(path).read_bytes())
        try:
            mapping.write(mapped_path, reference.frame, {name: reference.of_column(name) for name in reference.sorts})
        except OSError:
            return reference
        file = mapping.Mapped(mapped_path)
    with _whole_zip(Path(path).open("rb")) as archive:
        meta = json.loads(archive.read("reference.json"))
    rows = int(meta["summary"]["rows"])
    return _reference_of(meta, file.frame, dict(file.summaries(rows)))


def _open_mapped(path: Path) -> mapping.Mapped | None:
    try:
        return mapping.Mapped(path)
    except (OSError, DataError):
        return None


@contextmanager
def _whole_zip(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """An archive opened for reading. Raises DataError where the file is no archive or is damaged: each part has a
    checksum.
    """
    try:
        with file, zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"this is no archive of a reference: {error}") from None


def _reference_of(
    meta: dict[str, Any], rows: Callable[[], pd.DataFrame], summaries: dict[str, Summary | None] | None = None
) -> Reference:
    columns, summary = Columns.from_dict(meta["columns"]), ReferenceSummary.from_dict(meta["summary"])
    return Reference(rows, columns, meta["task"], meta["seed"], meta["version"], summary, summaries or {})


def arrow_bytes(frame: pd.DataFrame, compression: str | None) -> bytes:
    """A frame as an Arrow file. Columns that Arrow cannot hold are written as text."""
    table = pa.table({str(name): _arrow(frame[name]) for name in frame})
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _arrow(values: pd.Series) -> pa.Array | pa.ChunkedArray:
    for candidate in (values, plain(values)):
        try:
            return pa.array(candidate, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError):
            continue
    texts = canonical_text(values).map(lambda text: text.encode("utf-8", "replace").decode(), na_action="ignore")
    return pa.array(texts, pa.large_string(), from_pandas=True)
