"""A service with a history, served over HTTP: what tests of pages and API look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import requests

from monitor.config.model import Web
from monitor.domain.checks import Severity
from monitor.services.context import Context, open_database
from monitor.services.workers import WorkerPool
from monitor.storage import people
from monitor.storage.database import Database
from monitor.web.access import hashed
from monitor.web.server import WebServer
from monitor.web.site import Site
from tests.conftest import Project, logged
from tests.processes import wait_until

SCRIPT = "<script>document.title='taken'</script>"
CATEGORY = "<img src=x onerror=\"document.title='taken'\">"
SECRET = "someone@private.example"
PASSWORD = "correct horse battery"


def lived(project: Project) -> Project:
    """A model that decays at the end of its 25 days, so that an alert fires and a retraining awaits approval; column,
    category and model are named as an attacker would.
    """
    frame = logged(1500, days=25)
    frame["region"] = frame["region"].replace({"north": CATEGORY})
    frame[SCRIPT] = frame.pop("noise")
    frame["email"] = [f"{number}.{SECRET}" for number in range(len(frame))]
    is_late = frame["event_time"] >= "2025-01-16"
    frame.loc[is_late, "label"] = np.random.default_rng(1).integers(0, 2, is_late.sum())
    frame.loc[is_late, SCRIPT] += 0.3
    reference = logged(1500, seed=7, start="2024-12-01")
    reference["region"] = reference["region"].replace({"north": CATEGORY})
    reference[SCRIPT] = reference.pop("noise")
    reference["email"] = [f"r{number}.{SECRET}" for number in range(len(reference))]
    reference.to_parquet(project.folder / "reference.parquet", index=False)
    project.log(frame)
    project.labels(frame)
    project.monitor["model"] = {"name": f"churn {SCRIPT}", "version": "1"}
    project.monitor["description"] = SCRIPT
    project.monitor["columns"]["sensitive"] = ["email"]
    project.monitor["retraining"] = {"when": ["performance"], "launcher": "train", "requires_approval": True}
    project.monitor["alerts"] = {"channels": ["ops"]}
    project.values["launchers"] = {"train": {"type": "command", "command": ["true"]}}
    project.values["channels"] = {"ops": {"type": "file", "path": "told.jsonl"}}
    project.replay()
    return project


@dataclass
class Served:
    """A service over HTTP."""

    url: str
    database: Database
    context: Context
    site: Site

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, allow_redirects=False, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=60, allow_redirects=False, **more)

    def token(self, role: str, monitors: Sequence[str] = ()) -> dict[str, str]:
        """The header of a new token."""
        _, token = self.database.transact(people.create_token, role, role, datetime.now(UTC), None, monitors)
        return {"authorization": f"Bearer {token}"}

    def ids(self, request_state: str = "awaiting_approval") -> dict[str, str]:
        """An id of each kind: of a run and an alert of realised performance, of a data run that found something, of a
        request in a state or ended by hand.
        """
        from monitor.storage import alerts, outbox, retraining, runs

        def read(session: Any) -> dict[str, str]:
            listed_alerts = alerts.listed(session, everything=True)
            done_runs = [run for run, _ in runs.listed(session, None, "done", 500)]
            return {
                "alert": next(alert.uuid for alert, _ in listed_alerts if alert.kind == "performance"),
                "run": next(run.uuid for run in done_runs if run.severity == "critical"),
                "data_run": max(
                    (run for run in done_runs if run.kind == "data"), key=lambda run: Severity(run.severity)
                ).uuid,
                "request": retraining.in_state(session, request_state, "cancelled", "open")[0].uuid,
                "notification": outbox.listed(session, None)[0].uuid,
            }

        return self.database.read(read)


@contextmanager
def served(project: Project, users: Sequence[str] = (), **web: Any) -> Iterator[Served]:
    """The pages and the API of a project's database, on a free port. users: a user of each of these roles, who is named
    by it.
    """
    loaded = project.loaded()
    context, workers = Context(loaded, open_database(loaded)), WorkerPool(warm=False)
    context.database.prepare()
    for role in users:
        context.database.transact(people.add_user, role, hashed(PASSWORD), role, datetime.now(UTC))
    server = WebServer(context, workers, Web(port=0, **web))
    with server:
        wait_until(lambda: answers(server.url), 20)
        yield Served(server.url, context.database, context, server.site)
        context.stopping.set()
    workers.close()


class From(requests.adapters.HTTPAdapter):
    """Connects from one address of this machine."""

    def __init__(self, source: str) -> None:
        self._source = source
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._source, 0), **more)


def answers(url: str) -> bool:
    try:
        return bool(url) and requests.get(f"{url}/healthz", timeout=1).ok
    except requests.RequestException:
        return False


def chromium() -> str | None:
    """Debian's Chromium, if it is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def launch(playwright: Any) -> Any:
    """That browser; without the parts that a container has not."""
    return playwright.chromium.launch(
        executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    )
