"""`monitor ingest`: rows from elsewhere into a monitor's store."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from monitor.cli import shared
from monitor.errors import UsageError


def ingest(
    name: Annotated[str, typer.Argument(help="The monitor, whose source (or labels) say `ingest: true`.")],
    kafka: Annotated[str, typer.Option(help="The brokers of Kafka: host:port, several separated by commas.")],
    topic: Annotated[str, typer.Option(help="The topic; each message is a row, an object of JSON.")],
    group: Annotated[str | None, typer.Option(help="The consumer group; monitor-NAME without it.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="The rows are labels.")] = False,
    record_format: Annotated[
        str | None, typer.Option("--format", help="The format of the messages, as `source.read.format` has it.")
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="A property of librdkafka, NAME=VALUE, with ${ENV} and ${file:…}; repeatable."),
    ] = None,
    until_idle: Annotated[
        str | None, typer.Option(help="End when nothing has come for so long, such as 10s; without it never.")
    ] = None,
    config: shared.ConfigOption = None,
    log_format: shared.LogFormatOption = "console",
    log_level: shared.LogLevelOption = "",
) -> None:
    """Consume a Kafka topic into a monitor's store. Offsets are committed only after rows are stored."""
    from monitor.config import secrets
    from monitor.domain.grid import Duration
    from monitor.logs import configure
    from monitor.services.consume import Topic, consume
    from monitor.services.context import Context
    from monitor.sources.formats import FORMATS

    configure(log_format, log_level or "info")
    formats = [entry.name for entry in FORMATS]
    if record_format not in (None, *formats):
        raise UsageError(f"--format takes {', '.join(formats)}, not {record_format}")
    given = dict(_pair(text) for text in properties or ())
    loaded = shared.load_configuration(config)
    idle_s = None if until_idle is None else Duration.parse(until_idle).approximate().total_seconds()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    wanted = Topic(
        kafka,
        topic,
        group or f"monitor-{name}",
        labels,
        record_format,
        {key: secrets.expand(value) for key, value in given.items()},
    )
    done = consume(Context(loaded, shared.open_existing(loaded)), name, wanted, stopped.is_set, idle_s)
    shared.say(f"{done.accepted} rows stored, {done.duplicates} were there already, {done.bad} messages set aside")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--property takes NAME=VALUE, not {text}")
    return key, value
