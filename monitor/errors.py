"""The one exception tree of Monitor. Each message says what is wrong, where, and what to do next."""

from __future__ import annotations


class MonitorError(Exception):
    """Something went wrong that the message explains; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(MonitorError):
    """A command or a function was called in a way that cannot work."""

    exit_code = 2


class NotFoundError(UsageError):
    """Nothing has that name or id."""


class ConflictError(UsageError):
    """It is not in a state in which that can be done."""


class ConfigurationError(UsageError):
    """The configuration has mistakes: all of them, one a line, with file and line."""


class SchemaVersionError(UsageError):
    """The report database has an older or newer schema than this version of Monitor."""


class DataError(MonitorError):
    """The data that was read cannot be evaluated: the run fails with this reason, other runs go on."""


class SourceUnreachableError(MonitorError):
    """A source is away (server unreachable, file or folder missing): runs wait and are not charged for it."""

    exit_code = 3


class CacheError(MonitorError):
    """A file of this machine's cache is gone or damaged: it is made again, and the run is tried again."""


class WorkersUnreachableError(MonitorError):
    """No process that evaluates windows can be had: the cluster is away, or this machine starts none."""

    exit_code = 3


class DatabaseUnreachableError(MonitorError):
    """The report database is away or cannot be written."""

    exit_code = 3


class AlreadyRunningError(UsageError):
    """Another daemon works on this SQLite database; only one may."""


class DeliveryError(MonitorError):
    """A notification could not be delivered; `permanent` says that trying again is of no use, `retry_after_s` how long
    the receiver asks to be left alone.
    """

    def __init__(self, message: str, *, permanent: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_s = retry_after_s


class RaisedFindingError(MonitorError):
    """`Evaluation.raise_for` found something at or above the severity asked for."""
