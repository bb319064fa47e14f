"""A fault campaign: daemons on three databases are killed, stopped and cut off at random, and must leave what
undisturbed work leaves.

Two daemons work on PostgreSQL, two on MariaDB, one on SQLite, all on the same monitors. The moments and the victims
come from a seed, which is printed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread, Timer
from typing import Any

import pandas as pd
import psycopg
import pymysql
from sqlalchemy.engine import make_url

from monitor.storage.database import Database, head_revision
from tests.conftest import Project
from tests.history import HISTORY, history, history_of, rows_of
from tests.midday import midday
from tests.processes import is_worker, marked, wait_until
from tests.proxy import Proxy
from tests.servers import MariaDB, PostgreSQL, Server

LEASE_S = 4
SETS = {
    "bike_sharing": ("regression", {}),
    "california_housing": ("regression", {}),
    "car_loan": ("binary", {"probability": "probability"}),
    "hotel_bookings": ("binary", {"probability": "probability"}),
    "beijing_pm25": ("regression", {}),
    "diabetes_readmission": ("binary", {"probability": "probability"}),
}
FAULTS = ["daemon killed", "worker killed", "server killed", "network away", "daemon stopped"]
ZONES = ["UTC", "America/St_Johns", "Asia/Kathmandu", "Pacific/Auckland"]
FEATURES, WINDOW_ROWS = 4, 250


@dataclass
class Site:
    """A report database with the daemons that work on it."""

    name: str
    folder: Path
    daemons: int
    server: Server | None
    url: str
    proxy: Proxy | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    outage: Timer | None = None

    @property
    def through(self) -> str:
        """The database's address as its daemons know it."""
        return self.url if self.proxy is None else str(make_url(self.url).set(port=self.proxy.port))


