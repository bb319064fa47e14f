"""The formats of records, in a registry: a new one is a file beside this, and a line in it."""

from __future__ import annotations

from monitor.sources.formats.base import Format

FORMATS: tuple[Format, ...] = ()


def format_named(name: str) -> Format:
    """A format by its name, of those in the registry."""
    return next(each for each in FORMATS if each.name == name)
