"""Rows from a topic of Kafka into a monitor's store; offsets are committed only after rows are stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from structlog import get_logger

from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.services.context import Context
from monitor.services.ingest import ingest_labels, ingest_predictions
from monitor.services.set_aside import store_folder
from monitor.sources.dead_letters import FOLDER
from monitor.sources.formats import format_named
from monitor.sources.formats.base import SIDE, UnreadableRecord
from monitor.sources.ingest_body import json_column
from monitor.sources.records.columns import opened
from monitor.sources.spec import MADE_TIME, ReadSpec

log = get_logger()

_AT_ONCE, _WAIT_S = 5_000, 1.0


@dataclass(frozen=True)
class Topic:
    """What is consumed, and how. servers: host:port, separated by commas. properties: of librdkafka, for
    authentication. format: of records, None for plain rows.
    """

    servers: str
    topic: str
    group: str
    labels: bool = False
    format: str | None = None
    properties: Mapping[str, str] | None = None


@dataclass
class ConsumedMessages:
    """Counts of new rows, of rows that were stored already, and of messages that could not be stored."""

    accepted: int = 0
    duplicates: int = 0
    bad: int = 0


def consume(
    context: Context, monitor: str, topic: Topic, stopped: Callable[[], bool], idle_s: float | None = None
) -> ConsumedMessages:
    """Consume until `stopped`, or until nothing has come for `idle_s`. Raises SourceUnreachableError if the brokers do
    not answer, UsageError without the extra `kafka`.
    """
    client = _Client(topic)
    total, idle_since = ConsumedMessages(), datetime.now(UTC)
    try:
        while not stopped():
            messages = client.messages()
            if messages or not client.is_member:
                idle_since = datetime.now(UTC)
            if messages:
                _store(context, monitor, topic, messages, total)
                client.commit(messages)
            elif idle_s is not None and (datetime.now(UTC) - idle_since).total_seconds() >= idle_s:
                break
    finally:
        client.close()
    return total


class _Client:
    """A member of a consumer group."""

    def __init__(self, topic: Topic) -> None:
        try:
            import confluent_kafka
        except ImportError:
            raise UsageError(
                "`monitor ingest --kafka` needs the extra `kafka`: pip install 'production-monitor[kafka]'"
            ) from None
        self._kafka, self._topic = confluent_kafka, topic
        given = {"bootstrap.servers": topic.servers, "group.id": topic.group, **(topic.properties or {})}
        try:
            self._consumer = confluent_kafka.Consumer(
                given | {"enable.auto.commit": False, "auto.offset.reset": "earliest", "error_cb": self._failed}
            )
        except (confluent_kafka.KafkaException, ValueError) as error:
            raise UsageError(f"Kafka does not take this: {error}") from None
        self._error = ""
        self.is_member = False
        self._consumer.subscribe([topic.topic], on_assign=self._joined)

    def _joined(self, *_partitions: Any) -> None:
        self.is_member = True

    def _failed(self, error: Any) -> None:
        if error.code() == self._kafka.KafkaError._ALL_BROKERS_DOWN:
            self._error = str(error)

    def messages(self) -> list[Any]:
        """The next messages, as many as have come within a second. Raises SourceUnreachableError."""
        messages = self._consumer.consume(_AT_ONCE, _WAIT_S)
        for message in messages:
            error = message.error()
            if error is not None and not error.retriable():
                raise SourceUnreachableError(f"the topic {self._topic.topic} cannot be read: {error.str()}")
        if not messages and self._error:
            raise SourceUnreachableError(f"no broker of {self._topic.servers} answers: {self._error}")
        self._error = ""
        return [message for message in messages if message.error() is None]

    def commit(self, messages: Sequence[Any]) -> None:
        """Commit the offsets of messages: the group does not get them again."""
        last: dict[tuple[str, int], int] = {}
        for message in messages:
            last[message.topic(), message.partition()] = max(
                last.get((message.topic(), message.partition()), -1), message.offset()
            )
        offsets = [self._kafka.TopicPartition(name, part, offset + 1) for (name, part), offset in last.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._kafka.KafkaException as error:
            # The rows are stored; whoever is given the messages again finds them there already.
            log.warning("offsets_not_committed", topic=self._topic.topic, error=str(error))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


def _store(context: Context, monitor: str, topic: Topic, messages: Sequence[Any], total: ConsumedMessages) -> None:
    """Store the rows of messages; a message that cannot be stored is set aside, and the others go on."""
    config = context.configuration.monitors.get(monitor)
    time = config.columns.time_column if config is not None else None
    parsed: list[tuple[Any, list[dict[str, Any]]]] = []
    for message in messages:
        try:
            parsed.append((message, _rows(message, topic, time or MADE_TIME)))
        except (ValueError, UnreadableRecord) as error:
            _set_aside(context, monitor, topic, message, str(error), total)
    _keep(context, monitor, topic, parsed, total)


def _keep(
    context: Context,
    monitor: str,
    topic: Topic,
    parsed: list[tuple[Any, list[dict[str, Any]]]],
    total: ConsumedMessages,
) -> None:
    """Store messages together, or where that cannot be, each half by itself."""
    rows = [row for _, message_rows in parsed for row in message_rows]
    if not rows:
        return
    try:
        table = pa.table({name: json_column(name, values) for name, values in opened(rows, {}).items()})
        batch = (ingest_labels if topic.labels else ingest_predictions)(context, monitor, table)
    except DataError as error:
        if len(parsed) == 1:
            _set_aside(context, monitor, topic, parsed[0][0], str(error), total)
            return
        half = len(parsed) // 2
        _keep(context, monitor, topic, parsed[:half], total)
        _keep(context, monitor, topic, parsed[half:], total)
        return
    total.accepted += batch.accepted
    total.duplicates += batch.duplicates


def _rows(message: Any, topic: Topic, time: str) -> list[dict[str, Any]]:
    """The rows of a message; predictions without a time have that of the message. Raises ValueError,
    UnreadableRecord.
    """
    record = json.loads(message.value() or b"")
    if not isinstance(record, dict):
        raise ValueError("the message is no object of JSON")  # noqa: TRY004 - as for all other messages
    rows = [record]
    if topic.format is not None:
        rows = list(format_named(topic.format).rows(record, ReadSpec(), topic.topic))
    if any(SIDE in row for row in rows):
        raise UnreadableRecord("requests and answers come apart: bring them together before they are sent")
    kind, milliseconds = message.timestamp()
    if not kind or topic.labels:
        return rows
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    return [{time: moment, **row} for row in rows]


def _set_aside(context: Context, monitor: str, topic: Topic, message: Any, why: str, total: ConsumedMessages) -> None:
    total.bad += 1
    where = f"{message.topic()}[{message.partition()}] at {message.offset()}"
    config = context.configuration.monitors.get(monitor)
    place = None if config is None else config.labels if topic.labels else config.source
    if place is not None and place.path is not None:
        folder = store_folder(context.loaded, place.path) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        record = {"where": where, "why": why, "value": (message.value() or b"").decode("utf-8", "replace")}
        with (folder / "kafka.jsonl").open("a", encoding="utf-8") as opened_file:
            opened_file.write(json.dumps(record) + "\n")
    log.error("message_set_aside", monitor=monitor, message=where, reason=why)
