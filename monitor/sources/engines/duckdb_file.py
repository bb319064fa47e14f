"""Tables and queries of a DuckDB file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import ibis

from monitor.domain.text import first_line
from monitor.errors import SourceUnreachableError
from monitor.sources.engines.base import Engine
from monitor.sources.spec import Place


class DuckDBFile(Engine):
    """A DuckDB file, opened to be read."""

    def connect(self, place: Place) -> Any:
        """Raises SourceUnreachableError."""
        assert place.url is not None
        path = place.url.split("://", 1)[1].removeprefix("/")
        if not Path(path).is_file():
            raise SourceUnreachableError(f"there is no DuckDB file {place.shown}")
        try:
            connection = ibis.duckdb.connect(path, read_only=True, autoinstall_known_extensions=False)
            connection.raw_sql("SET TimeZone = 'UTC'")
        except duckdb.Error as error:
            raise SourceUnreachableError(f"{place.shown} cannot be opened: {first_line(error)}") from None
        return connection
