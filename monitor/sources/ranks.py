"""The hash that whole-number ids are sampled by: plain arithmetic, the same in every engine and in NumPy."""

from __future__ import annotations

import hashlib

import numpy as np

# No step of the arithmetic with it leaves 64 bits; a Mersenne prime, so that NumPy needs no division.
PRIME = 2_147_483_647
_AT_ONCE = 65_536


def coefficients(seed: int) -> list[int]:
    """Four numbers between 1 and the prime, by the seed."""
    digest = hashlib.sha256(f"sample:{seed}".encode()).digest()
    return [1 + int.from_bytes(digest[place : place + 8]) % (PRIME - 1) for place in (0, 8, 16, 24)]


def ranks(ids: np.ndarray, seed: int) -> np.ndarray:
    """The hash of each id, 0 to PRIME - 1, as `Log` asks engines for it; shape (ids,). ids: 64-bit whole numbers."""
    a, b, c, d = coefficients(seed)
    found = np.empty(len(ids), dtype=np.int64)
    for start in range(0, len(ids), _AT_ONCE):  # what fits into the processor's cache
        number = _folded(ids[start : start + _AT_ONCE])
        number[number < 0] += PRIME
        mixed = _folded(number * a + b)
        mixed = _folded(_folded(mixed * mixed + number) * c + d)
        found[start : start + _AT_ONCE] = np.where(mixed >= PRIME, mixed - PRIME, mixed)
    return found


def _folded(numbers: np.ndarray) -> np.ndarray:
    """The same modulo the prime, between -2 and PRIME + 4: 2 to the 31st counts as 1."""
    for _ in range(2):
        numbers = (numbers & PRIME) + (numbers >> 31)
    return numbers
