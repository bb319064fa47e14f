"""A daemon that is killed at any moment and started again leaves the same history as an undisturbed one. A stopped one
stops cleanly.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Project, Receiver, logged
from tests.history import history
from tests.processes import is_worker, marked, wait_until


def decayed(project: Project) -> None:
    frame = logged(2400, days=40)
    late = frame["event_time"].between("2025-01-11", "2025-01-25 23:59")
    frame.loc[late, "label"] = np.random.default_rng(1).integers(0, 2, late.sum())
    project.log(frame)
    project.labels(frame)


def start(project: Project, test_mark: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "monitor"), *arguments]
    return subprocess.Popen(
        command,
        cwd=project.folder,
        env=os.environ | {"MONITOR_TEST_MARK": test_mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.long
def test_a_daemon_killed_at_random_moments_leaves_the_same_history_and_no_process(
    project: Project, tmp_path: Path
) -> None:
    decayed(project)
    project.write()
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    test_mark = uuid.uuid4().hex
    kills = 0
    while True:
        process = start(project, test_mark, "run")
        try:
            # The first moments are during startup. Each attempt runs longer, so that the test ends.
            process.wait(moments.uniform(3, 7) + 2 * kills)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            wait_until(lambda: not marked(test_mark), 60)
    assert process.returncode == 0
    assert kills >= 1
    disturbed = history(project)
    (project.folder / "monitor.db").rename(tmp_path / "disturbed.db")
    for extra in ("monitor.db-wal", "monitor.db-shm"):
        (project.folder / extra).unlink(missing_ok=True)
    project.run()
    assert disturbed == history(project)
    assert len(disturbed["runs"]) == 16
    assert [(row[1], row[2]) for row in disturbed["alerts"]] == [("performance", "resolved")]


@pytest.mark.long
def test_a_killed_worker_costs_an_attempt_and_no_other_run_anything(project: Project) -> None:
    project.write()
    test_mark = uuid.uuid4().hex
    process = start(project, test_mark, "run")
    wait_until(lambda: (project.folder / "monitor.db").exists() and _has_runs(project))
    wait_until(lambda: project.query("SELECT count(*) FROM runs WHERE status = 'running'")[0][0] > 0)
    # Workers are the processes that the kernel kills first when memory is short.
    workers: list[int] = []

    def find_worker() -> bool:
        workers[:] = [pid for pid in marked(test_mark) if is_worker(pid)]
        return bool(workers)

    wait_until(find_worker)
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(120) == 0
    assert project.query("SELECT status, count(*) FROM runs GROUP BY status") == [("done", 8)]
    assert project.query("SELECT max(failures) FROM runs")[0][0] <= 1


@pytest.mark.long
def test_a_window_that_kills_every_worker_fails_at_its_bound_over_restarts_and_stops_no_other(project: Project) -> None:
    project.values["workers"] = {"processes": 1, "max_attempts": 3, "retry_after": "1s", "lease": "4s"}
    project.write()
    # The place of a run is filled before its result is stored. So a run that is running alone is the poisoned run.
    poisoned = (
        "SELECT count(*), min(kind = 'data' AND window_start LIKE '2025-01-06%') FROM runs WHERE status = 'running'"
    )
    kills, test_mark = 0, uuid.uuid4().hex
    process = start(project, test_mark, "run")
    wait_until(lambda: (project.folder / "monitor.db").exists())
    deadline = time.monotonic() + 120
    while process.poll() is None:
        assert time.monotonic() < deadline
        if _has_runs(project) and project.query(poisoned) == [(1, 1)]:
            workers = [pid for pid in marked(test_mark) if is_worker(pid)]
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            is_alone = project.query(poisoned) == [(1, 1)]
            for pid in workers:
                os.kill(pid, signal.SIGKILL if is_alone else signal.SIGCONT)
            if workers and is_alone:
                kills += 1
                wait_until(lambda gone=workers: not set(gone) & set(marked(test_mark)))
                if kills == 2:
                    process.kill()
                    process.wait()
                    wait_until(lambda: not marked(test_mark))
                    process = start(project, test_mark, "run")
        time.sleep(0.01)
    assert process.returncode == 1
    rows = project.query("SELECT status, count(*), max(failures), max(reason) FROM runs GROUP BY status ORDER BY 1")
    assert [row[:3] for row in rows] == [("done", 7, 0), ("failed", 1, 3)]
    assert "the worker process ended without a result" in rows[1][3]


def _has_runs(project: Project) -> bool:
    return project.query("SELECT count(*) FROM sqlite_master WHERE name = 'runs'") == [(1,)]


@pytest.mark.long
def test_serve_works_delivers_and_stops_cleanly_on_sigterm(project: Project, receiver: Receiver) -> None:
    decayed(project)
    project.values["channels"] = {"ops": {"type": "webhook", "url": receiver.url, "allow_private": True}}
    project.monitor["alerts"] = {"channels": ["ops"], "keep_firing_for": 9, "notify_max_age": "1mo"}
    project.values["grouping"] = {"group_wait": "1s"}
    project.write()
    test_mark = uuid.uuid4().hex
    process = start(project, test_mark, "serve", "--log-format", "json")

    # The alert is a year old and still fires. It is notified once, at the end of catching up.
    def alert_kinds() -> list[str]:
        return [alert["alert"]["kind"] for _, body in receiver.received for alert in json.loads(body)["alerts"]]

    # The log ended a year ago, too. Missing data are explained by the stale source, once that is detected.
    wait_until(lambda: {"performance", "self"} <= set(alert_kinds()), 120)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    wait_until(lambda: not marked(test_mark), 10)
    assert project.query("SELECT count(*) FROM runs WHERE status = 'running'") == [(0,)]
    assert project.query("SELECT count(*) FROM daemons WHERE stopped_at IS NULL") == [(0,)]
    assert sorted(set(alert_kinds()) - {"no_data"}) == ["performance", "self"]
    assert len(alert_kinds()) == len(set(alert_kinds()))


def test_a_second_daemon_on_a_sqlite_database_is_refused(project: Project, monitor_process: Any) -> None:
    from monitor.storage.daemons import DatabaseLock

    project.write()
    lock = DatabaseLock(project.folder / "monitor.db")
    assert lock.acquire()
    refused = monitor_process("run", cwd=project.folder)
    lock.release()
    assert refused.returncode == 2
    assert "one at a time" in refused.stderr


@pytest.mark.long
@pytest.mark.parametrize("server", ["empty_postgresql", "empty_mariadb"])
def test_two_daemons_share_a_database_and_store_each_result_once(
    project: Project, server: str, request: pytest.FixtureRequest
) -> None:
    decayed(project)
    project.values["database"] = request.getfixturevalue(server)
    project.write()
    test_mark = uuid.uuid4().hex
    both = [start(project, test_mark, "run"), start(project, test_mark, "run")]
    assert [process.wait(200) for process in both] == [0, 0]
    shared = history(project)
    assert len(shared["runs"]) == 16
    assert all(row[5] == "done" for row in shared["runs"])
    assert [(row[1], row[2]) for row in shared["alerts"]] == [("performance", "resolved")]
    del project.values["database"]
    project.run()
    alone = history(project)
    assert [row[0] for row in shared["runs"]] == [row[0] for row in alone["runs"]]
    assert [row[0] for row in shared["events"]] == [row[0] for row in alone["events"]]
    frame = pd.DataFrame([row[5] for row in shared["values"]]), pd.DataFrame([row[5] for row in alone["values"]])
    pd.testing.assert_frame_equal(*frame)
