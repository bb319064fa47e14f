"""Faults of networks and servers between a daemon and its report database cost time, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context, open_database
from monitor.services.launch_retraining import Launcher
from monitor.storage import database as storage
from monitor.storage import monitors, retraining
from monitor.storage.daemons import LOOPS_S
from monitor.storage.database import Database, database_now
from monitor.storage.tables import RetrainingRequest
from tests.acceptance.test_the_daemon_outlives_being_killed import decayed
from tests.conftest import Project, shared_workers
from tests.history import history, history_of
from tests.processes import marked, wait_until
from tests.proxy import Proxy


@pytest.fixture(params=["empty_postgresql", pytest.param("empty_mariadb", marks=pytest.mark.long)])
def proxied(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of an empty database, and the address of the database through the proxy."""
    url: str = request.getfixturevalue(request.param)
    proxy = Proxy(Database(url).url.port or 0)
    yield proxy, str(Database(url).url.set(port=proxy.port))
    proxy.close()


@pytest.mark.long
def test_a_transaction_whose_answers_are_lost_is_done_once(proxied: tuple[Proxy, str], project: Project) -> None:
    decayed(project)
    project.run()
    expected = history(project)
    proxy, project.values["database"] = proxied
    proxy.lose_commits = 0.2
    # A claim whose answer was lost is free again when its lease runs out.
    project.values["workers"] = {"lease": "2s"}
    deadline = time.monotonic() + 120
    truth = Database(str(Database(project.values["database"]).url.set(port=proxy.target)))
    while project.run() and history_of(truth) != expected:
        assert time.monotonic() < deadline
    assert proxy.lost > 10


def test_a_connection_that_is_half_open_is_shut_and_its_transaction_done_on_another(
    proxied: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    monkeypatch.setattr(storage, "HANGING_S", 1)
    database = Database(url)
    tries: list[datetime] = []

    def unit(session: Any) -> int:
        session.execute(text("SELECT 1"))
        tries.append(database_now(session))
        if len(tries) == 1:
            assert proxy.forget() == 1
        return int(session.execute(text("SELECT 42")).scalar())

    answers: list[int] = []
    thread = Thread(target=lambda: answers.append(database.read(unit)))
    thread.start()
    deadline = time.monotonic() + 30
    while thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.2)
        database.end_hanging()
    assert answers == [42]
    assert len(tries) == 2


def test_a_training_that_ends_while_the_database_is_away_is_written_down_when_it_is_back(
    proxied: tuple[Proxy, str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, project.values["database"] = proxied
    monkeypatch.setattr(storage, "_ATTEMPTS", 2)
    script = "import time; time.sleep(1); open('trained', 'a').write('once\\n'); print('{}')"
    project.values["launchers"] = {"train": {"type": "command", "command": [sys.executable, "-c", script]}}
    project.monitor["retraining"] = {"when": ["performance"], "launcher": "train"}
    loaded = project.loaded()
    context = Context(loaded, open_database(loaded))
    context.database.prepare()
    apply_configuration(context)

    def requested(session: Session) -> int:
        row, now = monitors.by_name(session, "churn"), datetime.now(UTC)
        assert row is not None
        span = (now - timedelta(days=2), now - timedelta(days=1))
        detail = {"kind": "performance", "run": "", "columns": []}
        request = retraining.propose(session, row, span, now, "train", "it fell", detail, span, "1", now)
        retraining.move(session, request, "open", "", now)
        return request.id

    request_id = context.database.transact(requested)

    def state() -> str:
        return context.database.read(lambda session: session.get_one(RetrainingRequest, request_id).state)

    launcher = Launcher(context, shared_workers())
    assert launcher.launch() == 1
    wait_until(lambda: state() == "running", 30)
    proxy.close()
    wait_until((project.folder / "trained").exists, 30)
    launcher.wait(60)
    assert launcher.busy, "its end is not written down yet"
    proxy.open()
    wait_until(lambda: (launcher.launch(), launcher.wait(10), not launcher.busy)[-1], 30)
    assert state() == "succeeded"
    assert (project.folder / "trained").read_text() == "once\n"
    launcher.close()


@pytest.mark.long
def test_as_process_1_in_another_zone_every_loop_works_again_and_sigterm_twice_gives_work_back_at_once(
    project: Project, empty_postgresql: str
) -> None:
    proxy = Proxy(Database(empty_postgresql).url.port or 0)
    project.values["database"] = str(Database(empty_postgresql).url.set(port=proxy.port))
    project.monitor["windows"]["length"] = "12h"
    project.write()
    test_mark = uuid.uuid4().hex
    monitor = [str(Path(sys.executable).parent / "monitor"), "serve", "--log-format", "json"]
    space = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    environment = os.environ | {"MONITOR_TEST_MARK": test_mark, "TZ": "Asia/Kathmandu"}
    with open(project.folder / "log", "wb") as log:
        outer = subprocess.Popen([*space, *monitor], cwd=project.folder, env=environment, stdout=log, stderr=log)
    truth = Database(empty_postgresql)

    def ask(sql: str) -> Any:
        with truth.engine.connect() as connection:
            return connection.execute(text(sql)).scalar()

    def running() -> bool:
        return truth.revision() is not None and ask("SELECT COUNT(*) FROM runs WHERE status = 'running'") > 0

    wait_until(running, 60)
    proxy.close()
    time.sleep(12)  # longer than a transaction is tried again: every loop fails and backs off
    proxy.open()
    back = truth.read(database_now)

    def all_again() -> bool:
        loops = ask("SELECT loops FROM daemons WHERE stopped_at IS NULL")
        if isinstance(loops, str):
            loops = json.loads(loops)
        late = [name for name, last_run in loops.items() if datetime.fromisoformat(last_run) < back]
        return len(loops) > 10 and set(late) <= set(LOOPS_S)  # these run once a minute or once an hour

    wait_until(all_again, 30)
    wait_until(running, 30)
    first = [pid for pid in marked(test_mark) if _inner_id(pid) == 1]
    assert len(first) == 1
    os.kill(first[0], signal.SIGTERM)
    time.sleep(0.2)
    os.kill(first[0], signal.SIGTERM)
    assert outer.wait(20) == 0, (project.folder / "log").read_text()[-2000:]
    assert ask("SELECT COUNT(*) FROM runs WHERE status = 'running' OR lease_until IS NOT NULL") == 0
    assert ask("SELECT SUM(failures) FROM runs") == 0
    assert ask("SELECT COUNT(*) FROM runs WHERE status = 'pending'") > 0
    assert "loop_failed" in (project.folder / "log").read_text()
    wait_until(lambda: not marked(test_mark), 10)
    proxy.close()


def _inner_id(pid: int) -> int:
    """A process's number in its own namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid")).split()
    return int(numbers[-1]) if len(numbers) > 2 else 0
