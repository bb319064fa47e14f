"""Warehouses that the tests cannot run. The SQL of a log is compiled for each, and parsed in its dialect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import pandas as pd
import pytest
import sqlglot
from ibis.backends.sql import compilers

from monitor.errors import UsageError
from monitor.sources.engines import BY_SCHEME, engine_of
from monitor.sources.engines.base import WindowFilter
from monitor.sources.engines.warehouses import WAREHOUSES, Warehouse
from monitor.sources.log import Log
from monitor.sources.sample import KEY
from monitor.sources.spec import LabelSpec, LogSpec, Place
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
FRAME = pd.DataFrame({"id": [1, 2], "event_time": pd.Timestamp(WINDOW.start), "amount": 1.0, "city": "a"})


class Compiled(Warehouse):
    """A warehouse that keeps the expressions that it would run."""

    expressions: list[Any]

    def connect(self, place: Place) -> Any:
        """No server is connected to."""
        self.expressions = []
        schema = {"id": self.ids, "event_time": "timestamp(6)", "amount": "float64", "city": "string", "label": "int64"}
        return type("Connection", (), {"table": lambda _self, _name, database=None: ibis.table(schema, name="log")})()

    ids = "int64"

    def run(self, expression: Any, _within: WindowFilter | None = None) -> Any:
        """Keep the expression. A sample has no row, and a count has one row."""
        self.expressions.append(expression)
        schema = expression.schema().to_pandas()
        values = {name: [] if KEY in dict(schema) else [0 if kind.kind in "iu" else None] for name, kind in schema}
        return pd.DataFrame(
            {name: pd.Series(values[name], dtype=kind if not values[name] else None) for name, kind in schema}
        )


class WithTextIds(Compiled):
    """The same with ids that are text."""

    ids = "string"


@pytest.mark.parametrize("ids", [Compiled, WithTextIds])
@pytest.mark.parametrize("scheme", WAREHOUSES)
def test_the_sql_of_a_log_compiles_for_each(scheme: str, ids: type[Compiled], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_SCHEME, scheme, ids)
    place = Place("log", url=f"{scheme}://host/database", table="log")
    labels = LabelSpec(replace(place, table="labels"), "label", "event_time", "id", 0.0)
    log = Log(LogSpec(place, "event_time", "id", labels=labels))
    rows = FRAME.assign(**{KEY: FRAME["id"].astype(str)})
    for query in (
        log.extent,
        lambda: log.counts(WINDOW),
        lambda: log.counts_by("city", WINDOW),
        lambda: log.sample(WINDOW, rows=10),
        lambda: log.row_count(WINDOW),
        log.newest_label,
        lambda: log.labelled_rows(rows, WINDOW.end),
    ):
        before = len(log.engine.expressions)  # type: ignore[attr-defined]
        query()
        assert len(log.engine.expressions) > before  # type: ignore[attr-defined]
    compiler, hashed = COMPILERS[scheme](), False
    for expression in log.engine.expressions:  # type: ignore[attr-defined]
        text = compiler.to_sqlglot(expression).sql(dialect=compiler.dialect)
        assert sqlglot.parse_one(text, dialect=DIALECTS.get(scheme, scheme)) is not None
        hashed |= any(word in text.lower() for word in ("md5", "hashbytes"))
    assert hashed == (ids is WithTextIds)


def test_a_scheme_whose_library_is_not_there_says_which_to_install() -> None:
    with pytest.raises(UsageError, match=r"ibis-framework\[clickhouse\]"):
        engine_of(Place("log", url="clickhouse://host/database", table="log"))
