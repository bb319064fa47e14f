"""MLflow: the table of an evaluation, one document of columns and rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from monitor.sources.formats.base import Format
from monitor.sources.formats.payloads import inputs_of
from monitor.sources.spec import ReadSpec


class MLflow(Format):
    """A table written as `{"columns": […], "data": [[…], …]}` (pandas' orient `split`)."""

    name, title = "mlflow", "a table of MLflow"

    def recognises(self, record: dict[str, Any]) -> bool:
        """By its two lists."""
        return isinstance(record.get("columns"), list) and isinstance(record.get("data"), list)

    def rows(self, record: dict[str, Any], _read: ReadSpec, _file: str) -> Iterable[dict[str, Any]]:
        """Its rows."""
        return inputs_of({"columns": record["columns"], "data": record["data"]}, ())
