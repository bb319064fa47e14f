"""Ingest: store the predictions and labels that models send where their monitor's source reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from structlog import get_logger

from monitor.config.model import Location, MonitorConfig
from monitor.domain.columns import Columns
from monitor.domain.text import listed, quoted
from monitor.errors import DataError, MonitorError, NotFoundError, UsageError
from monitor.services.context import Context
from monitor.services.reference_columns import reference_columns
from monitor.services.set_aside import store_folder
from monitor.sources.ingest import ColumnBound, IngestedBatch, as_text, as_times, open_store
from monitor.sources.ingest_table import TableStore
from monitor.sources.ingest_types import plain

log = get_logger()


@dataclass(frozen=True)
class _IngestTarget:
    monitor: str
    config: MonitorConfig
    place: Location
    columns: Columns


def ingest_predictions(context: Context, monitor: str, rows: pa.Table) -> IngestedBatch:
    """Keep predictions: a column for the id, the prediction or its probability, the features; the event time is now
    where none is given.

    Raises NotFoundError for an unknown monitor, UsageError for one whose source is not written here, DataError for rows
    that cannot be taken.
    """
    target = _ingest_target(context, monitor, labels=False)
    columns, times = target.columns, target.config.columns.time_column or "event_time"
    id_name = columns.id or "id"
    outputs = [name for name in (columns.prediction, *columns.probabilities.values()) if name is not None]
    rows = _timed(_checked(rows, [id_name, *outputs]), times)
    return _keep(context, target, rows, id_name, times, None)


def ingest_labels(context: Context, monitor: str, rows: pa.Table) -> IngestedBatch:
    """Keep labels: a column for the id, one for the label; its time is now where none is given. Another label for the
    same id corrects it.
    """
    target = _ingest_target(context, monitor, labels=True)
    own = target.config.labels
    assert own is not None
    id_name = own.columns.id or target.columns.id or "id"
    label = own.columns.label or target.columns.label or "label"
    rows = _checked(rows, [id_name, label])
    if rows[label].null_count:
        raise DataError(f"{quoted(label)} is missing in some of the rows: a label that is not known yet is not sent")
    times = own.columns.label_time or target.columns.label_time or "label_time"
    return _keep(context, target, _timed(rows, times), id_name, times, label)


def _keep(
    context: Context, target: _IngestTarget, rows: pa.Table, id_name: str, times: str, label: str | None
) -> IngestedBatch:
    ids, values = as_text(rows[id_name]), None if label is None else as_text(rows[label])

    def named() -> set[str]:
        parts = {id_name, times, *target.columns.all_names} | ({label} if label is not None else set())
        return parts | reference_columns(context, target.monitor)

    bound, place = ColumnBound(target.place.max_new_columns, named), target.place
    if place.path is not None:
        batch = open_store(store_folder(context.loaded, place.path)).add(rows, ids, values, bound)
    else:
        batch = TableStore(context.place(place), id_name, times, label).add(rows, ids, values, bound)
    if batch.new_columns:
        names = listed(batch.new_columns)
        log.warning("new_columns", monitor=target.monitor, number=len(batch.new_columns), columns=names)
    return batch


def open_stores(context: Context) -> None:
    """Open the stores of files, so that rows which waited when the service stopped become files though nobody sends
    more.
    """
    for name, config in context.configuration.monitors.items():
        for place in (config.source, config.labels):
            if place is not None and place.ingest and place.path is not None:
                try:
                    open_store(store_folder(context.loaded, place.path))
                except MonitorError as error:
                    log.error("store_not_opened", monitor=name, error=str(error))


def _ingest_target(context: Context, monitor: str, *, labels: bool) -> _IngestTarget:
    config = context.configuration.monitors.get(monitor)
    if config is None:
        raise NotFoundError(f"there is no monitor {monitor}")
    place: Location | None = config.labels if labels else config.source
    if place is None or not place.ingest:
        noun = "labels" if labels else "source"
        raise UsageError(f"the {noun} of {monitor} are not written by this API: set `ingest: true` in its `{noun}`")
    return _IngestTarget(monitor, config, place, config.to_columns())


def _checked(rows: pa.Table, needed: list[str]) -> pa.Table:
    """The rows with plain types. Raises DataError where a column is missing, comes twice, or cannot be kept."""
    names = set(rows.column_names)
    if len(names) != len(rows.column_names):
        raise DataError("a column's name comes twice")
    absent = [name for name in needed if name not in names]
    if absent:
        raise DataError(f"the rows have no column '{absent[0]}'; their columns are: {listed(rows.column_names)}")
    return plain(rows)


def _timed(rows: pa.Table, name: str) -> pa.Table:
    """The rows with their times; the time is now where none is given."""
    now = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
    if name not in rows.column_names:
        return rows.append_column(name, pa.chunked_array([pa.repeat(now, rows.num_rows)]))
    times = as_times(rows[name], name).fill_null(now)
    return rows.set_column(rows.column_names.index(name), name, times)
