"""Snapshots as stored: Evidently's own JSON, compressed; and the page that is made of one when someone looks."""

from __future__ import annotations

import warnings

import zstandard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently.core.report import Snapshot


def pack(snapshot: Snapshot) -> bytes:
    """The snapshot as compressed bytes."""
    return zstandard.compress(snapshot.dumps().encode(), 9)


def unpack(data: bytes) -> Snapshot:
    """The inverse of `pack`."""
    return Snapshot.loads(zstandard.decompress(data).decode())


def to_html(snapshot: Snapshot) -> str:
    """The report as one page that needs nothing from elsewhere."""
    return str(snapshot.get_html_str(as_iframe=False))
