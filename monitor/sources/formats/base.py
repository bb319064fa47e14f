"""What a format of records does: recognise one by looking, and make rows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from monitor.sources.spec import ReadSpec


class UnreadableRecord(Exception):
    """A record is not what its format says, or a row cannot be made of it; the text says why, without a value."""


class Format(ABC):
    """A way in which a tool or a cloud writes a prediction log.

    name: as `source.read.format` has it. title: for people. keys: of its rows that are joined to others of the same call (two records make one row); empty where a record is whole.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def recognises(self, record: dict[str, Any]) -> bool:
        """Whether a record is of this format, by the names that it holds."""

    @abstractmethod
    def rows(self, record: dict[str, Any], read: ReadSpec) -> Iterable[dict[str, Any]]:
        """The rows of a record, one a prediction. Raises UnreadableRecord."""
