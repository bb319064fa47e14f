"""What tests share: data, a configuration in a folder of its own, an HTTP receiver, database servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

# One thread for each test process, and for what it starts: OpenMP's threads of several processes fight over the cores.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
# Spark's Java lives for seconds: compiling for speed and collecting garbage by several threads cost it more than they
# save.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

import numpy as np  # noqa: E402 - these read the variables when they are imported
import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import yaml  # noqa: E402

from tests import servers  # noqa: E402
from tests.commands import run_here  # noqa: E402
from tests.processes import locked  # noqa: E402

# The environment variable that names the folder of a session to all its processes.
SESSION = "MONITOR_TEST_SESSION"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The six data sets beside the project, where they are."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED_DATA} is not there")
        pytest.skip(f"needs the data sets in {SHARED_DATA}, which are not part of the project")
    return SHARED_DATA


def logged(rows: int = 1200, days: int = 20, seed: int = 0, start: str = "2025-01-01") -> pd.DataFrame:
    """A binary model's log with labels: one numeric and one text feature that matter, one that does not."""
    random = np.random.default_rng(seed)
    income = random.normal(50, 10, rows)
    region = random.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2])
    chance = 1 / (1 + np.exp(-((income - 50) / 5 + (region == "south"))))
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "event_time": pd.Timestamp(start)
            + pd.to_timedelta(np.arange(rows) * days * 86400 / rows, unit="s").astype("timedelta64[us]"),
            "income": income,
            "region": region,
            "noise": random.random(rows),
            "probability": chance.round(6),
            "prediction": (chance >= 0.5).astype(int),
            "label": (random.random(rows) < chance).astype(int),
        }
    )


@dataclass
class Project:
    """A folder with a log, labels, a reference and a monitor.yaml."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "monitor.yaml"

    @property
    def monitor(self) -> dict[str, Any]:
        """The entry of its monitor, to be changed before `write`."""
        return self.values["monitors"]["churn"]

    def write(self) -> Path:
        self.path.write_text(yaml.safe_dump(self.values, sort_keys=False))
        return self.path

    def log(self, frame: pd.DataFrame) -> None:
        frame.drop(columns="label").to_parquet(self.folder / "log.parquet", index=False)

    def labels(self, frame: pd.DataFrame, delay: str = "1h") -> None:
        known_labels = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta(delay))
        known_labels.to_parquet(self.folder / "labels.parquet", index=False)

    def loaded(self) -> Any:
        from monitor.config.load import load

        return load(self.write())

    def daemon(self, **options: Any) -> Any:
        """The real daemon, with the workers that tests share."""
        from monitor.daemon import Daemon

        return Daemon(self.loaded(), **{"workers": shared_workers(), **options})

    def run(self, **options: Any) -> Any:
        """Work through everything that is due."""
        with self.daemon(**options) as daemon:
            return daemon.run_until_idle()

    def replay(self, until: datetime | None = None) -> Any:
        """The same with the data's clock, no further than `until`."""
        from monitor.domain.clock import ReplayClock
        from monitor.services.apply_configuration import BEGINNING

        with self.daemon(clock=ReplayClock(BEGINNING)) as daemon:
            return daemon.replay(until=until)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of its report database."""
        import sqlite3

        from monitor.storage.database import Database

        url = self.values.get("database", "sqlite")
        if url.startswith("sqlite"):
            with sqlite3.connect(self.folder / "monitor.db") as connection:
                return connection.execute(sql, parameters).fetchall()
        with Database(url).engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql.replace("?", "%s"), parameters)]


@cache
def shared_workers() -> Any:
    """The workers of this test process: they have imported and fitted already what the next daemon asks for."""
    from monitor.services.workers import WorkerPool

    return WorkerPool()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of 20 days: the model is healthy in all of them."""
    return made_in(tmp_path)


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """A folder that all test processes of this session have in common."""
    return Path(os.environ[SESSION])


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Project:
    """A service that has seen a model decay (`tests.web.lived`), for tests that look at pages and the API; what they
    change they change back.

    Each test process has a copy of its own of what one of them has lived through.
    """
    from tests.web import lived

    original = shared_folder / "history"
    with locked(shared_folder / "history.lock"):
        if not (original / "values.yaml").exists():
            shutil.rmtree(original, ignore_errors=True)
            original.mkdir()
            values = lived(made_in(original)).values
            (original / "values.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    folder = tmp_path_factory.mktemp("history") / "project"
    shutil.copytree(original, folder)
    return Project(folder, yaml.safe_load((folder / "values.yaml").read_text()))


@pytest.fixture
def own_history(history: Project, tmp_path: Path) -> Project:
    """A copy of `history` for one test, which may leave it as it likes."""
    shutil.copytree(history.folder, tmp_path / "project")
    return Project(tmp_path / "project", yaml.safe_load((history.folder / "values.yaml").read_text()))


def made_in(folder: Path) -> Project:
    """The project of `project`, in a folder."""
    new_project = Project(
        folder,
        {
            "web": False,
            "monitors": {
                "churn": {
                    "task": "binary",
                    "model": {"name": "churn", "version": "1"},
                    "source": {"path": "log.parquet"},
                    "labels": {"path": "labels.parquet", "delay": "1d", "expected": 1.0},
                    "reference": {"path": "reference.parquet"},
                    "columns": {
                        "id": "id",
                        "event_time": "event_time",
                        "prediction": "prediction",
                        "probability": "probability",
                        "label": "label",
                        "label_time": "label_time",
                    },
                    "windows": {"length": "5d", "start": "2025-01-01", "anchor": "2025-01-01"},
                }
            },
        },
    )
    logged(1500, seed=7, start="2024-12-01").to_parquet(folder / "reference.parquet", index=False)
    frame = logged()
    new_project.log(frame)
    new_project.labels(frame)
    return new_project


@dataclass
class Receiver:
    """An HTTP receiver on loopback; `answers` decides what it says to the n-th request."""

    url: str
    received: list[tuple[dict[str, str], bytes]]
    answers: list[Callable[[BaseHTTPRequestHandler], None]]


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a status and nothing else."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that says 204 unless told otherwise."""
    received: list[tuple[dict[str, str], bytes]] = []
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            (answers.pop(0) if answers else status(204))(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook", received, answers)
    server.shutdown()
    server.server_close()


@pytest.fixture
def monitor_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a user does, in this process (`run_here`)."""
    return run_here


@pytest.fixture
def monitor_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, for what depends on that."""

    def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "monitor"), *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)

    return run


