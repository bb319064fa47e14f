"""The names of a monitor's reference columns, read from its archive once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy.orm import Session

from monitor.analysis.archived_names import column_names
from monitor.services.cache import kept
from monitor.services.context import Context
from monitor.storage import monitors, references


def reference_columns(context: Context, monitor: str) -> set[str]:
    """The columns of the references that a monitor has had; none while none could be read."""

    def files(session: Session) -> list[Path]:
        row = monitors.by_name(session, monitor)
        held = [] if row is None else references.history(session, row.id)
        # Of each model version the newest: what older ones named beside it, is new.
        newest = {entry.model_version: version for entry, version in held}
        return [
            kept(context.cache, version.version, lambda number=version.id: references.archive(session, number))  # type: ignore[misc]
            for version in newest.values()
        ]

    return {name for path in context.database.read(files) for name in _names(path)}


@lru_cache(maxsize=64)
def _names(path: Path) -> tuple[str, ...]:
    return column_names(path)
