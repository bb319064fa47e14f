"""Databricks: inference tables of model serving, of both generations; one record a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.sources.formats.base import TIME, Format, UnreadableRecord, moment_of, named
from monitor.sources.formats.payloads import answers_of, decoded, inputs_of, together
from monitor.sources.spec import ReadSpec


class Databricks(Format):
    """An inference table, as it is stored or as a query gives it."""

    name, title = "databricks", "an inference table of Databricks"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By its columns, whatever the table is called."""
        return {"databricks_request_id", "request", "response"} <= set(record)

    def rows(self, record: dict[str, Any], read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """One a row of the request. A call that failed is no prediction."""
        status = record.get("status_code")
        if status not in (None, 200, "200"):
            raise UnreadableRecord(f"the call failed with status {status}: it is no prediction")
        if record["request"] is None or record["response"] is None:
            raise UnreadableRecord("its request or answer was not logged, being too large")
        inputs = inputs_of(decoded(record["request"], "JSON", None), read.names)
        body = decoded(record["response"], "JSON", None)
        if isinstance(body, dict):
            body.pop("databricks_output", None)
        rows = together(inputs, answers_of(body, len(inputs)))
        about = record.get("request_metadata") or {}
        version = record.get("served_entity_id") or (about.get("model_version") if isinstance(about, dict) else None)
        moment = record.get("timestamp_ms", record.get("request_time", record.get("event_time")))
        extra = {} if version is None else {"model_version": str(version)}
        return [{TIME: moment_of(moment), **extra, **row} for row in named(record["databricks_request_id"], rows)]
