"""The hash that whole-number ids are sampled by: plain arithmetic, the same in every engine and in NumPy."""

from __future__ import annotations

import hashlib

import numpy as np

# No step of the arithmetic with it leaves 64 bits.
PRIME = 2_147_483_647
_AT_ONCE = 131_072


def coefficients(seed: int) -> list[int]:
    """Four numbers between 1 and the prime, by the seed."""
    digest = hashlib.sha256(f"sample:{seed}".encode()).digest()
    return [1 + int.from_bytes(digest[place : place + 8]) % (PRIME - 1) for place in (0, 8, 16, 24)]


def share_below(limit: int, rows: int) -> float:
    """Below which share of all hashes the `limit` smallest of so many rows lie, and a few too many: hashes are even, so that spares the sorting of all; 1 where it would spare little."""
    share = (limit + 8 * limit**0.5 + 50) / max(rows, 1)
    return share if share < 0.5 else 1.0


def ranks(ids: np.ndarray, seed: int) -> np.ndarray:
    """The hash of each id, 0 to PRIME - 1, as `Log` asks engines for it; shape (ids,). ids: 64-bit whole numbers."""
    a, b, c, d = coefficients(seed)
    found = np.empty(len(ids), dtype=np.int64)
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
        np.remainder(mixed, PRIME, out=found[start : start + _AT_ONCE])
    return found
