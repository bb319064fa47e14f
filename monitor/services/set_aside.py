"""Rows that were accepted and could not be written: for `status`, `doctor` and `watch_self`."""

from __future__ import annotations

from pathlib import Path

from monitor.config.model import Loaded
from monitor.config.secrets import expand
from monitor.errors import MonitorError
from monitor.sources.dead_letters import DeadLetters, dead_letters


def dead_letters_of(loaded: Loaded) -> dict[str, DeadLetters]:
    """The rows set aside of predictions or else of labels, by monitor; monitors without any are left out."""
    dead_letters_by_monitor = {}
    for name, config in loaded.configuration.monitors.items():
        for place in (config.labels, config.source):
            if place is None or not place.ingest or place.path is None:
                continue
            try:
                folder = store_folder(loaded, place.path)
            except MonitorError:  # a secret that this process does not know
                continue
            set_aside = dead_letters(folder)
            if set_aside is not None:
                dead_letters_by_monitor[name] = set_aside
    return dead_letters_by_monitor


def store_folder(loaded: Loaded, path: str) -> Path:
    """The folder of a store that is named as `FOLDER/*.parquet`."""
    return (loaded.folder / Path(expand(path)).expanduser()).parent
