"""Which run a result is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class RunIdentity:
    """Which run of which monitor a result is of; '' and None for what is not known, as in a notebook.

    kind: data, performance or adhoc. window: its start and end. as_of: what was known then.
    """

    monitor: str = ""
    model: str = ""
    model_version: str = ""
    run: str = ""
    kind: str = ""
    window: tuple[datetime, datetime] | None = None
    as_of: datetime | None = None
