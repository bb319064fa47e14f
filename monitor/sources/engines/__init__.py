"""The engines that read logs, in a registry: by `source.engine`, for files, and by the scheme of an address."""

from __future__ import annotations

from monitor.errors import UsageError
from monitor.sources.engines.base import Engine
from monitor.sources.engines.duckdb import DuckDB
from monitor.sources.engines.duckdb_file import DuckDBFile
from monitor.sources.engines.mysql import MySQL
from monitor.sources.engines.postgresql import PostgreSQL
from monitor.sources.engines.spark import Spark
from monitor.sources.engines.sqlite import SQLite
from monitor.sources.engines.warehouses import WAREHOUSES, Warehouse
from monitor.sources.spec import Place, ReadSpec

BY_NAME: dict[str, type[Engine]] = {"spark": Spark}
BY_SCHEME: dict[str, type[Engine]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgres": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MySQL,
    "duckdb": DuckDBFile,
    **dict.fromkeys(WAREHOUSES, Warehouse),
}


def engine_of(place: Place) -> Engine:
    """A connection to where a place is. Raises SourceUnreachableError if nobody answers, UsageError for an address that
    no engine reads.
    """
    return _class_of(place)(place)


def _class_of(place: Place) -> type[Engine]:
    if place.own_path is None and place.read != ReadSpec():
        raise UsageError(
            f"{place.shown}: `read`, and a time that is made of columns or of a path, go with files that Monitor reads"
            " itself; write a `query` instead"
        )
    if place.engine is not None:
        return BY_NAME[place.engine]
    if place.path is not None:
        return DuckDB
    scheme = (place.url or "").split("://", 1)[0].split("+", 1)[0]
    if scheme not in BY_SCHEME:
        readable = ", ".join(f"{scheme}://" for scheme in BY_SCHEME)
        raise UsageError(f"{place.shown}: tables are read from {readable}; not from {scheme}://")
    return BY_SCHEME[scheme]
