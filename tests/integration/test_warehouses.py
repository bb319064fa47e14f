"""Warehouses that cannot be run here: the SQL of a log is compiled for each, and parsed as that dialect."""

from __future__ import annotations

from typing import Any

import ibis
import pytest
import sqlglot
from ibis.backends.sql import compilers

from monitor.errors import UsageError
from monitor.sources.engines import BY_SCHEME, engine_of
from monitor.sources.engines.base import Within
from monitor.sources.engines.warehouses import WAREHOUSES, Warehouse
from monitor.sources.log import Log
from monitor.sources.spec import LogSpec, Place
from tests.integration.test_sources import WINDOW

COMPILERS = {
    "snowflake": compilers.SnowflakeCompiler,
    "bigquery": compilers.BigQueryCompiler,
    "trino": compilers.TrinoCompiler,
    "clickhouse": compilers.ClickHouseCompiler,
    "databricks": compilers.DatabricksCompiler,
    "mssql": compilers.MSSQLCompiler,
    "oracle": compilers.OracleCompiler,
}
DIALECTS = {"mssql": "tsql"}


class Compiled(Warehouse):
    """A warehouse that keeps what it would be asked."""

    asked: list[Any]

    def connect(self, place: Place) -> Any:
        """Nobody answers here."""
        self.asked = []
        schema = {"id": self.ids, "event_time": "timestamp(6)", "amount": "float64", "city": "string", "label": "int64"}
        return type("Connection", (), {"table": lambda _self, _name, database=None: ibis.table(schema, name="log")})()

    ids = "int64"

    def frame(self, what: Any, expression: Any, within: Within) -> Any:
        """Keep the expression, and end there."""
        self.asked.append(expression(within))
        raise LookupError(what)


class WithTextIds(Compiled):
    """The same with ids that are text."""

    ids = "string"


@pytest.mark.parametrize("ids", [Compiled, WithTextIds])
@pytest.mark.parametrize("scheme", WAREHOUSES)
def test_the_sql_of_a_log_compiles_for_each(scheme: str, ids: type[Compiled], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_SCHEME, scheme, ids)
    log = Log(LogSpec(Place("log", url=f"{scheme}://host/database", table="log"), "event_time", "id"))
    for ask in (
        log.extent,
        lambda: log.counts(WINDOW),
        lambda: log.counts_by("city", WINDOW),
        lambda: log.sample(WINDOW, rows=10),
        lambda: log.row_count(WINDOW),
    ):
        with pytest.raises(LookupError):
            ask()
    compiler, hashed = COMPILERS[scheme](), False
    assert len(log.engine.asked) == 5  # type: ignore[attr-defined]
    for expression in log.engine.asked:  # type: ignore[attr-defined]
        text = compiler.to_sqlglot(expression).sql(dialect=compiler.dialect)
        assert sqlglot.parse_one(text, dialect=DIALECTS.get(scheme, scheme)) is not None
        hashed |= any(word in text.lower() for word in ("md5", "hashbytes"))
    assert hashed == (ids is WithTextIds)


def test_a_scheme_whose_library_is_not_there_says_which_to_install() -> None:
    with pytest.raises(UsageError, match=r"ibis-framework\[clickhouse\]"):
        engine_of(Place("log", url="clickhouse://host/database", table="log"))
