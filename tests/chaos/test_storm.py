"""The storm: what machines, networks and databases do beside killing processes, each done to a real daemon. What must
hold stands first.

`make chaos` and `make test-long` run it; docs/explanation/reliability.md lists the acts.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context, open_database
from monitor.services.deliver_notifications import Deliverer
from monitor.services.dispatch_alerts import dispatch_alerts
from monitor.services.workers import WorkerPool, WorkFailedError
from monitor.storage import alerts, monitors
from monitor.storage.database import Database
from tests.acceptance.test_the_daemon_outlives_being_killed import decayed
from tests.conftest import Project, Receiver
from tests.history import history
from tests.midday import midday
from tests.processes import is_worker, marked, wait_until
from tests.proxy import Proxy
from tests.receivers import raw
from tests.servers import PostgreSQL
from tests.web import served

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
MONITOR = str(Path(sys.executable).parent / "monitor")
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files whose name is short, since sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def daemon(
    project: Project, *before: str, arguments: tuple[str, ...] = ("serve",), **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A daemon in a process of its own, and the mark of its processes; none is left. before: a command that starts it.

    If a test fails meanwhile, its error shows where each process stood and the end of the log.
    """
    project.write()
    mark = uuid.uuid4().hex
    values = os.environ | {"MONITOR_TEST_MARK": mark, "PYTHONFAULTHANDLER": "1"} | environment
    with open(project.folder / "log", "ab") as log:
        process = subprocess.Popen(
            [*before, MONITOR, *arguments],
            cwd=project.folder,
            env=values,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process, mark
    except BaseException as error:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGABRT)
        time.sleep(1)
        error.add_note(f"the daemon ended with {process.poll()}; the end of its log:\n{log_text(project)[-8000:]}")
        raise
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(10)


def log_text(project: Project) -> str:
    return (project.folder / "log").read_text()


def ask(project: Project, sql: str) -> Any:
    """One value of a project's report database, None while it has no tables."""
    database = Database(project.values.get("database", f"sqlite:///{project.folder}/monitor.db"))
    try:
        if database.revision() is None:
            return None
        with database.engine.connect() as connection:
            return connection.execute(text(sql)).scalar()
    finally:
        database.engine.dispose()


def done(project: Project, monitor: str = "churn") -> int:
    """How many runs of a monitor are done."""
    return (
        ask(
            project,
            f"SELECT COUNT(*) FROM runs r JOIN monitors m ON m.id = r.monitor_id WHERE m.name = '{monitor}' AND"
            " r.status = 'done'",
        )
        or 0
    )


def of_late(project: Project) -> None:
    """40 days of a model that decays and recovers, the last of which was yesterday."""
    decayed(project)
    now = midday()
    start = now.midnight - pd.Timedelta(days=40)
    for name, column in (("log", "event_time"), ("labels", "label_time")):
        frame = pd.read_parquet(project.folder / f"{name}.parquet")
        frame[column] += start - pd.Timestamp("2025-01-01")
        frame.to_parquet(project.folder / f"{name}.parquet", index=False)
    project.monitor["windows"] |= now.windows(40)


