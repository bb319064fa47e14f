"""The output of `monitor demo` is true, and its folder can be opened afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project
from tests.web import chromium, launch, served

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_the_demo_ends_well_and_calmly(tmp_path: Path, monitor_command: Command) -> None:
    result = monitor_command("demo", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    config = ("-c", "monitor-demo/monitor.yaml")
    alerts = json.loads(monitor_command("alerts", "list", "--all", "--json", *config, cwd=tmp_path).stdout)
    alerts = [alert for alert in alerts if alert["state"] != "pending"]
    assert [(alert["monitor"], alert["kind"], alert["columns"][0], alert["state"]) for alert in reversed(alerts)] == [
        ("bike-demand", "quality", "humidity", "resolved"),
        ("bike-demand", "performance", "mae", "resolved"),
        ("bike-demand-live", "quality", "hour", "firing"),
    ]
    assert f"http://127.0.0.1:8400/alerts/{alerts[0]['id']}" in result.stdout
    requests = json.loads(monitor_command("retraining", "list", "--json", *config, cwd=tmp_path).stdout)
    assert [request["state"] for request in requests] == ["succeeded"]
    references = json.loads(monitor_command("references", "list", "--json", *config, cwd=tmp_path).stdout)
    assert [reference["model_version"] for reference in references if reference["monitor"] == "bike-demand"] == [
        "",
        "2",
    ]
    for sentence in ("POST /alerts", "What happened", "Look further:", "began", "noticed"):
        assert sentence in result.stdout
    _visit_pages(
        Project(tmp_path / "monitor-demo", yaml.safe_load((tmp_path / "monitor-demo/monitor.yaml").read_text()))
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert monitor_command("demo", "--folder", "mine", cwd=tmp_path).returncode == 2


def _visit_pages(demo: Project) -> None:
    """Open its pages in a browser, if there is one. With MONITOR_SCREENSHOTS, save screenshots in docs/images."""
    if chromium() is None:
        return
    from playwright.sync_api import sync_playwright

    with served(demo) as site, sync_playwright() as playwright:
        ids = site.ids(request_state="succeeded")
        pages = {
            "fleet": "/",
            "monitor": "/monitors/bike-demand",
            "sensitivity": "/monitors/bike-demand#sensitivity",
            "column": "/monitors/bike-demand/column?column=humidity",
            "compare": "/monitors/bike-demand/compare",
            "window": f"/runs/{ids['data_run']}",
            "alert": f"/alerts/{ids['alert']}",
            "alerts": "/alerts?shown=all",
            "silences": "/silences",
            "deliveries": "/notifications",
            "retraining": "/retraining",
            "request": f"/retraining/{ids['request']}",
            "settings": "/settings",
        }
        browser = launch(playwright)
        for scheme in ("light", "dark"):
            tab = browser.new_context(base_url=site.url, color_scheme=scheme, viewport={"width": 1200, "height": 800})
            page, console_messages = tab.new_page(), []
            page.on("console", lambda message, console_messages=console_messages: console_messages.append(message.text))
            for name, address in pages.items():
                page.goto(address)
                page.wait_for_timeout(300)
                if "MONITOR_SCREENSHOTS" in os.environ:
                    page.wait_for_timeout(1200)
                    page.screenshot(path=IMAGES / f"{name}-{scheme}.png")
            assert console_messages == []
        browser.close()
