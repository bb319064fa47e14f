"""Amazon SageMaker: data capture of an endpoint, with or without its ground truth; the ground truth by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from monitor.sources.formats.base import TIME, Format, UnreadableRecord, named
from monitor.sources.formats.payloads import answers_of, decoded, inputs_of, together
from monitor.sources.spec import ReadSpec

_HOUR = re.compile(r"/(\d{4})/(\d\d)/(\d\d)/(\d\d)/[^/]*$")


class SageMaker(Format):
    """Data capture of a real-time endpoint, and what a merge job made of it and its ground truth."""

    name, title = "sagemaker", "data capture of Amazon SageMaker"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By `captureData`."""
        return isinstance(record.get("captureData"), dict)

    def rows(self, record: dict[str, Any], read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """One a line of the request; either side may not have been captured."""
        captured, about = record["captureData"], record.get("eventMetadata") or {}
        inputs = _side(captured.get("endpointInput"))
        answers = _side(captured.get("endpointOutput"))
        rows = [] if inputs is None else inputs_of(inputs, read.names)
        answered = [] if answers is None else answers_of(answers, len(rows) or None)
        joined = together(rows, answered)
        if not joined:
            raise UnreadableRecord("neither side of the call was captured")
        truth = record.get("groundTruthData")
        if truth is not None:
            labels = [
                _first(row) for row in answers_of(decoded(truth.get("data"), truth.get("encoding"), None), len(joined))
            ]
            joined = together(joined, [{"label": label} for label in labels])
        moment = about.get("inferenceTime")
        return [{TIME: moment, **row} for row in named(about.get("inferenceId") or about.get("eventId"), joined)]


class SageMakerLabels(Format):
    """The ground truth that is uploaded for a model monitor."""

    name, title = "sagemaker-labels", "ground truth of Amazon SageMaker"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By `groundTruthData` alone."""
        return isinstance(record.get("groundTruthData"), dict) and "captureData" not in record

    def rows(self, record: dict[str, Any], _read: ReadSpec, file: str) -> Iterable[dict[str, Any]]:
        """One a label. When it was collected says the folder, to the hour: it counts as known at the hour's end."""
        truth, about = record["groundTruthData"], record.get("eventMetadata") or {}
        labels = answers_of(decoded(truth.get("data"), truth.get("encoding"), None))
        rows = [{"label": _first(label)} for label in labels]
        hour = _HOUR.search(file)
        extra = {} if hour is None else {"label_time": "{}-{}-{}T{}:59:59Z".format(*hour.groups())}
        return [{**row, **extra} for row in named(about.get("eventId"), rows)]


def _side(side: dict[str, Any] | None) -> Any:
    if side is None or side.get("data") is None:
        return None
    return decoded(side["data"], side.get("encoding"), side.get("observedContentType"))


def _first(row: dict[str, Any]) -> Any:
    return next(iter(row.values()), None)
