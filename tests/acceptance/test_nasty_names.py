"""Names of the log are data in every place that shows them. There is one test per place, all with the same list."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import unicodedata
from datetime import timedelta
from email import message_from_string
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor import Columns, Reference, evaluate
from monitor.analysis.plots import picture
from monitor.services.dispatch_alerts import dispatch_alerts
from tests.acceptance.test_alerts_reach_people import mails
from tests.alerting import Service
from tests.conftest import Project
from tests.nasty_names import CONTROLS, MARKUP, NASTY
from tests.receivers import ForwardProxy, authority, raw, read_request
from tests.web import chromium, launch, served

# `${` in the configuration is always a reference to the environment.
CONFIGURED = [name for name in NASTY if "${" not in name]
# A name with all kinds of special text, for the places that show one name.
WORST = f"{MARKUP[2]}<!channel>@everyone{CONTROLS[0]}{CONTROLS[6]}"


def notified_service(project: Project, channel: Any, **extra: Any) -> Service:
    """A service with these names of models, tags and columns. Each has a firing alert, and one message has them all."""
    entries = {
        f"m{number}": {"model": {"name": name}, "tags": {"team": name}, "description": name}
        for number, name in enumerate([WORST, *CONFIGURED])
    }
    service = Service(
        project, entries, channels={"ops": channel}, grouping={"group_by": [], "group_wait": "0s"}, **extra
    )
    for number, name in enumerate([WORST, *CONFIGURED]):
        service.event(f"m{number}", "performance", summary=f"roc_auc of {name} fell", columns=(name,))
    service.clock.move_to(service.clock.now() + timedelta(seconds=5))
    dispatch_alerts(service.context)
    service.deliverer.drain()
    assert service.deliverer.failed == 0
    return service


class Tags(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def obeyed_by_terminals(text: str) -> list[str]:
    """The characters of a text that a terminal may interpret."""
    return [
        character
        for character in text
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\n\t"
    ]


@pytest.mark.parametrize("form", ["text", "html"])
def test_in_mail(project: Project, form: str) -> None:
    with mails() as (url, arrived):
        notified_service(project, f"{url}&format={form}")
    assert arrived
    for text in arrived:
        mail = message_from_string(text, policy=default)
        assert mail["Bcc"] is None
        assert mail["To"] == "oncall@example.org"
        assert "\n" not in mail["Subject"]
        bodies = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        for kind, body in bodies.items():
            page = Tags(body) if kind == "text/html" else None
            if page is not None:
                assert page.tags <= {
                    "html",
                    "head",
                    "body",
                    "br",
                    "p",
                    "div",
                    "span",
                    "h1",
                    "h2",
                    "h3",
                    "a",
                    "b",
                    "ul",
                    "li",
                }, page.tags
                assert all(link.startswith("http://127.0.0.1:8400/") for link in page.links), page.links
            text = body if page is None else page.text.replace("\xa0", " ")
            assert [name for name in MARKUP if name not in text] == [], kind
            assert not obeyed_by_terminals(text.replace("\u200b", "").replace("\r\n", "\n")), kind


def test_in_slack_by_apprise(project: Project) -> None:
    """The request to Slack's documented incoming webhook, on a local server. Monitor's own form for Slack is tested in
    tests/unit/test_channel_forms.py.
    """
    posted: list[bytes] = []

    def slack(connection: socket.socket) -> None:
        posted.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")

    own = authority(project.folder, "hooks.slack.com")
    with raw(slack, own.context) as server:
        proxy = ForwardProxy({"hooks.slack.com": server.port})
        with raw(proxy) as proxy_server:
            network = {"proxy": f"http://127.0.0.1:{proxy_server.port}", "ca_file": str(own.ca_file)}
            notified_service(project, f"slack://T1JJ3T3L2/A1BRTD4JD/{'a' * 24}/#ops", outgoing=network)
    assert posted
    for body in posted:
        for attachment in json.loads(body)["attachments"]:
            for part in ("title", "text"):
                # By Slack's documentation, only & < > begin markup.
                assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", attachment[part]), part
                assert not re.search(r"@(everyone|here|channel)", attachment[part]), part
                assert not obeyed_by_terminals(attachment[part].replace("\u200b", "")), part


def test_in_pictures() -> None:
    words = [*NASTY, WORST]
    for at in range(0, len(words), 12):
        names = words[at : at + 12]
        values: dict[str, Any] = {"names": names, "reference": [1] * len(names), "window": [1] * len(names)}
        drawn = picture({names[0]: values, WORST: values}, [names[0], WORST])  # titles and values are written alike
        assert drawn is not None
        assert drawn.startswith(b"\x89PNG")


def test_in_prometheus_labels(project: Project) -> None:
    notified_service(project, {"type": "file", "path": "told.jsonl"})
    with served(project) as site:
        answer = site.get("/metrics")
        answer.encoding = "utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    models = {sample.labels["monitor"]: sample.labels["model"] for sample in families["monitor_model_health"].samples}
    assert models == {f"m{number}": name for number, name in enumerate([WORST, *CONFIGURED])}
    tool = shutil.which("promtool")
    if tool is not None:
        done = subprocess.run([tool, "check", "metrics"], input=answer.content, capture_output=True, check=False)
        assert b"error while linting" not in done.stderr
        assert done.returncode in (0, 3), done.stderr  # 3: it would name a metric otherwise


@pytest.mark.long
def test_in_terminals(project: Project) -> None:
    service = notified_service(project, {"type": "file", "path": "told.jsonl"})
    alert = service.event("m0", "performance")
    service.said(alert, "acknowledged", by=WORST, note=WORST)
    text = ", ".join(f"'{name}'" for name in (CONTROLS[0], CONTROLS[2], CONTROLS[9]))
    for command in (
        ["status"],
        ["alerts", "show", alert],
        ["query", f"SELECT {text}"],
        ["query", "--format", "csv", f"SELECT {text}"],
    ):
        shown = on_a_terminal(*command, cwd=project.folder)
        assert shown.strip(), command
        assert not obeyed_by_terminals(shown), (command, obeyed_by_terminals(shown))
    values = list(json.loads(on_a_terminal("query", "--json", f"SELECT {text}", cwd=project.folder))[0].values())
    assert values == [CONTROLS[0], CONTROLS[2], CONTROLS[9]]
    wrong = on_a_terminal("alerts", "show", CONTROLS[0], cwd=project.folder)
    assert "there is no alert" in wrong
    assert not obeyed_by_terminals(wrong)


def on_a_terminal(*arguments: str, cwd: Path) -> str:
    """The output of a command on a terminal without colours."""
    ours, its = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-m", "monitor", *arguments]
    process = subprocess.Popen(command, cwd=cwd, stdin=its, stdout=its, stderr=its, env=environment, close_fds=True)
    os.close(its)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
    except OSError:  # Linux says so where the other end is closed
        pass
    finally:
        os.close(ours)
    process.wait(60)
    return re.sub(r"\r+\n", "\n", written.decode())


def test_in_logs(capsys: pytest.CaptureFixture[str]) -> None:
    import structlog

    from monitor import logs

    before = structlog.get_config()
    try:
        for form in ("console", "json"):
            logs.configure(form, "info")
            for name in NASTY:
                structlog.get_logger().info("delivery_failed", error=name)
            shown = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().err) if form == "console" else capsys.readouterr().err
            assert not obeyed_by_terminals(shown)
            assert len(shown.splitlines()) == len(NASTY)
    finally:
        structlog.configure(**before)


def test_in_pages(project: Project) -> None:
    service = notified_service(project, {"type": "file", "path": "told.jsonl"})
    alert = service.event("m0", "performance")
    with served(project) as site:
        for path in ("/", "/alerts", f"/alerts/{alert}", "/monitors/m0", "/monitors/m5", "/silences", "/settings"):
            page = site.get(path)
            page.encoding = "utf-8"
            assert page.status_code == 200, path
            for name in MARKUP[:6]:
                assert name not in page.text, (path, name)
        link = re.search(r'name="matchers" rows="3">([^<]*)<', site.get(f"/alerts/{alert}").text)
        assert link is not None


@pytest.mark.long
def test_in_saved_reports(tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    random = np.random.default_rng(0)
    names = [name for name in NASTY if name.strip()]

    def frame(moved: float) -> pd.DataFrame:
        rows = pd.DataFrame({name: random.normal(moved, 1, 300) for name in names})
        rows["category"] = random.choice(names if moved else names[:3], 300)
        return rows.assign(prediction=random.normal(size=300), label=random.normal(size=300))

    reference = Reference.fit(frame(0.0), Columns(prediction="prediction", label="label"), "regression")
    page = tmp_path / "report.html"
    evaluate(reference, frame(3.0)).save_html(str(page))
    with sync_playwright() as playwright:
        browser = launch(playwright)
        tab, dialogs, requested = browser.new_page(), list[str](), list[str]()
        tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: requested.append(request.url))
        tab.goto(page.as_uri())
        tab.wait_for_timeout(3000)
        text = tab.inner_text("body")
        browser.close()
    assert dialogs == []
    assert not [url for url in requested if not url.startswith(("file:", "data:", "blob:"))]
    assert MARKUP[0] in text
