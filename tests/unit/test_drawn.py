"""What pages draw: a window that says nothing is a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from monitor.domain.checks import Verdict
from monitor.storage.overview import Value
from monitor.web import drawn

START = datetime(2025, 1, 1, tzinfo=UTC)


def value(day: int, verdict: str = "fine", version: str = "") -> Value:
    return Value(START + timedelta(days=day), 0.9, 0.8, 1.0, None, None, version, f"run{day}", verdict)


def test_windows_that_are_missing_or_say_too_little_are_gaps() -> None:
    line = drawn.line([value(0), value(1), value(2, Verdict.TOO_LITTLE_DATA.value), value(6), value(7)])
    assert line["value"] == [0.9, 0.9, None, None, 0.9, 0.9]
    assert line["x"][3] == (START + timedelta(days=3)).isoformat()
    assert line["lower"][2:4] == [None, None]


def test_two_versions_of_one_window_and_months_are_no_gap() -> None:
    assert None not in drawn.line([value(0), value(0, version="2"), value(1), value(1, version="2")])["value"]
    assert None not in drawn.line([value(0), value(31), value(59), value(90)])["value"]
    assert drawn.line([])["x"] == []


@pytest.mark.parametrize("edges", [[0.0, 1.0, 3.0], [0.0, 0.0, 2.0]])
def test_densities_hold_all_rows(edges: list[float]) -> None:
    plot = {"edges": edges, "reference": [1, 1], "window": [0, 4]}
    pair = drawn.pair(plot, plot)
    widths = [high - low for low, high in pairwise(edges)]
    area = sum(height * width for height, width in zip(pair["first"]["y"], widths, strict=False))
    assert area == pytest.approx(1.0)


def test_a_column_that_became_text_is_compared_by_its_values() -> None:
    numbers = {"edges": [0.0, 1.0, 2.0], "reference": [1, 1], "window": [3, 1]}
    texts = {"names": ["a", "b"], "reference": [1, 1], "window": [1, 1]}
    pair = drawn.pair(numbers, texts)
    assert pair["names"] == ["0 to 1", "1 to 2", "a", "b"]
    assert pair["second"] == [0.0, 0.0, 0.5, 0.5]
