"""Tables of the command line fit the terminal: in a table that is too wide each row becomes several lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.cli.shared import show

SUMMARY = (
    "ROC AUC is 0.482, down 0.38 from 0.861 in the reference. Allowing for chance, it is worse by 0.31 to 0.45; the"
    " limit is 0.02."
)
ROWS = [
    {
        "id": "3f2a7c1e",
        "severity": "critical",
        "state": "firing",
        "kind": "performance",
        "monitor": "churn-eu",
        "since": datetime(2025, 3, 3, tzinfo=UTC),
        "bad_windows": 2,
        "summary": SUMMARY,
    },
    {
        "id": "77aa0000",
        "severity": "warning",
        "state": "firing",
        "kind": "quality",
        "monitor": "churn-us",
        "since": datetime(2025, 3, 4, tzinfo=UTC),
        "bad_windows": 1,
        "summary": "short",
    },
]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_listing_fits_every_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    show(ROWS, list(ROWS[0]), False, "")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    words = set(text.split())
    for row in ROWS:
        for value in row.values():
            shown = f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
            assert set(shown.split()) <= words, (width, shown)
    assert (text.split()[:2] == ["id", "severity"]) == (width >= 120)
