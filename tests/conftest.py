"""What tests share: data, a configuration in a folder of its own, an HTTP receiver, database servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests import servers

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
        known = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta(delay))
        known.to_parquet(self.folder / "labels.parquet", index=False)

    def loaded(self) -> Any:
        from monitor.config.load import load

        return load(self.write())

    def run(self, **options: Any) -> Any:
        """Work through everything that is due, with the real daemon."""
        from monitor.daemon import Daemon

        with Daemon(self.loaded(), **options) as daemon:
            return daemon.run_until_idle()

    def replay(self) -> Any:
        """The same with the data's clock."""
        from monitor.daemon import Daemon
        from monitor.domain.clock import ReplayClock
        from monitor.services.apply_configuration import BEGINNING

        with Daemon(self.loaded(), clock=ReplayClock(BEGINNING)) as daemon:
            return daemon.replay()

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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of 20 days: the model is healthy in all of them."""
    return made_in(tmp_path)


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A service that has seen a model decay (`tests.web.lived`), for tests that look at pages and the API; what they change they change back."""
    from tests.web import lived

    return lived(made_in(tmp_path_factory.mktemp("history")))


def made_in(folder: Path) -> Project:
    """The project of `project`, in a folder."""
    made = Project(
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
    made.log(frame)
    made.labels(frame)
    return made


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
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook", received, answers)
    server.shutdown()
    server.server_close()


@pytest.fixture
def monitor_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line as a user does."""

    def run(
        *arguments: str, cwd: Path, environment: dict[str, str] | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "monitor"), *arguments]
        return subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.Server]:
    """A PostgreSQL server of the tests' own."""
    servers.require(servers.PostgreSQL)
    server = servers.PostgreSQL()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.Server]:
    """A MariaDB server of the tests' own."""
    servers.require(servers.MariaDB)
    server = servers.MariaDB()
    yield server
    server.stop()


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first, so that it does not run alone at the end."""
    items.sort(key=lambda item: "chaos" not in item.nodeid)