@pytest.fixture
def expected(project: Project, tmp_path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The history that undisturbed work leaves of the project, whose model decays and whose log ends today; the project
    is as new afterwards.
    """
    of_late(project)
    project.run()
    undisturbed = history(project)
    assert len(undisturbed["runs"]) == 16
    for path in project.folder.glob("monitor.db*"):
        path.unlink()
    return undisturbed


def cache_of(project: Project) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(project.folder / "cache")}


# -- processes -----------------------------------------------------------------------------------------------------


def test_a_worker_that_spins_and_ignores_signals_is_ended_at_its_time_and_others_go_on() -> None:
    workers = WorkerPool(warm=False)
    began = time.monotonic()
    spins = workers.start("tests.chaos.spin:spin", None, timeout_s=2)
    assert workers.call("tests.chaos.spin:answer", 41) == 42
    with pytest.raises(WorkFailedError, match=r"workers\.timeout"):
        spins.wait()
    assert time.monotonic() - began < 10
    assert not Path(f"/proc/{spins.pid}").exists()
    workers.close()


def test_when_the_fork_server_is_killed_again_and_again_the_history_is_the_same(
    project: Project, expected: dict[str, Any]
) -> None:
    with daemon(project, arguments=("run",)) as (process, mark):
        killed = 0
        while process.poll() is None and killed < 5:
            other_pids = [pid for pid in marked(mark) if pid != process.pid and not is_worker(pid)]
            servers = [pid for pid in other_pids if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if done(project) > killed and servers:
                os.kill(servers[0], signal.SIGKILL)
                killed += 1
            time.sleep(0.05)
        assert process.wait(360) == 0, log_text(project)
    assert killed >= 3
    assert history(project) == expected


# -- folders and disks ---------------------------------------------------------------------------------------------


def in_a_space_of_its_own(script: str) -> list[str]:
    """The beginning of a command that runs with mounts of its own, made by a script."""
    command = ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", f'{script} && exec "$@"', "sh"]
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"needs to mount, which this machine does not let us: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("limits", ["size=64k", "size=8m,nr_inodes=24"], ids=["full", "out of inodes"])
def test_while_temporary_files_cannot_be_written_nothing_is_lost_and_work_goes_on_when_they_can(
    project: Project, expected: dict[str, Any], temporary: Path, limits: str
) -> None:
    folder = temporary
    space = in_a_space_of_its_own(f"mount -t tmpfs -o {limits} tmpfs {folder}")
    project.values["workers"] = {"retry_after": "1s", "max_attempts": 50}
    with daemon(project, *space, TMPDIR=str(folder), **cache_of(project)) as (_, mark):
        wait_until(lambda: done(project) >= 1, 180)
        mounted = Path(f"/proc/{marked(mark)[-1]}/root{folder}")
        number = 0
        with suppress(OSError):
            for number in range(10_000):
                (mounted / f"filler-{number}").write_bytes(b"x" * 4096)
        assert number < 9_999
        time.sleep(5)
        for path in mounted.glob("filler-*"):
            path.unlink()
        wait_until(lambda: done(project) >= 16, 360)
        wait_until(lambda: history(project)["events"] == expected["events"], 180)
    assert history(project) == expected


def test_a_cache_folder_that_is_deleted_again_and_again_costs_nothing(
    project: Project, expected: dict[str, Any]
) -> None:
    project.values["workers"] = {"retry_after": "1s", "max_attempts": 50}
    with daemon(project, arguments=("run",), **cache_of(project)) as (process, _):
        while process.poll() is None:
            shutil.rmtree(project.folder / "cache", ignore_errors=True)
            time.sleep(0.2)
        assert process.returncode == 0, log_text(project)
    assert history(project) == expected


def test_a_cache_folder_that_cannot_be_written_costs_nothing(
    project: Project, expected: dict[str, Any], temporary: Path
) -> None:
    folder = project.folder / "cache"
    (folder / "production-monitor").mkdir(parents=True)
    space = in_a_space_of_its_own(f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}")
    with daemon(project, *space, arguments=("run",), TMPDIR=str(temporary), **cache_of(project)) as (process, _):
        assert process.wait(360) == 0, log_text(project)
    assert history(project) == expected
    assert not list((folder / "production-monitor").iterdir())


@pytest.mark.parametrize("what", ["reference", "mapped"])
@pytest.mark.parametrize("harm", ["emptied", "cut", "flipped"])
def test_a_damaged_reference_in_the_cache_is_made_anew_and_never_compared_with(
    project: Project, expected: dict[str, Any], what: str, harm: str
) -> None:
    os.environ["XDG_CACHE_HOME"], before = str(project.folder / "cache"), os.environ.get("XDG_CACHE_HOME")
    try:
        project.values["workers"] = {"retry_after": "1s"}
        with daemon(project, **cache_of(project)) as _:
            wait_until(lambda: done(project) >= 2, 180)
        (path,) = (project.folder / "cache").rglob(f"*.{what}")
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle] ^= 0xFF
        path.write_bytes({"emptied": b"", "cut": bytes(content[:middle]), "flipped": bytes(content)}[harm])
        if what == "reference":  # else nobody reads it while the other file is there
            next((project.folder / "cache").rglob("*.mapped")).unlink()
        with daemon(project, **cache_of(project)) as _:
            wait_until(lambda: done(project) >= 16, 360)
            wait_until(lambda: history(project)["events"] == expected["events"], 180)
        assert history(project) == expected
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before


def test_a_truncated_report_is_said_to_be_damaged_and_everything_else_is_shown(own_history: Project) -> None:
    with served(own_history) as site:
        run = site.ids()["data_run"]
        with site.database.engine.begin() as connection:
            connection.execute(text("UPDATE snapshots SET data = substr(data, 1, length(data) / 2)"))
        report = site.get(f"/runs/{run}/report")
        assert (report.status_code, "damaged" in report.text) == (422, True), report.text
        for path in ("/", f"/runs/{run}", "/monitors/churn"):
            assert site.get(path).status_code == 200


def test_a_log_that_is_rewritten_while_it_is_read_leaves_the_same_history(
    project: Project, expected: dict[str, Any]
) -> None:
    frames = {name: pd.read_parquet(project.folder / name) for name in ("log.parquet", "labels.parquet")}
    over = Event()

    def rewrite() -> None:
        number = 0
        while not over.is_set():
            for name, frame in frames.items():
                number += 1
                new = project.folder / f".{name}.new"
                frame.to_parquet(new, index=False, row_group_size=[500, 5000][number % 2])
                new.replace(project.folder / name)

    writer = Thread(target=rewrite)
    writer.start()
    try:
        with daemon(project, arguments=("run",)) as (process, _):
            assert process.wait(600) == 0, log_text(project)
    finally:
        over.set()
        writer.join()
    assert history(project) == expected


# -- networks ------------------------------------------------------------------------------------------------------


class Dripping:
    """Forwards to a port of loopback; each connection has the answers to its first questions, and from then on a byte a
    second.
    """

    def __init__(self, port: int, at_once: int) -> None:
        self._target, self._at_once = port, at_once
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dripped = 0
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                Thread(target=self._forward, args=(client, server, 10**9), daemon=True).start()
                Thread(target=self._forward, args=(server, client, self._at_once), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, at_once: int) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65536):
                target.sendall(data[:at_once])
                for byte in data[at_once:]:
                    target.sendall(bytes([byte]))
                    self.dripped += 1
                    time.sleep(1)
                at_once = max(at_once - len(data), 0)


def test_sources_that_answer_a_byte_a_second_stop_no_other_monitor_nor_the_daemon(
    project: Project, empty_postgresql: str
) -> None:
    of_late(project)
    frame = pd.read_parquet(project.folder / "log.parquet")
    frame.to_sql("predictions", Database(empty_postgresql).engine, index=False)
    slow = Dripping(Database(empty_postgresql).url.port or 0, at_once=6000)
    through = str(Database(empty_postgresql).url.set(port=slow.port, drivername="postgresql"))
    for number in range(6):  # more than are looked at at once
        values = {name: value for name, value in project.monitor.items() if name != "labels"}
        project.values["monitors"][f"slow-{number}"] = values | {"source": {"url": through, "table": "predictions"}}
    project.values["monitors"] = dict(sorted(project.values["monitors"].items(), reverse=True))
    with daemon(project, **cache_of(project)) as (process, _):
        wait_until(lambda: done(project) >= 16, 360)
        assert slow.dripped
        assert not any(done(project, f"slow-{number}") for number in range(6))
        process.terminate()
        assert process.wait(90) == 0
    slow.close()


def test_a_name_that_is_never_looked_up_delays_no_other_receiver_nor_the_end(
    project: Project, receiver: Receiver, tmp_path: Path
) -> None:
    of_late(project)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        try:
            silent.bind(("127.0.0.53", 53))
        except OSError as error:
            pytest.skip(f"needs port 53 of loopback: {error}")
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:5\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
        space = in_a_space_of_its_own(
            f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && mount --bind {tmp_path}/nsswitch.conf"
            " /etc/nsswitch.conf"
        )
        project.values["channels"] = {
            "lost": {"type": "webhook", "url": "https://receiver.example/hook"},
            "ops": {"type": "webhook", "url": receiver.url, "allow_private": True},
        }
        project.monitor["alerts"] = {"channels": ["lost", "ops"], "notify_max_age": "24mo"}
        with daemon(project, *space, **cache_of(project)) as (process, mark):
            wait_until(lambda: len(receiver.received) >= 1, 180)
            assert silent.recv(512)  # it was asked
            wait_until(
                lambda: (
                    (ask(project, "SELECT COUNT(*) FROM notifications WHERE channel = 'lost' AND attempts > 0") or 0)
                    > 0
                ),
                60,
            )
            began = time.monotonic()
            os.kill(next(pid for pid in marked(mark) if pid != process.pid), 0)
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(90)
            assert time.monotonic() - began < 90


def test_a_receiver_that_accepts_and_forgets_is_told_again_while_the_alert_fires(project: Project) -> None:
    """It says 202 and keeps nothing: whoever wants to be told again of what still fires sets `repeat_interval`."""
    decayed(project)
    received = []

    def forget(connection: socket.socket) -> None:
        received.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")

    with raw(forget) as server:
        project.values["channels"] = {"ops": {"type": "webhook", "url": server.url, "allow_private": True}}
        project.values["grouping"] = {"repeat_interval": "1d"}
        project.monitor["alerts"] = {"channels": ["ops"], "keep_firing_for": 1}
        project.replay(until=datetime(2025, 1, 27, tzinfo=UTC))
    assert len(received) >= 3
    assert {row[0] for row in project.query("SELECT status FROM notifications")} <= {"delivered", "superseded"}


# -- databases -----------------------------------------------------------------------------------------------------


def test_a_database_that_fails_over_to_an_empty_replica_is_refused_and_worked_on_when_it_is_back(
    project: Project, expected: dict[str, Any], empty_postgresql: str
) -> None:
    name = empty_postgresql.rsplit("/", 1)[1]
    replica = PostgreSQL()
    replica._execute(f"CREATE DATABASE {name}")
    real = Database(empty_postgresql).url.port or 0
    proxy = Proxy(real)
    project.values["database"] = str(Database(empty_postgresql).url.set(port=proxy.port, drivername="postgresql"))

    def fail_over(port: int) -> None:
        proxy.close()
        proxy.target = port
        proxy.open()

    try:
        with daemon(project, **cache_of(project)) as (process, _):
            wait_until(lambda: done(project) >= 2, 180)
            fail_over(replica.port)
            assert process.wait(180) == 2
        assert "has become empty" in log_text(project)
        with daemon(project, **cache_of(project)) as (process, _):
            assert process.wait(180) == 2
        assert "is empty, and this machine has worked on one" in log_text(project)
        assert Database(replica.url(name)).revision() is None
        fail_over(real)
        with daemon(project, **cache_of(project)) as _:
            wait_until(lambda: done(project) >= 16, 360)
            wait_until(lambda: history(project)["events"] == expected["events"], 180)
        assert history(project) == expected
    finally:
        proxy.close()
        replica.stop()


def test_an_old_daemon_stops_when_a_newer_version_has_migrated_its_database(
    project: Project, database_url: str
) -> None:
    of_late(project)
    project.values["database"] = database_url
    with daemon(project, **cache_of(project)) as (process, _):
        wait_until(lambda: done(project) >= 8, 270)
        with Database(database_url).engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        assert process.wait(60) == 2
    assert "was migrated to schema 9999" in log_text(project)


# -- clocks --------------------------------------------------------------------------------------------------------


def preloaded(**settings: str) -> dict[str, str]:
    if not FAKETIME.exists():
        if os.environ.get("CI"):
            pytest.fail("faketime is not installed")
        pytest.skip("needs faketime (Debian: apt install faketime)")
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1", **settings}


def test_a_clock_that_is_set_in_the_middle_of_leases_changes_no_history(
    project: Project, expected: dict[str, Any], empty_postgresql: str
) -> None:
    project.values |= {"database": empty_postgresql, "workers": {"lease": "4s"}}
    file = project.folder / "time"
    file.write_text("+0")
    with daemon(project, **preloaded(FAKETIME_TIMESTAMP_FILE=str(file)), **cache_of(project)) as _:
        for number, offset in enumerate(("+3600", "-3600", "+120", "-120", "+86400", "+0")):
            wait_until(lambda number=number: done(project) >= min(2 * number + 1, 11), 360)
            file.write_text(offset)
            time.sleep(1.5)
        wait_until(lambda: done(project) >= 16, 360)
        wait_until(lambda: history(project)["events"] == expected["events"], 270)
    assert history(project) == expected
    assert ask(project, "SELECT SUM(failures) FROM runs") == 0


@pytest.mark.parametrize("kind", ["empty_postgresql", "empty_mariadb"])
def test_daemons_whose_clocks_differ_by_three_minutes_share_the_work(
    project: Project, expected: dict[str, Any], kind: str, request: pytest.FixtureRequest
) -> None:
    project.values |= {"database": request.getfixturevalue(kind), "workers": {"lease": "4s"}}
    with (
        daemon(project, **preloaded(FAKETIME="+90s"), **cache_of(project)) as _,
        daemon(project, **preloaded(FAKETIME="-90s"), **cache_of(project)) as _,
    ):
        wait_until(lambda: done(project) >= 16, 360)
        wait_until(lambda: history(project)["events"] == expected["events"], 270)
        alive = ask(project, "SELECT COUNT(*) FROM daemons WHERE stopped_at IS NULL")
    assert alive == 2
    assert history(project) == expected
    assert ask(project, "SELECT SUM(failures) FROM runs") == 0


# -- very many -----------------------------------------------------------------------------------------------------


def test_20_000_alerts_at_once_are_told_in_bounded_messages_time_and_memory(
    project: Project, database_url: str
) -> None:
    received: list[bytes] = []

    def keep(connection: socket.socket) -> None:
        data = connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        received.append(body)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with raw(keep) as server:
        entry = project.monitor | {"alerts": {"channels": ["ops"], "notify_max_age": "24mo"}}
        project.values |= {
            "database": database_url,
            "grouping": {"group_wait": "1s"},
            "channels": {"ops": {"type": "webhook", "url": server.url, "allow_private": True}},
            "monitors": {
                f"m{number:04d}": entry | {"model": {"name": f"model-{number % 100}"}} for number in range(1000)
            },
        }
        loaded = project.loaded()
        context = Context(loaded, open_database(loaded), catches_up=False)
        context.database.prepare()
        apply_configuration(context)
        now = datetime.now(UTC)

        def fire(session: Any) -> None:
            for row in monitors.active(session):
                for number in range(20):
                    alert = alerts.upsert(session, row.id, row.uuid, "quality", "", now - timedelta(days=number), now)
                    alert.state, alert.severity, alert.summary = "firing", "critical", f"column-{number} is missing"
                    alert.fired_at = alert.since = now
                    alerts.add_event(session, alert, "firing", now, now)

        context.database.transact(fire)
        began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        deliverer = Deliverer(context)
        while dispatch_alerts(context):
            pass
        dispatched = time.monotonic() - began
        time.sleep(1)
        deliverer.drain()
        took = time.monotonic() - began
        deliverer.close()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    status = context.database.read(
        lambda session: session.execute(text("SELECT status, COUNT(*) FROM notifications GROUP BY status")).all()
    )
    print(
        f"storm: 20,000 alerts on {context.database.url.get_backend_name()}: {len(received)} messages,"
        f" {dispatched:.0f} s to dispatch, {took:.0f} s until all were delivered, {grown:.0f} MB more memory, largest"
        f" message {max(map(len, received)) / 1024:.0f} kB",
        flush=True,
    )
    assert {row[0] for row in status} <= {"delivered", "superseded"}, status
    assert len(received) <= 1000
    assert took < 300
    assert grown < 500
    assert max(map(len, received)) < 2**20
