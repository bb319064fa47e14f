"""Batches that were accepted and cannot be written. They are kept in a folder of their own beside the files, each with
the reason, until somebody removes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FOLDER = "dead-letters"


@dataclass(frozen=True)
class DeadLetters:
    """What was set aside in a store: how many batches and rows, and why the newest one was."""

    folder: Path
    batches: int
    rows: int
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.batches} batches ({self.rows} rows) that were accepted cannot be written and lie in {self.folder}:"
            f" {self.reason}"
        )


def set_aside(store: Path, number: int, data: bytes, rows: int, reason: str, now: datetime) -> None:
    """Keep a batch, an Arrow stream, with the reason; one that is there already is written over."""
    folder = store / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"batch-{number:012d}.arrow"
    path.write_bytes(data)
    content = {"rows": rows, "reason": reason, "set_aside_at": now.isoformat()}
    path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")


def dead_letters(store: Path) -> DeadLetters | None:
    """What was set aside in a store, None where nothing was."""
    folder = store / FOLDER
    paths = sorted(folder.glob("batch-*.arrow"))
    if not paths:
        return None
    notes = [_rows_and_reason(path.with_suffix(".json")) for path in paths]
    return DeadLetters(folder, len(paths), sum(rows for rows, _ in notes), notes[-1][1])


def _rows_and_reason(path: Path) -> tuple[int, str]:
    """The rows and the reason of a batch, as far as they can still be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return int(content["rows"]), str(content["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, "the reason is gone"
