"""The hash that rows are sampled by, the same in every engine and in NumPy: whole-number ids by plain arithmetic, all
else as text by md5.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa

from monitor.errors import DataError
from monitor.sources.spec import LogSpec

if TYPE_CHECKING:
    from monitor.sources.engines.base import Engine

# The columns of a sample's ids as text, and of their hashes.
KEY, RANK = "monitor_canonical_id", "monitor_rank"

# No step of the arithmetic with it leaves 64 bits.
PRIME = 2_147_483_647
_AT_ONCE = 131_072
# The hash of rows without an id where ids are text: behind every hexadecimal digit.
NO_ID = "g"
_own = threading.local()


def coefficients(seed: int) -> list[int]:
    """Four numbers between 1 and the prime, by the seed."""
    digest = hashlib.sha256(f"sample:{seed}".encode()).digest()
    return [1 + int.from_bytes(digest[place : place + 8]) % (PRIME - 1) for place in (0, 8, 16, 24)]


def share_below(limit: int, rows: int) -> float:
    """Below which share of all hashes the `limit` smallest of so many rows lie, and a few too many: hashes are even, so
    that spares the sorting of all; 1 where it would spare little.
    """
    share = (limit + 8 * limit**0.5 + 50) / max(rows, 1)
    return share if share < 0.5 else 1.0


def ranks(ids: np.ndarray, seed: int) -> np.ndarray:
    """The hash of each id, 0 to PRIME - 1, as engines compute it; shape (ids,). ids: 64-bit whole numbers."""
    a, b, c, d = coefficients(seed)
    hashes = np.empty(len(ids), dtype=np.int64)
    for start in range(0, len(ids), _AT_ONCE):  # what fits into the processor's cache
        number = ids[start : start + _AT_ONCE] % PRIME
        mixed = number * a
        mixed += b
        mixed %= PRIME
        mixed *= mixed
        mixed += number
        mixed %= PRIME
        mixed *= c
        mixed += d
        np.remainder(mixed, PRIME, out=hashes[start : start + _AT_ONCE])
    return hashes


def text_ranks(ids: pa.ChunkedArray, seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows of ids of text whose hash is among the smallest `share` of all, and their hashes, as engines compute
    them; both of shape (rows,).
    """
    if not hasattr(_own, "connection"):
        _own.connection = duckdb.connect(config={"threads": 1})
    table = pa.table({"row": pa.array(np.arange(len(ids))), "id": ids})
    _own.connection.register("ids", table)
    ranked = f"SELECT row, coalesce(md5($seed || id), '{NO_ID}') AS rank FROM ids"  # noqa: S608 - a constant
    statement = f"SELECT row, rank FROM ({ranked}) WHERE rank < $bound ORDER BY row"  # noqa: S608 - of above
    try:
        values = {"seed": f"{seed}:", "bound": text_bound(share)}
        result = _own.connection.sql(statement, params=values).to_arrow_table()
    finally:
        _own.connection.unregister("ids")
    return result.column("row").to_numpy(), result.column("rank").to_pandas().to_numpy(object)


def text_bound(share: float) -> str:
    """Below what a share of all hashes of text lies; of the share 1 all rows, those without id too."""
    return f"{int(share * 2**32):08x}" if share < 1 else "h"


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def md5(text: str) -> str:  # type: ignore[empty-body]
    """The engine's own md5, as hexadecimal text."""


@dataclass(frozen=True)
class Hashing:
    """How an engine hashes the rows of a log."""

    engine: Engine
    table: Any
    spec: LogSpec

    def key(self) -> Any:
        """The ids as text; of a log without ids all that a row holds."""
        spec = self.spec
        if spec.id is not None:
            return canonical_id(self.table[spec.id], spec.place.shown)
        names = (name for name in self.table.columns if name not in spec.ignore)
        text = [self.table[name].cast("string").fill_null("\x1e") for name in names]
        return self.engine.md5(ibis.literal("\x1f").join(text))

    @property
    def _hashed(self) -> str | None:
        """The column that is hashed: the id, or the group whose rows are sampled together."""
        return self.spec.group or self.spec.id

    @cached_property
    def has_numbers(self) -> bool:
        """Whether ids are whole numbers."""
        kind = None if self._hashed is None else self.table[self._hashed].type()
        return kind is not None and not kind.is_string() and not kind.is_uuid()

    def source(self) -> Any:
        """What the hash is worked out from: whole numbers as they are, all else as text with the seed before it."""
        if not self.has_numbers:
            key = (
                self.key()
                if self.spec.group is None
                else canonical_id(self.table[self.spec.group], self.spec.place.shown)
            )
            return ibis.literal(f"{self.spec.seed}:").concat(key)
        column = self.table[self._hashed]
        return (column % PRIME if column.type().is_unsigned_integer() else column).cast("int64")

    def bound(self, share: float) -> str:
        """Below what a share of all hashes lies; of the share 1 all rows, those without id too."""
        if self.has_numbers:
            return str(int(share * PRIME) if share < 1 else PRIME + 1)
        return text_bound(share)

    def below(self, rows: Any, bound: str) -> Any:
        """Rows whose hash lies below a bound, with the hash in place of its input (`source`). Rows without
        id come last.
        """
        limit = ibis.literal(bound)
        if self.has_numbers:
            ranked, limit = self.engine.ranked(rows, RANK, self.spec.seed), limit.cast("int64")
        else:
            ranked = rows.mutate(**{RANK: self.engine.md5(rows[RANK]).fill_null(NO_ID)})
        return ranked.filter(ranked[RANK] < limit)


def canonical_id(column: Any, shown: str) -> Any:
    """Ids as text that every engine writes alike: whole numbers as digits, UUIDs in lower case, text as it is."""
    kind = column.type()
    if kind.is_string():
        return column
    if kind.is_integer():
        return column.cast("string")
    if kind.is_floating() or (kind.is_decimal() and not kind.scale):
        return column.cast("int64").cast("string")
    if kind.is_uuid():
        return column.cast("string").lower()
    raise DataError(f"the id column '{column.get_name()}' of {shown} is {kind}: ids are whole numbers, text or UUIDs")