@pytest.fixture(scope="session")
def fork_server() -> Iterator[None]:
    """The fork server of this process, with everything imported before the first test asks for a worker: one that a
    command which only looks at data started would have nothing to share.
    """
    shared_workers().call("time:sleep", 0)
    yield
    shared_workers().close()


@pytest.fixture(scope="session")
def postgresql(shared_folder: Path) -> servers.Server:
    """The PostgreSQL server of this session; a test has a database of its own on it."""
    servers.require(servers.PostgreSQL)
    return servers.of_session(servers.PostgreSQL, shared_folder)


@pytest.fixture(scope="session")
def mariadb(shared_folder: Path) -> servers.Server:
    """The MariaDB server of this session; a test has a database of its own on it."""
    servers.require(servers.MariaDB)
    return servers.of_session(servers.MariaDB, shared_folder)


@pytest.fixture
def empty_postgresql(postgresql: servers.Server) -> Iterator[str]:
    """A new, empty database on that server."""
    url = postgresql.new_database()
    yield url
    postgresql.drop(url)


@pytest.fixture
def empty_mariadb(mariadb: servers.Server) -> Iterator[str]:
    """A new, empty database on that server."""
    url = mariadb.new_database()
    yield url
    mariadb.drop(url)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A report database that is not there yet: each test that takes this runs on all three kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/monitor.db"
    url: str = request.getfixturevalue(f"empty_{request.param}")
    return url


def pytest_configure(config: pytest.Config) -> None:
    """The process that a session begins with makes the folder that its test processes share."""
    if not hasattr(config, "workerinput"):
        os.environ[SESSION] = tempfile.mkdtemp(prefix="monitor-session-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """It ends what they have started together, however the session ended."""
    if not hasattr(config, "workerinput"):
        shared = Path(os.environ.pop(SESSION))
        servers.end_session(shared)
        shutil.rmtree(shared, ignore_errors=True)


# They take the longest: none of them may be left to run alone at the end.
FIRST = ("chaos/", "test_demo", "test_real_data", "test_history_is_the_same", "killed", "test_spark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first."""
    items.sort(key=lambda item: next((at for at, name in enumerate(FIRST) if name in item.nodeid), len(FIRST)))