class Inbox:
    """A receiver that keeps what came, in order, by site."""

    def __init__(self) -> None:
        self.came: dict[str, list[tuple[str, bytes]]] = {}
        lock = Lock()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with lock:
                    inbox.came.setdefault(self.path.strip("/"), []).append((self.headers["webhook-id"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def recent(folder: Path, data: Path, name: str, windows: int) -> dict[str, Any]:
    """The first windows of a data set as days that end with today, in files of a folder; the monitor's entry."""
    task, probability = SETS[name]
    predictions = pd.read_parquet(data / name / "predictions.parquet")
    labels = pd.read_parquet(data / name / "labels.parquet").set_index("id")
    reference = pd.read_parquet(data / name / "reference.parquet")
    model_columns = [*probability, "prediction", "id", "event_time"]
    features = [
        column for column in predictions.columns if column not in model_columns and column in reference.columns
    ][:FEATURES]
    predictions = (
        predictions[[*model_columns, *features]]
        .sort_values("event_time", kind="stable")
        .head(windows * WINDOW_ROWS * 20)
    )
    predictions = predictions.iloc[:: max(len(predictions) // (windows * WINDOW_ROWS), 1)].head(windows * WINDOW_ROWS)
    now = midday()
    step = pd.Timedelta(days=1) / WINDOW_ROWS
    times = (
        now.midnight - pd.Timedelta(days=windows) + step * pd.Series(range(len(predictions)), index=predictions.index)
    )
    predictions["event_time"] = times.astype("datetime64[us]")
    known_labels = labels.reindex(predictions["id"]).dropna(subset=["label"]).reset_index()
    known_labels["label_time"] = predictions.set_index("id")["event_time"].reindex(
        known_labels["id"]
    ).to_numpy() + pd.Timedelta("1h")
    folder.mkdir(parents=True)
    predictions.to_parquet(folder / "log.parquet", index=False)
    known_labels[["id", "label", "label_time"]].to_parquet(folder / "labels.parquet", index=False)
    reference[[*model_columns, *features, "label"]].sample(1500, random_state=0).to_parquet(
        folder / "reference.parquet", index=False
    )
    return {
        "task": task,
        "model": {"name": name},
        "source": {"path": f"{folder}/log.parquet"},
        "labels": {"path": f"{folder}/labels.parquet", "delay": "2h", "expected": 0.9, "revise_until": "3h"},
        "reference": {"path": f"{folder}/reference.parquet"},
        "columns": {
            "id": "id",
            "event_time": "event_time",
            "prediction": "prediction",
            "label": "label",
            "label_time": "label_time",
            **probability,
        },
        "windows": {"length": "1d"} | now.windows(windows),
        "alerts": {"channels": ["ops"], "notify_max_age": "3mo", "keep_firing_for": 1},
    }


class Campaign:
    """Sets up, disturbs, waits for the end, and compares."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        *,
        monitors: int,
        windows: int,
        kills: int,
        outages: list[float],
        seed: int | None = None,
    ) -> None:
        """outages: how long, in seconds, the servers that are killed first stay away; those after them up to three
        seconds.
        """
        self.folder, self.kills, self.outages = folder, kills, outages
        self.seed = random.SystemRandom().randrange(10**6) if seed is None else seed
        print(f"chaos: seed {self.seed}, {monitors} monitors of {windows} windows, {kills} kills", flush=True)
        self.random = random.Random(self.seed)
        self.mark = uuid.uuid4().hex
        self.inbox = Inbox()
        self.done: Counter[str] = Counter()
        names = [list(SETS)[number % len(SETS)] for number in range(monitors)]
        entries = {
            f"{name}-{number}": recent(folder / "data" / f"{name}-{number}", data, name, windows)
            for number, name in enumerate(names)
        }
        self.values: dict[str, Any] = {
            "web": False,
            "monitors": entries,
            # A killed worker costs its run an attempt, whoever killed it: here that is nobody's fault.
            "workers": {"lease": f"{LEASE_S}s", "retry_after": "1s", "processes": 1, "max_attempts": 50},
        }
        began = time.monotonic()
        self.expected = self._undisturbed()
        print(f"chaos: undisturbed in {time.monotonic() - began:.0f} s", flush=True)
        servers: list[Server] = [PostgreSQL(durable=True), MariaDB(durable=True)]
        self.sites = []
        for server in servers:
            proxy = Proxy(server.port, lose_commits=0.01, seed=self.seed)
            self.sites.append(Site(server.name, folder / server.name, 2, server, server.new_database(), proxy))
        self.sites.append(Site("SQLite", folder / "SQLite", 1, None, f"sqlite:///{folder}/SQLite/monitor.db"))

    def _project(self, folder: Path, database: str | None, name: str) -> Project:
        folder.mkdir(exist_ok=True)
        channel = {"type": "webhook", "url": f"{self.inbox.url}/{name}", "allow_private": True}
        project = Project(folder, {**self.values, "channels": {"ops": channel}})
        if database is not None:
            project.values["database"] = database
        project.write()
        return project

    def _undisturbed(self) -> dict[str, list[tuple[Any, ...]]]:
        project = self._project(self.folder / "undisturbed", None, "undisturbed")
        project.run()
        return history(project)

    def run(self) -> None:
        """The whole campaign. Raises AssertionError for whatever is not as it should be."""
        began = time.monotonic()
        try:
            for site in self.sites:
                self._project(site.folder, site.through, site.name)
                for _ in range(site.daemons):
                    self._start(site)
            while sum(self.done[what] for what in ("daemon killed", "worker killed", "server killed")) < self.kills:
                time.sleep(self.random.uniform(1.2, 2.4))
                self._disturb()
            for site in self.sites:
                if site.outage is not None:
                    site.outage.join()
            print(f"chaos: all faults done after {time.monotonic() - began:.0f} s", flush=True)
            for site in self.sites:
                self._wait_for_end(site)
            print(f"chaos: all work done after {time.monotonic() - began:.0f} s", flush=True)
            for site in self.sites:
                self._stop(site)
                self._check(site)
            wait_until(lambda: not marked(self.mark), 30)
            left_over = [
                path.name
                for path in (self.folder / "cache").rglob("*")
                if path.is_file() and path.suffix not in (".reference", ".mapped") and path.parent.name != "databases"
            ]
            assert left_over == [], left_over
        finally:
            for pid in marked(self.mark):
                os.kill(pid, signal.SIGKILL)
            for site in self.sites:
                if site.server is not None and site.proxy is not None:
                    self.done["answer to COMMIT lost"] += site.proxy.lost
                    site.proxy.close()
                    site.server.stop()
            self.inbox.close()
        figures = ", ".join(f"{number} times {what}" for what, number in sorted(self.done.items()))
        print(
            f"chaos: seed {self.seed}: {figures}; {len(self.expected['runs'])} runs a site, all equal, in"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )

    def _start(self, site: Site) -> None:
        command = [str(Path(sys.executable).parent / "monitor"), "serve", "--log-format", "json"]
        environment = os.environ | {
            "MONITOR_TEST_MARK": self.mark,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "TZ": self.random.choice(ZONES),
        }
        with open(site.folder / "log", "ab") as log:
            site.processes.append(subprocess.Popen(command, cwd=site.folder, env=environment, stdout=log, stderr=log))

    def _disturb(self) -> None:
        site = self.random.choice(
            [candidate for candidate in self.sites if candidate.outage is None or not candidate.outage.is_alive()]
        )
        for process in [candidate for candidate in site.processes if candidate.poll() is not None]:
            site.processes.remove(process)  # it could not start while its database was away
            self._start(site)
        victim = self.random.choice(site.processes)
        what = self.random.choices(FAULTS, [2, 6, 1, 1, 1])[0]
        workers: list[int] = []
        if what == "worker killed":  # they live for a second: a daemon that works will have one again soon
            deadline = time.monotonic() + 2
            while not workers and time.monotonic() < deadline:
                workers = [pid for pid in marked(self.mark) if is_worker(pid)]
                time.sleep(0.05)
        if (what == "worker killed" and not workers) or (
            site.server is None and what in ("server killed", "network away")
        ):
            what = "daemon killed"
        if what == "daemon killed":
            victim.kill()
            victim.wait()
            site.processes.remove(victim)
            self._start(site)
        elif what == "worker killed":
            try:
                os.kill(self.random.choice(workers), signal.SIGKILL)
            except ProcessLookupError:
                return
        elif what == "server killed":
            assert site.server is not None
            site.server.kill()
            if self.outages:  # the other sites are disturbed meanwhile
                site.outage = Timer(self.outages.pop(0), site.server.start)
                site.outage.start()
            else:
                time.sleep(self.random.uniform(0, 3))
                site.server.start()
        elif what == "network away":
            assert site.proxy is not None
            site.proxy.close()
            time.sleep(self.random.uniform(0, 3))
            site.proxy.open()
        else:
            victim.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_S + 1)
            victim.send_signal(signal.SIGCONT)
        self.done[what] += 1

    def _wait_for_end(self, site: Site) -> None:
        """Until all is done. Raises AssertionError where nothing comes about for ten minutes."""
        progress: tuple[int, ...] = ()
        deadline = time.monotonic() + 600

        def over() -> bool:
            nonlocal progress, deadline
            for process in [candidate for candidate in site.processes if candidate.poll() is not None]:
                site.processes.remove(process)
                self._start(site)
            database = Database(site.url)
            if database.revision() != head_revision():
                return False  # its server was killed while the tables were made
            ended = len(rows_of(database, "SELECT uuid FROM runs WHERE status NOT IN ('pending', 'running')"))
            events = len(rows_of(database, HISTORY["events"]))
            waiting = rows_of(database, "SELECT uuid FROM notifications WHERE status IN ('pending', 'sending')")
            waiting += rows_of(database, "SELECT uuid FROM alert_events WHERE NOT dispatched")
            if progress != (progress := (ended, events, len(waiting))):
                deadline = time.monotonic() + 600
            return ended >= len(self.expected["runs"]) and events >= len(self.expected["events"]) and not waiting

        while not over():
            assert time.monotonic() < deadline, (
                f"{site.name}: nothing came about in ten minutes, at {progress} runs, events and messages that wait"
            )
            time.sleep(0.2)

    def _stop(self, site: Site) -> None:
        for process in site.processes:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
        # One that was just being started has nothing to give back, and may end by the signal itself.
        assert {process.wait(60) for process in site.processes} <= {0, -signal.SIGTERM}

    def _check(self, site: Site) -> None:
        database = Database(site.url)
        actual = history_of(Database(site.url))
        for name, rows in self.expected.items():
            assert actual[name] == rows, (site.name, name, _first_difference(actual[name], rows))
        assert rows_of(database, "SELECT uuid FROM runs WHERE status <> 'done' OR lease_until IS NOT NULL") == []
        windows = rows_of(
            database, "SELECT monitor_id, window_start, window_end FROM runs WHERE kind = 'data' ORDER BY 1, 2"
        )
        for (monitor, _, end), (next_monitor, start, _) in itertools.pairwise(windows):
            assert monitor != next_monitor or end == start
        self._check_messages(site, database)
        check_integrity(site.url)

    def _check_messages(self, site: Site, database: Database) -> None:
        sql = (
            "SELECT uuid, group_key, number, status, body FROM notifications WHERE status <> 'superseded' ORDER BY"
            " group_key, number"
        )
        written = rows_of(database, sql)
        assert {status for *_, status, _ in written} <= {"delivered"}
        came: dict[str, bytes] = {}
        for identity, body in self.inbox.came.get(site.name, []):
            assert came.setdefault(identity, body) == body, "the same notification with other bytes"
        order = list(came)
        groups: dict[str, list[int]] = {}
        for identity, group, _, _, body in written:
            assert came.get(identity) == body.encode()
            groups.setdefault(group, []).append(order.index(identity))
        assert all(places == sorted(places) for places in groups.values())
        assert written or not any(row[1] == "firing" for row in self.expected["events"])


def _first_difference(actual: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> Any:
    more, less = set(actual) - set(expected), set(expected) - set(actual)
    return len(actual), len(expected), sorted(map(str, more))[:3], sorted(map(str, less))[:3]


def check_integrity(url: str) -> None:
    """The database's own integrity check finds nothing."""
    database = Database(url)
    if database.is_sqlite:
        with sqlite3.connect(str(database.path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    elif url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
            server.execute(
                "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN"
                " pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relam = (SELECT oid FROM"
                " pg_am WHERE amname = 'btree')"
            )
    else:
        at = database.url
        link = pymysql.connect(host=at.host, port=at.port or 3306, user=at.username, database=at.database)
        try:
            cursor = link.cursor()
            cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            for table, _ in cursor.fetchall():
                cursor.execute(f"CHECK TABLE `{table}` EXTENDED")
                assert cursor.fetchall()[-1][-1] == "OK", table
        finally:
            link.close()
