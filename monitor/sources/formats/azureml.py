"""Azure Machine Learning: the model data collector; inputs and outputs are records, and mostly folders, of their
own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.sources.formats.base import SIDE, TIME, Format, UnreadableRecord, named
from monitor.sources.formats.payloads import answers_of, inputs_of
from monitor.sources.spec import ReadSpec


class AzureML(Format):
    """What the collector of an online endpoint wrote."""

    name, title = "azureml", "the model data collector of Azure Machine Learning"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By its envelope."""
        return {"correlationid", "data", "time"} <= set(record) and "specversion" in record

    def rows(self, record: dict[str, Any], read: ReadSpec, file: str) -> Iterable[dict[str, Any]]:
        """Half a row each: calls that were collected together share an id, and their rows go by position."""
        if str(record.get("datainblob", "")).lower() == "true":
            raise UnreadableRecord("its data lies in a blob of its own, being larger than 4 MB")
        description = f"{record.get('type', '')} {file}".lower()
        moment, identity = record.get("time"), record.get("correlationid")
        if any(word in description for word in ("inputs_outputs",)):
            return [{TIME: moment, **row} for row in named(identity, inputs_of(record["data"], read.names))]
        if any(word in description for word in ("output", "response")):
            rows = [{**row, SIDE: "response"} for row in answers_of(record["data"])]
        else:
            rows = [{**row, TIME: moment, SIDE: "request"} for row in inputs_of(record["data"], read.names)]
        return named(identity, rows)
