"""Google Vertex AI: request-response logging, as rows of its BigQuery table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from monitor.sources.formats.base import TIME, Format, UnreadableRecord, named
from monitor.sources.formats.payloads import answers_of, decoded, inputs_of, together
from monitor.sources.spec import ReadSpec


class Vertex(Format):
    """A row a call; its payloads are lists of text, an element a row of the model."""

    name, title = "vertex", "request-response logging of Vertex AI"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By its columns."""
        return {"request_payload", "response_payload", "logging_time"} <= set(record)

    def rows(self, record: dict[str, Any], read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """One an element of the payloads."""
        inputs = [row for element in _elements(record["request_payload"]) for row in inputs_of(element, read.names)]
        answers = [row for element in _elements(record["response_payload"]) for row in answers_of(element)]
        version = record.get("deployed_model_id")
        extra = {} if version is None else {"model_version": str(version)}
        identity = record.get("request_id")
        identity = int(identity) if isinstance(identity, float) and identity.is_integer() else identity
        rows = named(identity, together(inputs, answers))
        return [{TIME: record["logging_time"], **extra, **row} for row in rows]


def _elements(payload: Any) -> list[Any]:
    if payload is None:
        raise UnreadableRecord("a payload is missing")
    if isinstance(payload, str):
        payload = json.loads(payload) if payload.lstrip().startswith("[") else [payload]
    return [decoded(element, "JSON", None) if isinstance(element, str) else element for element in payload]
