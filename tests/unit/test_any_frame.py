"""Fitting and evaluating any frame gives a verdict for each column, or a MonitorError that names the column."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import Columns, MonitorError, Reference, evaluate

ROWS = 80
NAMES = st.text(min_size=1, max_size=30)
MOMENT = dt.datetime(2025, 1, 1)


def arrow(values: list[Any], kind: pa.DataType) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


def columns_of(word: str, number: float) -> dict[str, pd.Series]:
    """A column of each type that pandas and Arrow know, some of it missing where the type has a way to say so."""
    places = np.arange(ROWS)
    whole = int(number) % 100
    objects = {
        "text": word,
        "bytes": word.encode("utf-8", "ignore"),
        "dict": {word: number},
        "set": {word},
        "list": [number, 2.0],
        "ragged": [1.0],
        "decimal": Decimal(whole),
        "date": dt.date(2025, 1, 1),
        "datetime": MOMENT,
        "time": dt.time(1),
        "timedelta": dt.timedelta(1),
        "type": int,
        "none": None,
        "complex": 1j,
        "tuple": (1, "a"),
        "huge": 10**30,
        "frame": pd.DataFrame(),
    }
    columns = {
        f"object of {name}": pd.Series([value if place % 7 else None for place in places], dtype=object)
        for name, value in objects.items()
    }
    columns["mixed"] = pd.Series([list(objects.values())[place % len(objects)] for place in places], dtype=object)
    columns |= {
        kind: pd.Series(places % 2 == 1 if kind.startswith("bool") else places % 7, dtype=kind)
        for kind in ("int8", "uint64", "float16", "float32", "bool", "Int64", "Float32", "boolean", "complex64")
    }
    columns |= {
        "numbers": pd.Series(np.where(places % 9 == 0, np.nan, number + places)),
        "infinite": pd.Series(np.where(places % 2 == 0, np.inf, -np.inf)),
        "string": pd.Series([word] * ROWS, dtype="string"),
        "category": pd.Series([word, "b"] * (ROWS // 2), dtype="category"),
        "category of numbers": pd.Series(places % 3, dtype="category"),
        "sparse": pd.Series(pd.arrays.SparseArray(np.where(places % 5 == 0, 1.0, np.nan))),
        "sparse whole": pd.Series(pd.arrays.SparseArray(places % 2)),
        "datetime64": pd.Series(pd.date_range("2025-01-01", periods=ROWS)),
        "datetime64 with zone": pd.Series(pd.date_range("2025-01-01", periods=ROWS, tz="Asia/Tokyo")),
        "year 1": pd.Series(np.array(["0001-01-01"] * ROWS, dtype="datetime64[s]")),
        "timedelta64": pd.Series(pd.timedelta_range(0, periods=ROWS)),
        "period": pd.Series(pd.period_range("2025-01", periods=ROWS, freq="M")),
        "interval": pd.Series(pd.interval_range(0, ROWS)),
        "arrow list": arrow([[1, 2]] * ROWS, pa.list_(pa.int64())),
        "arrow struct": arrow([{"a": 1}] * ROWS, pa.struct([("a", pa.int64())])),
        "arrow decimal": arrow([Decimal(1)] * ROWS, pa.decimal128(5, 2)),
        "arrow date": arrow([dt.date(2025, 1, 1)] * ROWS, pa.date32()),
        "arrow time": arrow([dt.time(1)] * ROWS, pa.time64("us")),
        "arrow duration": arrow([dt.timedelta(1)] * ROWS, pa.duration("s")),
        "arrow binary": arrow([b"\xff"] * ROWS, pa.binary()),
        "arrow null": arrow([None] * ROWS, pa.null()),
        "arrow timestamp": arrow([MOMENT] * ROWS, pa.timestamp("us", "UTC")),
        "arrow dictionary": arrow([word] * ROWS, pa.string()).astype("category"),
    }
    return columns


TYPES = list(columns_of("a", 1.0))


def framed(name: str, values: pd.Series, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=ROWS)
    frame = pd.DataFrame({"x": x, "prediction": 3 * x, "label": 3 * x + random.normal(size=ROWS)})
    frame[name] = values
    return frame


def fit_and_evaluate(name: str, before: pd.Series, after: pd.Series, page: Path | None = None) -> None:
    """Fit and evaluate: the result is a verdict, or a MonitorError that names the column."""
    columns = Columns(prediction="prediction", label="label")
    try:
        reference = Reference.fit(framed(name, before, 0), columns, "regression")
        reference = Reference.from_bytes(reference.to_bytes())
        evaluation = evaluate(reference, framed(name, after, 1))
    except MonitorError as error:
        assert name[:20] in str(error) or repr(name)[1:10] in str(error)  # noqa: PT017
        return
    verdicts = {check.column for check in evaluation.checks}
    assert "x" in verdicts
    if name in reference.features and name not in ("x", "prediction", "label"):
        assert name in verdicts
    assert all(len(finding.explanation) < 2_000 for finding in evaluation.findings)
    evaluation.to_json()
    if page is not None:
        evaluation.save_html(str(page))
        assert "<script>alert" not in page.read_text(errors="replace")


@pytest.mark.parametrize("kind", TYPES)
def test_a_column_of_each_type_ends_with_a_verdict(kind: str) -> None:
    values = columns_of("a word", 2.0)
    fit_and_evaluate("column", values[kind], values[kind])
    fit_and_evaluate("column", values["numbers"], values[kind])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=NAMES,
    word=st.text(max_size=40),
    number=st.floats(),
    before=st.sampled_from(TYPES),
    after=st.sampled_from(TYPES),
)
def test_any_type_may_become_any_other_under_any_name(
    name: str, word: str, number: float, before: str, after: str
) -> None:
    number = number if np.isfinite(number) else 0.0
    fit_and_evaluate(name, columns_of("a", 1.0)[before], columns_of(word, number)[after])


@pytest.mark.long
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=NAMES,
    word=st.text(max_size=200),
    number=st.floats(),
    before=st.sampled_from(TYPES),
    after=st.sampled_from(TYPES),
)
def test_any_type_may_become_any_other_under_any_name_many_times(
    name: str, word: str, number: float, before: str, after: str
) -> None:
    number = number if np.isfinite(number) else 0.0
    fit_and_evaluate(name, columns_of("a", 1.0)[before], columns_of(word, number)[after])


def test_nothing_of_the_log_runs_in_a_saved_page(tmp_path: Path) -> None:
    markup = '</script><script>alert(1)</script><img src=x onerror="alert(1)">'
    values = columns_of(markup, 1.0)
    fit_and_evaluate(markup, values["category"], values["object of text"], tmp_path / "page.html")
