"""BentoML: the log of `bentoml.monitor`, whose schema says which column plays which part."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monitor.sources.formats.base import Format
from monitor.sources.spec import ReadSpec


class BentoML(Format):
    """A row a line; rows of one call share its id. Times are those of the container's zone (`source.timezone`)."""

    name, title = "bentoml", "the monitoring log of BentoML"
    shares_ids = True

    def recognises(self, record: dict[str, Any]) -> bool:
        """By the three columns that are added to each row."""
        return {"timestamp", "request_id", "trace_id"} <= set(record) and "captureData" not in record

    def rows(self, record: dict[str, Any], _read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """The row, without the id of its trace."""
        return [{name: value for name, value in record.items() if name != "trace_id"}]

    def roles(self, files: list[str]) -> dict[str, str]:
        """By the newest line of the schema beside the data."""
        folder = Path(files[0]).parent.parent / "schema"
        lines = [line for file in sorted(folder.glob("schema.*.log*")) for line in file.read_text("utf-8").splitlines()]
        roles: dict[str, str] = {"id": "request_id", "event_time": "timestamp"}
        try:
            columns = json.loads(lines[-1])["columns"] if lines else []
            for column in columns:
                role, kind = column.get("role"), column.get("type")
                if role == "prediction":
                    part = "prediction" if kind == "categorical" else "probability"
                    roles.setdefault(part, column["name"])
                elif role == "target":
                    roles.setdefault("label", column["name"])
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        return roles
