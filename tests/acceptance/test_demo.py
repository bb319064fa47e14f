"""`monitor demo` tells its story truly, and its folder can be looked at afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_demo_ends_well_and_calmly(tmp_path: Path, monitor_command: Command) -> None:
    told = monitor_command("demo", cwd=tmp_path, timeout=280)
    assert told.returncode == 0, told.stdout + told.stderr
    config = ("-c", "monitor-demo/monitor.yaml")
    alerts = json.loads(monitor_command("alerts", "list", "--all", "--json", *config, cwd=tmp_path).stdout)
    alerts = [alert for alert in alerts if alert["state"] != "pending"]
    assert [(alert["kind"], alert["columns"], alert["state"]) for alert in reversed(alerts)] == [
        ("quality", ["humidity"], "resolved"),
        ("performance", ["mae"], "resolved"),
    ]
    requests = json.loads(monitor_command("retraining", "list", "--json", *config, cwd=tmp_path).stdout)
    assert [request["state"] for request in requests] == ["succeeded"]
    references = json.loads(monitor_command("references", "list", "--json", *config, cwd=tmp_path).stdout)
    assert [each["model_version"] for each in references] == ["", "2"]
    for sentence in ("POST /alerts", "What happened", "Look further:", "began", "noticed"):
        assert sentence in told.stdout
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert monitor_command("demo", "--folder", "mine", cwd=tmp_path).returncode == 2
