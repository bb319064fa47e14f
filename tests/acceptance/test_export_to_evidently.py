"""`monitor export evidently`: stored reports in a workspace of Evidently, once each."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Project, logged
from tests.processes import wait_until
from tests.web import chromium, launch

Command = Callable[..., subprocess.CompletedProcess[str]]

# Evidently imports many modules when it starts, and the machine may be busy.
_STARTS_S = 120


@pytest.fixture
def decayed(project: Project) -> Project:
    """A project with four windows, whose model has decayed in the last."""
    frame = logged()
    late = frame["event_time"] >= "2025-01-16"
    frame.loc[late, "label"] = 1 - frame.loc[late, "label"]
    project.labels(frame)
    project.monitor["model"] = {"name": "churn-model", "version": "3"}
    project.run()
    return project


def reports(folder: Path) -> dict[str, dict[str, Any]]:
    """The reports of a workspace, by the ids of their runs."""
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*/snapshots/*")}


def test_stored_reports_become_a_workspace(decayed: Project, monitor_command: Command) -> None:
    done = monitor_command("export", "evidently", "--workspace", "out", cwd=decayed.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "out: 8 reports added, 0 already there" in done.stdout
    from evidently.ui.workspace import Workspace

    workspace = Workspace(str(decayed.folder / "out"))
    (project,) = workspace.list_projects()
    assert (project.name, project.description) == ("churn", "Model churn-model, by Monitor")
    by_run = reports(decayed.folder / "out")
    runs = {
        run: (start, kind)
        for run, start, kind in decayed.query("SELECT run, window_start, kind FROM monitor_runs WHERE is_current = 1")
    }
    assert by_run.keys() == runs.keys() == set(map(str, workspace.list_runs(project.id)))
    for run, (start, kind) in runs.items():
        metadata, report = by_run[run]["metadata"], by_run[run]
        assert (metadata["run"], metadata["kind"], metadata["monitor"]) == (run, kind, "churn")
        assert (metadata["model_id"], metadata["model_version"]) == ("churn-model", "3")
        assert datetime.fromisoformat(report["timestamp"]) == datetime.fromisoformat(start)
        verdicts = Counter(
            verdict for (verdict,) in decayed.query("SELECT verdict FROM monitor_checks WHERE run = ?", run)
        )
        tests = [test for result in report["metric_results"].values() for test in result["tests"]]
        assert Counter(test["test_config"]["verdict"] for test in tests) == verdicts
        paging = decayed.query(
            "SELECT COUNT(*) FROM monitor_findings WHERE run = ? AND severity IN ('warning', 'critical') AND kind <>"
            " 'blind'",
            run,
        )
        assert sum(test["status"] == "FAIL" for test in tests) == paging[0][0]


def test_a_second_export_adds_what_is_new_alone(decayed: Project, monitor_command: Command) -> None:
    def export(*more: str) -> str:
        done = monitor_command("export", "evidently", "--workspace", "out", *more, cwd=decayed.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "4 reports added" in export("--monitor", "churn", "--from", "2025-01-06", "--to", "2025-01-16")
    starts = sorted({report["metadata"]["window_start"][:10] for report in reports(decayed.folder / "out").values()})
    assert starts == ["2025-01-06", "2025-01-11"]
    assert "4 reports added, 4 already there" in export()
    before = {path: path.stat().st_mtime_ns for path in decayed.folder.glob("out/*/snapshots/*")}
    assert "0 reports added, 8 already there" in export()
    assert before == {path: path.stat().st_mtime_ns for path in decayed.folder.glob("out/*/snapshots/*")}
    again = monitor_command(
        "backfill", "churn", "--from", "2025-01-06", "--to", "2025-01-11", "--log-level", "error", cwd=decayed.folder
    )
    assert again.returncode == 0, again.stderr
    with sqlite3.connect(decayed.folder / "monitor.db") as connection:  # as `retention` removes old reports
        run = decayed.query("SELECT run FROM monitor_runs WHERE is_current = 0")[0]
        connection.execute("DELETE FROM snapshots WHERE run_id = (SELECT id FROM runs WHERE uuid = ?)", run)
    assert "2 reports added, 6 already there, 2 removed that later looks have replaced" in export()
    windows = Counter(
        (report["metadata"]["window_start"], report["metadata"]["kind"])
        for report in reports(decayed.folder / "out").values()
    )
    assert set(windows.values()) == {1}
    assert len(windows) == 8


def test_a_report_written_in_part_is_not_taken_for_one(decayed: Project, monitor_command: Command) -> None:
    monitor_command("export", "evidently", "--workspace", "out", cwd=decayed.folder)
    path = next(decayed.folder.glob("out/*/snapshots/*.json"))
    path.rename(path.with_suffix(".part"))
    done = monitor_command("export", "evidently", "--workspace", "out", cwd=decayed.folder)
    assert "1 report added, 7 already there" in done.stdout
    assert not path.with_suffix(".part").exists()


def test_a_damaged_report_is_named_and_left_out(decayed: Project, monitor_command: Command) -> None:
    with sqlite3.connect(decayed.folder / "monitor.db") as connection:
        connection.execute("UPDATE snapshots SET data = x'00' WHERE run_id = (SELECT MIN(run_id) FROM snapshots)")
    (run,) = decayed.query("SELECT uuid FROM runs WHERE id = (SELECT MIN(run_id) FROM snapshots)")[0]
    done = monitor_command("export", "evidently", "--workspace", "out", cwd=decayed.folder)
    assert "7 reports added" in done.stdout
    assert f"1 stored report left out that cannot be read, of runs: {run[:8]}" in done.stderr
    assert done.returncode not in (0, 3)
    assert run not in reports(decayed.folder / "out")


def test_exports_that_cannot_be_say_why(decayed: Project, monitor_command: Command) -> None:
    (decayed.folder / "file").write_text("")
    for arguments, message in (
        (["--workspace", "out", "--monitor", "chrun"], "there is no monitor chrun in the database; there are: churn"),
        (["--workspace", "out", "--from", "2030-01-01"], "there is no report in this range"),
        (
            ["--workspace", "out", "--from", "2025-02-01", "--to", "2025-01-01"],
            "--from 2025-02-01 must lie before --to 2025-01-01",
        ),
        (["--workspace", "out", "--from", "soon"], "'soon' is no time"),
        (["--workspace", "file"], "file is a file: --workspace takes a folder"),
        (["--workspace", "file/below"], "file/below cannot be written: Not a directory"),
    ):
        done = monitor_command("export", "evidently", *arguments, cwd=decayed.folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
    assert not (decayed.folder / "out").exists()


@contextmanager
def evidently_ui(workspace: Path, log: Path) -> Iterator[str]:
    """Evidently's own service on a free port of this machine, without telemetry. Yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "evidently"), "ui", "--workspace", str(workspace), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as written:
        service = subprocess.Popen(
            command, cwd=workspace.parent, env=os.environ | {"DO_NOT_TRACK": "1"}, stdout=written, stderr=written
        )
        try:
            wait_until(lambda: service.poll() is not None or _answers(url), _STARTS_S)
            assert service.poll() is None, log.read_text()
            yield url
        finally:
            service.terminate()
            try:
                service.wait(20)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/version", timeout=1).ok
    except requests.RequestException:
        return False


