"""What was sent, accepted, and could not be written: for `status`, `doctor` and the service's watch over itself."""

from __future__ import annotations

from pathlib import Path

from monitor.config.model import Loaded
from monitor.config.secrets import expand
from monitor.errors import MonitorError
from monitor.sources.dead_letters import DeadLetters, dead_letters


def dead_letters_of(loaded: Loaded) -> dict[str, DeadLetters]:
    """By monitor, what was set aside of its predictions or else of its labels; those that have none are left out."""
    found = {}
    for name, config in loaded.configuration.monitors.items():
        for place in (config.labels, config.source):
            if place is None or not place.ingest or place.path is None:
                continue
            try:
                folder = store_folder(loaded, place.path)
            except MonitorError:  # a secret that this process does not know
                continue
            letters = dead_letters(folder)
            if letters is not None:
                found[name] = letters
    return found


def store_folder(loaded: Loaded, path: str) -> Path:
    """The folder of a store that is named as `FOLDER/*.parquet`."""
    return (loaded.folder / Path(expand(path)).expanduser()).parent
