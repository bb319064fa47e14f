"""The canary: a synthetic model whose data drift on purpose, through source, run, judgement and channel, to the receipt
at the other end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

_DAYS, _ROWS = 6, 200


def fly(folder: Path) -> str:
    """Work through the canary's log in an empty folder; '' if its alert came out at the other end, else what did not
    happen.
    """
    from monitor.config.load import load
    from monitor.daemon import Daemon
    from monitor.domain.clock import ReplayClock
    from monitor.services.apply_configuration import BEGINNING

    _write(folder)
    with Daemon(load(folder / "monitor.yaml"), clock=ReplayClock(BEGINNING)) as daemon:
        outcome = daemon.replay()
    if outcome.unreachable or outcome.problems:
        return f"its source or reference could not be read: {'; '.join([*outcome.unreachable, *outcome.problems])}"
    if outcome.failed or outcome.finished < _DAYS:
        return f"{outcome.failed} of its runs failed, {outcome.finished} of {_DAYS} ended"
    return _receipt(folder / "received.jsonl")


def _receipt(path: Path) -> str:
    messages: list[dict[str, Any]] = (
        [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    )
    if not messages:
        return "its fault opened no alert, or nobody was told of it"
    if messages[0]["alert"]["kind"] != "quality" or "amount" not in messages[0]["text"]:
        return f"another alert came out than its own: {messages[0]['title']}"
    return ""


def _write(folder: Path) -> None:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    rows = (_DAYS + 2) * _ROWS
    amount = random.normal(50, 10, rows)
    chance = 1 / (1 + np.exp(-(amount - 50) / 5))
    times = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows) * 86400 / _ROWS, unit="s")
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "event_time": times.astype("datetime64[us]"),
            "amount": amount,
            "probability": chance.round(6),
            "prediction": (chance >= 0.5).astype(int),
            "label": (random.random(rows) < chance).astype(int),
        }
    )
    frame.head(2 * _ROWS).to_parquet(folder / "reference.parquet", index=False)
    log = frame.tail(-2 * _ROWS).drop(columns="label")
    log.loc[log["event_time"] >= "2025-01-06", "amount"] *= 100
    log.to_parquet(folder / "log.parquet", index=False)
    entry = {
        "task": "binary",
        "model": {"name": "canary"},
        "source": {"path": "log.parquet"},
        "reference": {"path": "reference.parquet"},
        "columns": {
            "id": "id",
            "event_time": "event_time",
            "prediction": "prediction",
            "probability": "probability",
            "label": "label",
        },
        "windows": {"length": "1d", "start": "2025-01-03"},
        "alerts": {"channels": ["receipt"]},
        "checks": {"thresholds": {"out_of_range_share": {"upper": 0.2}}},
    }
    values = {"monitors": {"canary": entry}, "channels": {"receipt": {"type": "file", "path": "received.jsonl"}}}
    (folder / "monitor.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
