"""KServe and Seldon: CloudEvents of requests and answers, as a broker hands them on or a logger stores them; Seldon's
documents of Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.sources.formats.base import SIDE, TIME, Format, UnreadableRecord, named
from monitor.sources.formats.payloads import answers_of, decoded, inputs_of, together
from monitor.sources.spec import ReadSpec

_EVENTS = ("inference.request", "inference.response")


class KServe(Format):
    """CloudEvents with bodies of the protocols V1, V2 and Seldon; two make a row."""

    name, title = "kserve", "requests and answers logged by KServe or Seldon"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By the type of its event."""
        kind = str(record.get("reqType") or record.get("type") or record.get("ce-type") or "")
        has_body = any(name in record for name in ("bytes", "data", "data_base64"))
        return has_body and (kind.endswith(_EVENTS) or ("reqType" in record and kind in ("request", "response")))

    def rows(self, record: dict[str, Any], read: ReadSpec, file: str) -> Iterable[dict[str, Any]]:
        """Half a row each. Files without a time of their own (CSV, Parquet) were written when the call was."""
        kind = str(record.get("reqType") or record.get("type") or record.get("ce-type"))
        if "bytes" in record or "data_base64" in record:
            body = decoded(record.get("bytes") or record.get("data_base64"), "BASE64", None)
        else:
            body = decoded(record.get("data"), None, None)
        identity = record.get("requestid") or record.get("id") or record.get("ce-id")
        if identity is None:
            raise UnreadableRecord("it has no id, by which a request and its answer belong together")
        if kind.endswith("response"):
            return named(identity, [{**row, SIDE: "response"} for row in answers_of(body)])
        moment = record.get("occurrenceTime") or record.get("time") or record.get("ce-time") or _written(file)
        return named(identity, [{**row, TIME: moment, SIDE: "request"} for row in inputs_of(body, read.names)])


def _written(file: str) -> str:
    return datetime.fromtimestamp(Path(file).stat().st_mtime, UTC).isoformat()


class Seldon(Format):
    """The documents that Seldon's logger keeps in Elasticsearch: request and answer of one row."""

    name, title = "seldon", "Seldon's request log"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By `RequestId` and both sides."""
        return "RequestId" in record and isinstance(record.get("request"), dict)

    def rows(self, record: dict[str, Any], read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """One. A document without an answer is still in flight, or failed."""
        request, response = record["request"], record.get("response")
        if not response:
            raise UnreadableRecord("it has no answer")
        inputs = inputs_of(request.get("elements") or [request.get("instance")], read.names)
        answers = response.get("elements") or {}
        labels = {str(name).removeprefix("t:"): value for name, value in answers.items()}
        answer_rows = (
            answers_of(
                {
                    "classes": list(labels),
                    "scores": [score[0] if isinstance(score, list) else score for score in labels.values()],
                }
            )
            if len(labels) > 1
            else answers_of([response.get("instance")])
        )
        moment = record.get("@timestamp") or request.get("ce-time")
        return [{TIME: moment, **row} for row in named(record["RequestId"], together(inputs, answer_rows))]
