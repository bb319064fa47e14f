"""A reference's rows and summaries as a file that processes map into memory: read once, shared by all, never copied."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import ipc

from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.errors import DataError

_CHECKSUM_BYTES = 4


def write(path: Path, frame: pd.DataFrame, summaries: Mapping[str, Summary | None]) -> None:
    """Write the file, whole or not at all: an Arrow stream of one row, each cell a whole column, and a checksum. Raises
    OSError.
    """
    columns = {f"rows:{name}": pa.array(frame[name], from_pandas=frame[name].dtype.kind != "f") for name in frame}
    for name, summary in summaries.items():
        if isinstance(summary, Numbers):
            columns[f"sorted:{name}"] = pa.array(summary.values)
        elif isinstance(summary, Categories):
            columns[f"names:{name}"] = pa.array(summary.tally.index.astype(object))
            columns[f"counts:{name}"] = pa.array(summary.tally.to_numpy())
    cells = {name: pa.LargeListArray.from_arrays([0, len(values)], values) for name, values in columns.items()}
    table = pa.table(cells)
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    with ipc.new_stream(str(whole), table.schema) as writer:
        writer.write_table(table)
    with pa.memory_map(str(whole)) as written:
        checksum = zlib.crc32(written.read_buffer())
    with whole.open("ab") as file:
        file.write(checksum.to_bytes(_CHECKSUM_BYTES, "big"))
    whole.replace(path)


class Mapped:
    """The file, mapped into memory. Columns are read from it on demand, numbers without being copied.

    Raises OSError, and DataError for a damaged file, as a power failure may leave one.
    """

    def __init__(self, path: Path) -> None:
        source = pa.memory_map(str(path))
        content = source.read_buffer(max(source.size() - _CHECKSUM_BYTES, 0))
        if zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "big") != source.read(_CHECKSUM_BYTES):
            raise DataError(f"{path} is damaged")
        self._table = ipc.open_stream(content).read_all()

    def frame(self) -> pd.DataFrame:
        """The rows, each column as it was."""
        names = [name.removeprefix("rows:") for name in self._table.column_names if name.startswith("rows:")]
        return pd.DataFrame({name: self._rows(name) for name in names}, copy=False)

    def summaries(self, rows: int) -> dict[str, Summary]:
        """The summaries of `rows` rows, by column."""
        summaries: dict[str, Summary] = {}
        for cell_name in self._table.column_names:
            part, name = cell_name.split(":", 1)
            if part == "sorted":
                summaries[name] = Numbers(self._numbers(cell_name), rows)
            elif part == "names":
                index = pd.Index(self._cell(cell_name).to_pylist(), dtype=object)
                summaries[name] = Categories(pd.Series(self._numbers(f"counts:{name}"), index), rows)
        return summaries

    def _rows(self, name: str) -> pd.Series:
        values = self._cell(f"rows:{name}")
        if pa.types.is_floating(values.type):
            return pd.Series(values.to_numpy(), copy=False)
        series: pd.Series = values.to_pandas()
        return series if pa.types.is_timestamp(values.type) else series.astype(object)

    def _numbers(self, name: str) -> np.ndarray:
        return np.asarray(self._cell(name).to_numpy())

    def _cell(self, name: str) -> pa.Array:
        return self._table[name].chunk(0).values