@pytest.mark.long
def test_evidentlys_own_pages_show_model_and_verdicts(decayed: Project, monitor_command: Command) -> None:
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    from playwright.sync_api import expect, sync_playwright

    monitor_command("export", "evidently", "--workspace", "out", cwd=decayed.folder)
    (worst,) = (
        report for report in reports(decayed.folder / "out").values() if report["metadata"]["severity"] == "critical"
    )
    tests = [test for result in worst["metric_results"].values() for test in result["tests"]]
    answers: list[tuple[int, str]] = []
    requested: list[str] = []
    with evidently_ui(decayed.folder / "out", decayed.folder / "ui.log") as url, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(base_url=url, viewport={"width": 1300, "height": 1000})
        page.on("response", lambda response: answers.append((response.status, response.url)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto("/")
        page.get_by_role("link", name="churn", exact=True).click()
        page.get_by_role("link", name="Reports").or_(page.get_by_role("tab", name="Reports")).first.click()
        row = page.get_by_role("row").filter(has_text=worst["metadata"]["run"])
        expect(row).to_contain_text("churn, performance: 2025-01-16 00:00 to 2025-01-21 00:00 UTC", timeout=60_000)
        expect(row).to_contain_text("churn-model")
        expect(row).to_contain_text("version 3")
        row.get_by_role("link", name="View").click()
        page.get_by_role("tab", name="Tests").click()
        alerts = page.get_by_role("alert")
        expect(alerts).to_have_count(len(tests), timeout=60_000)
        first_alert = alerts.first.inner_text()
        assert first_alert.startswith("ROC AUC\n\nROC AUC is 0.")
        assert "the lower limit is" in first_alert
        shown = page.inner_text("body")
        for status in ("SUCCESS", "FAIL", "ERROR", "WARNING"):
            number = sum(test["status"] == status for test in tests)
            assert re.search(rf"\b{number}\s+{status}\b", shown), (number, status)
        for test in tests:
            assert test["name"] in shown
            assert test["description"] in shown
        browser.close()
    assert [answer for answer in answers if answer[0] >= 400] == []
    assert [address for address in requested if not address.startswith((url, "data:", "blob:"))] == []
    assert " 500 " not in (decayed.folder / "ui.log").read_text()
