"""Files and tables read by Apache Spark, for logs that one machine cannot read. Needs the extra `spark`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as parquet

from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.sources.engines.base import Engine, WindowFilter
from monitor.sources.files import format_of
from monitor.sources.spec import Place

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Spark refuses times in nanoseconds; as numbers it reads them, and we make times of them.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


class Spark(Engine):
    """Apache Spark, here or on a cluster."""

    def connect(self, place: Place) -> Any:
        """Spark at `url` (`sc://host:15002` by Spark Connect, `spark://host:7077`, `local[4]`), or on this machine.
        Raises SourceUnreachableError if nobody answers.
        """
        try:
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError:
            raise UsageError("engine: spark needs PySpark: pip install 'production-monitor[spark]'") from None
        builder = SparkSession.builder.appName("production-monitor")
        address = place.url or "local[*]"
        builder = builder.remote(address) if address.startswith("sc://") else builder.master(address)
        if address.startswith("local"):
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        for name, value in _SETTINGS.items():
            builder = builder.config(name, value)
        try:
            session = builder.getOrCreate()
            if not address.startswith("sc://"):
                session.sparkContext.setLogLevel("ERROR")
            return ibis.pyspark.connect(session)
        except (PySparkException, OSError, RuntimeError) as error:
            raise SourceUnreachableError(f"{place.shown}: Spark cannot be reached: {first_line(error)}") from None

    def table(self, place: Place) -> Any:
        """The files, table or query as an ibis table. Raises DataError if it is not there."""
        from pyspark.errors import PySparkException

        try:
            if place.query is not None:
                return self.connection.sql(place.query)
            if place.path is None:
                return self.connection.table(place.table, database=place.db_schema or None)
            name = f"at_{hashlib.sha256(place.path.encode()).hexdigest()[:16]}"
            return _open_files(self.connection, place.path, name)
        except PySparkException as error:
            raise DataError(f"{place.shown} cannot be read by Spark: {first_line(error)}") from None

    def with_time(self, table: Any, name: str, place: Place) -> Any:
        """Times of JSON are text."""
        return _times_of_json(table, name, place)

    def frame(self, _name: Hashable, expression: Callable[[WindowFilter], Any], within: WindowFilter) -> pd.DataFrame:
        """The rows of an expression, by way of Arrow."""
        table: pa.Table = self.connection.raw_sql(ibis.to_sql(expression(within), dialect="pyspark")).toArrow()
        frame: pd.DataFrame = table.to_pandas(date_as_object=False)
        return frame


def _open_files(connection: Any, path: str, name: str) -> Any:
    kind = format_of(path) or "parquet"
    if kind == "csv":
        return connection.read_csv(path, table_name=name, header=True, inferSchema=True)
    if kind == "json":
        return connection.read_json(path, table_name=name)
    session = connection._session
    frame = session.read.parquet(path)
    for column, zoned in _nanoseconds(frame).items():
        quoted = column.replace("`", "``")
        kind = "TIMESTAMP" if zoned else "TIMESTAMP_NTZ"
        moment = f"CAST(timestamp_micros(`{quoted}` div 1000) AS {kind}) AS `{quoted}`"
        frame = frame.selectExpr(
            *(moment if column_name == column else f"`{column_name}`" for column_name in frame.columns)
        )
    frame.createOrReplaceTempView(name)
    return connection.table(name)


def _nanoseconds(frame: Any) -> dict[str, bool]:
    """The columns that hold times in nanoseconds, by the first file's own schema, and whether they have a zone."""
    longs = {name for name, kind in frame.dtypes if kind == "bigint"}
    files = frame.inputFiles()
    if not longs or not files:
        return {}
    try:
        system, path = pyarrow.fs.FileSystem.from_uri(files[0])
        schema = parquet.read_schema(path, filesystem=system)
    except (OSError, pa.ArrowException):  # storage that Spark reaches and we do not: numbers stay numbers
        return {}
    return {
        field.name: field.type.tz is not None
        for field in schema
        if field.name in longs and pa.types.is_timestamp(field.type)
    }


def _times_of_json(table: Any, name: str, place: Place) -> Any:
    """JSON knows no times: a column of ISO text that the engine has left as text is one, if every value is."""
    if (
        place.path is None
        or not any(kind in place.path for kind in (".json", ".ndjson"))
        or name not in table.columns
        or not table[name].type().is_string()
    ):
        return table
    times = table[name].try_cast("timestamp(6)")
    unreadable = table.filter(table[name].notnull() & times.isnull()).count().execute()
    return table if unreadable else table.mutate(**{name: times})
