"""Tables and queries of warehouses, by the backends of ibis. Each needs its extra of ibis; their SQL is compiled in the
tests, no warehouse was run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from monitor.domain.text import first_line
from monitor.errors import SourceUnreachableError, UsageError
from monitor.sources.engines.base import Engine
from monitor.sources.spec import Place

# The schemes of addresses, which are also the names of the extras of ibis-framework.
WAREHOUSES = ("snowflake", "bigquery", "trino", "clickhouse", "databricks", "mssql", "oracle")
# They have no NaN.
_WITHOUT_NAN = ("mssql",)


@ibis.udf.scalar.builtin(name="md5")  # type: ignore[untyped-decorator]
def _md5_bytes(data: dt.binary) -> dt.binary:
    """The md5 of bytes, as bytes."""


@ibis.udf.scalar.builtin(name="md5")  # type: ignore[untyped-decorator]
def _md5_of_text(text: str) -> dt.binary:
    """The md5 of text, as bytes."""


@ibis.udf.scalar.builtin(name="MD5")  # type: ignore[untyped-decorator]
def _clickhouse_md5(text: str) -> dt.binary:
    """ClickHouse knows its functions by capitals, too."""


@ibis.udf.scalar.builtin(name="to_utf8")  # type: ignore[untyped-decorator]
def _to_utf8(text: str) -> dt.binary:
    """The bytes of text."""


@ibis.udf.scalar.builtin(name="to_hex")  # type: ignore[untyped-decorator]
def _to_hex(data: dt.binary) -> str:  # type: ignore[empty-body]
    """Bytes as hexadecimal text."""


@ibis.udf.scalar.builtin(name="hex")  # type: ignore[untyped-decorator]
def _hex(data: dt.binary) -> str:  # type: ignore[empty-body]
    """The same of ClickHouse."""


@ibis.udf.scalar.builtin(name="standard_hash")  # type: ignore[untyped-decorator]
def _standard_hash(text: str, how: str) -> dt.binary:
    """The hash of text of Oracle."""


@ibis.udf.scalar.builtin(name="rawtohex")  # type: ignore[untyped-decorator]
def _rawtohex(data: dt.binary) -> str:  # type: ignore[empty-body]
    """Bytes as hexadecimal text of Oracle."""


# Where the function `md5` gives no hexadecimal text.
_MD5: dict[str, Callable[[Any], Any]] = {
    "bigquery": lambda text: _to_hex(_md5_of_text(text)),
    "trino": lambda text: _to_hex(_md5_bytes(_to_utf8(text))),
    "clickhouse": lambda text: _hex(_clickhouse_md5(text)),
    "oracle": lambda text: _rawtohex(_standard_hash(text, "MD5")),
    "mssql": lambda text: text.hexdigest("md5"),
}


class Warehouse(Engine):
    """A warehouse that ibis connects to by its address (`ibis.connect`)."""

    def __init__(self, place: Place) -> None:
        self._scheme = (place.url or "").split("://", 1)[0]
        super().__init__(place)

    @property
    def knows_nan(self) -> bool:  # type: ignore[override]
        """Not all do."""
        return self._scheme not in _WITHOUT_NAN

    def connect(self, place: Place) -> Any:
        """Raises SourceUnreachableError, UsageError where the library of the warehouse is not installed."""
        assert place.url is not None
        try:
            return ibis.connect(place.url)
        except ImportError:
            raise UsageError(f"{place.shown} needs the extra ibis-framework[{self._scheme}]: install it") from None
        except Exception as error:
            raise SourceUnreachableError(f"{place.shown} cannot be reached: {first_line(error)}") from None

    def md5(self, text: Any) -> Any:
        """By each one's own functions."""
        return _MD5[self._scheme](text).lower() if self._scheme in _MD5 else super().md5(text)
