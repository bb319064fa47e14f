"""What every service works with: the configuration, the report database, the clock and the daemon's name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy.orm import Session

import monitor
from monitor.cache_folder import cache_folder
from monitor.config import secrets
from monitor.config.model import (
    Channel,
    ColumnNames,
    Configuration,
    Loaded,
    Location,
    MonitorConfig,
    ReadingOptions,
    TimeOfPath,
)
from monitor.domain.clock import Clock, SystemClock, boot_time_s
from monitor.outgoing import Network
from monitor.services.cache import sweep
from monitor.services.fence import Fences
from monitor.services.refusals import Refusals
from monitor.sources.spec import LabelSpec, LogSpec, Place, ReadSpec
from monitor.storage import daemons
from monitor.storage.database import Database
from monitor.storage.tables import ConfigurationVersion, MonitorRow

REMIND_EVERY_S = 15.0


def read_spec(reading: ReadingOptions) -> ReadSpec:
    """How files are read, as workers have it."""
    values = reading.model_dump()
    for name in ("na", "names", "date_format", "text"):
        value = values[name]
        values[name] = (value,) if isinstance(value, str) else tuple(value)
    return ReadSpec(**values)


def with_made_columns(place: Place, columns: ColumnNames) -> Place:
    """A place whose rows have the columns that are made by expressions, too (of a database as a query of what it
    named), and those of objects that are opened.
    """
    if columns.open and place.own_path is not None:
        place = replace(place, read=replace(place.read, open=tuple(columns.open)))
    if not columns.expressions:
        return place
    if place.path is not None:
        return replace(place, expressions=tuple(columns.expressions.items()))
    made = ", ".join(f"({sql}) AS {name}" for name, sql in columns.expressions.items())
    schema = f"{place.db_schema}." if place.db_schema else ""
    rows = f"({place.query.strip().rstrip(';')})" if place.query else f"{schema}{place.table}"
    query = f"SELECT log.*, {made} FROM {rows} AS log"  # noqa: S608 - the configuration's own
    return replace(place, table=None, db_schema=None, query=query)


@dataclass
class Context:
    """One daemon's (or command's) view. `catches_up`: `run` and replays plan no window that starts after the newest
    event.
    """

    loaded: Loaded
    database: Database
    clock: Clock = field(default_factory=SystemClock)
    owner: str = field(default_factory=daemons.new_name)
    catches_up: bool = True
    only: str | None = None
    stopping: Event = field(default_factory=Event)
    followed: int | None = None
    # What was seen of each monitor when it was last planned, and when more will be due: until then, and while that is
    # so, planning has nothing to do.
    planned: dict[int, tuple[Any, datetime | None]] = field(default_factory=dict)
    reminded_at: float = float("-inf")
    canary_flew_at: float = float("-inf")
    canary_fault: str = ""
    # By request that is followed after its training, what its receipt was worked out from.
    receipts: dict[int, str] = field(default_factory=dict)
    fences: Fences = field(default_factory=Fences)
    refusals: Refusals = field(default_factory=Refusals)
    _newer: Configuration | None = None
    _versions: dict[int, Configuration] = field(default_factory=dict)

    @property
    def configuration(self) -> Configuration:
        """The configuration that this process works by: its file's, or the newer one that another daemon has
        applied.
        """
        return self._newer or self.loaded.configuration

    def follow(self, session: Session, version_id: int, *, own: bool) -> None:
        """Work by a stored version; `own`: it is that of this process's file."""
        self.followed = version_id
        self._newer = None if own else self.configuration_of(session, version_id)

    def channel(self, name: str) -> Channel | None:
        """A channel by its name, None if it is not configured. What another daemon's file has in clear is known to that
        daemon alone.
        """
        own = self.loaded.configuration.channels.get(name)
        given = self.configuration.channels.get(name)
        return own if given is not None and secrets.is_masked(given.model_dump()) else given

    def link_to(self, noun: str, identity: str) -> str:
        """The address of the page of one of the `alerts`, `retraining`, …: this machine's own without `external_url`,
        '' where no page is served either.
        """
        return self.address(f"/{noun}/{identity}")

    def address(self, path: str) -> str:
        """The same of a path, with its query."""
        base = (self.configuration.external_url or self.configuration.own_url).rstrip("/")
        return f"{base}{path}" if base else ""

    def is_time_to_remind(self) -> bool:
        """Whether it is time to look for firing alerts without a notification, or with an old one: always in `run` and
        replays, in `serve` from time to time.
        """
        if self.catches_up or boot_time_s() - self.reminded_at > REMIND_EVERY_S:
            self.reminded_at = boot_time_s()
            return True
        return False

    def foreign_channels(self) -> list[str]:
        """Channels that only another daemon can send to."""
        return [name for name in self.configuration.channels if self.channel(name) is None]

    @property
    def software_version(self) -> str:
        """This software's version."""
        return monitor.__version__

    @property
    def cache(self) -> Path:
        """Where references lie as files named by their version."""
        return cache_folder()

    def sweep_cache(self) -> None:
        """Remove the half-written files of processes that were killed, and samples that nobody has asked for in a
        month.
        """
        sweep(self.cache)

    def configuration_of(self, session: Session, configuration_id: int) -> Configuration:
        """A stored version of the configuration."""
        if configuration_id not in self._versions:
            content = session.get_one(ConfigurationVersion, configuration_id).content
            self._versions[configuration_id] = Configuration.model_validate(content)
        return self._versions[configuration_id]

    def config_of(self, session: Session, row: MonitorRow, configuration_id: int | None = None) -> MonitorConfig | None:
        """A monitor's entry in the version it was applied with, or in another, where it may have had an earlier name;
        None if it has none there.
        """
        newest = self.configuration_of(session, row.configuration_id).monitors.get(row.name)
        if configuration_id in (None, row.configuration_id):
            return newest
        entries = self.configuration_of(session, configuration_id or 0).monitors
        before = newest.renamed_from if newest is not None else None
        names = [name for name in (row.name, before, row.first_name) if name is not None and name in entries]
        return entries[names[0]] if names else None

    def place(self, location: Location, timezone: str = "UTC") -> Place:
        """A location with its secrets filled in and its path made whole."""
        path = None
        if location.path is not None:
            path = secrets.expand(location.path)
            if "://" not in path:  # an address such as s3a://… is Spark's own affair
                path = str(self.loaded.folder / Path(path).expanduser())
        url = None
        if location.url is not None:
            url = secrets.expand(location.url)
            for start in ("sqlite:///", "duckdb:///"):
                if url.startswith(start) and not url.startswith(f"{start}/"):
                    url = f"{start}{self.loaded.folder / url.removeprefix(start)}"
        return Place(
            location.describe(),
            path,
            url,
            location.db_schema,
            location.table,
            location.query,
            timezone,
            location.engine,
            read_spec(location.read),
        )

    @property
    def network(self) -> Network:
        """The way out of this machine's network, by its own file."""
        return network_of(self.loaded)

    @property
    def hash_key(self) -> str:
        """The key of the hashes that stand for sensitive values."""
        key = self.loaded.configuration.sensitive_key
        return secrets.expand(key) if key else "production-monitor"

    def log_spec(self, config: MonitorConfig) -> LogSpec:
        """What a worker needs to open a monitor's log."""
        columns = config.columns
        labels = None
        if config.labels is not None:
            own = config.labels
            labels = LabelSpec(
                place=self.place(own, own.timezone) if own.is_given else None,
                label=own.columns.label or columns.label or "label",
                label_time=own.columns.label_time or columns.label_time,
                id=own.columns.id or columns.id,
                delay_s=own.delay.approximate().total_seconds(),
            )
        time, place = columns.time_column, with_made_columns(self.place(config.source, config.source.timezone), columns)
        assert time is not None
        if isinstance(columns.event_time, list):
            place = replace(place, read=replace(place.read, time_of=tuple(columns.event_time)))
        elif isinstance(columns.event_time, TimeOfPath):
            place = replace(place, read=replace(place.read, time_path=columns.event_time.path))
        used = config.to_columns()
        only: tuple[str, ...] = ()
        if used.features is not None:
            attributions = used.attributions or {}
            if isinstance(attributions, str):
                attributions = {name: attributions.replace("{feature}", name) for name in used.features}
            only = (*used.features, *used.parts, *used.segments, *used.vector_parts, *attributions.values())
        return LogSpec(
            place=place,
            event_time=time,
            id=columns.id,
            logged_at=columns.logged_at,
            labels=labels,
            ignore=tuple(columns.ignore),
            only=only,
            sensitive=tuple(columns.sensitive),
            sample_rows=config.sample.rows,
            seed=config.sample.seed,
            group=columns.query,
            ahead=columns.issued_at is not None,
            hash_key=self.hash_key,
        )


def network_of(loaded: Loaded) -> Network:
    """The way out of this network that a configuration describes, secrets filled in."""
    outgoing = loaded.configuration.outgoing
    ca_file = secrets.expand(outgoing.ca_file)
    return Network(secrets.expand(outgoing.proxy), str(loaded.folder / Path(ca_file).expanduser()) if ca_file else "")


def open_database(loaded: Loaded) -> Database:
    """The report database that a configuration names."""
    return Database(database_url(loaded))


def database_url(loaded: Loaded) -> str:
    """The report database's address, with its secrets; a relative SQLite path is relative to the configuration."""
    url = secrets.expand(loaded.configuration.database)
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{loaded.folder / url.removeprefix('sqlite:///')}"
    return url
