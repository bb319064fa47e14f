"""Database servers of the tests' own: started on free ports of loopback from what is installed, stopped by process
id.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg
import pymysql
import pytest

from tests.processes import locked, wait_until


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A server with a data folder of its own, which can be killed and started again on the same port."""

    name: str
    package: str
    user: str

    def __init__(self, *, durable: bool = False) -> None:
        """durable: commits outlive a kill; without it tests are quicker."""
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix=f"monitor-{self.name}-"))
        self.data = self.folder / "data"
        self.port = free_port()
        # MariaDB removes the temporary tables that it finds when it starts, those of the other servers with them.
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
        }
        self._prefix: list[str] = []
        if os.getuid() == 0:  # both servers refuse to be run by root
            shutil.chown(self.folder, self.user, self.user)
            self._prefix = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]
        self._make()
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [*self._prefix, *self._command()]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, f"{self.name} did not start in time"
            time.sleep(0.1)

    def detached(self) -> dict[str, str | int]:
        """What another process needs to know of a running server, for `attached`."""
        return {"folder": str(self.folder), "port": self.port, "pid": self.process.pid}

    @classmethod
    def attached(cls, state: dict[str, str | int]) -> Self:
        """A server that another process has started: databases can be made on it and dropped, no more."""
        server = cls.__new__(cls)
        server.folder, server.port = Path(str(state["folder"])), int(state["port"])
        return server

    def kill(self) -> None:
        """As a power cut would; its children go with it, being in want of their parent."""
        self.process.kill()
        self.process.wait(60)

    def stop(self) -> None:
        """Stop the server and remove its data."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self._execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database with whoever is connected to it."""
        self._execute(self._dropping(url.rsplit("/", 1)[1]))

    stop_signal = signal.SIGTERM

    @abstractmethod
    def _make(self) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    @abstractmethod
    def _execute(self, statement: str) -> None: ...

    @abstractmethod
    def _dropping(self, name: str) -> str: ...

    @abstractmethod
    def url(self, database: str) -> str:
        """The address of a database."""

    def _run(self, *command: str) -> None:
        process = subprocess.run(
            [*self._prefix, *command],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            check=False,
        )
        assert process.returncode == 0, process.stderr[-2000:]


class PostgreSQL(Server):
    """A PostgreSQL server."""

    name = "PostgreSQL"
    package = "postgresql"
    user = "postgres"
    stop_signal = signal.SIGINT  # fast: connections that are left are closed

    @staticmethod
    def tool(name: str) -> str | None:
        paths = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(paths[-1]) if paths else shutil.which(name)

    @classmethod
    def is_installed(cls) -> bool:
        return cls.tool("initdb") is not None and cls.tool("postgres") is not None

    def _make(self) -> None:
        self._run(str(self.tool("initdb")), "-D", str(self.data), "-U", "monitor", "--auth=trust", "-E", "UTF8")

    def _command(self) -> list[str]:
        command = [str(self.tool("postgres")), "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        return command if self.durable else [*command, "-c", "fsync=off"]

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def _dropping(self, name: str) -> str:
        return f"DROP DATABASE {name} WITH (FORCE)"

    def url(self, database: str) -> str:
        return f"postgresql://monitor@127.0.0.1:{self.port}/{database}"


class MariaDB(Server):
    """A MariaDB server."""

    name = "MariaDB"
    package = "mariadb-server"
    user = "mysql"

    @staticmethod
    def tool(name: str) -> str | None:
        return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")

    @classmethod
    def is_installed(cls) -> bool:
        return cls.tool("mariadbd") is not None and cls.tool("mariadb-install-db") is not None

    def _make(self) -> None:
        options = ["--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal"]
        self._run(str(self.tool("mariadb-install-db")), *options, "--skip-test-db")
        self._initial = self.folder / "first.sql"
        self._initial.write_text(
            "".join(
                f"CREATE USER IF NOT EXISTS monitor@'{host}';\nGRANT ALL ON *.* TO monitor@'{host}';\n"
                for host in ("localhost", "127.0.0.1")
            )
        )
        self._initial.chmod(0o644)

    def _command(self) -> list[str]:
        command = [
            str(self.tool("mariadbd")),
            "--no-defaults",
            f"--datadir={self.data}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--init-file={self._initial}",
            "--innodb-buffer-pool-size=256M",
            "--max-connections=300",
        ]
        return command if self.durable else [*command, "--innodb-flush-log-at-trx-commit=0"]

    def _answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    def _execute(self, statement: str) -> None:
        connection = pymysql.connect(host="127.0.0.1", port=self.port, user="monitor", autocommit=True)
        try:
            connection.query(statement)
        finally:
            connection.close()

    def _dropping(self, name: str) -> str:
        return f"DROP DATABASE {name}"

    def url(self, database: str) -> str:
        return f"mysql://monitor@127.0.0.1:{self.port}/{database}"


def of_session(kind: type[PostgreSQL] | type[MariaDB], shared: Path) -> Server:
    """One server for all test processes of a session, which the first to ask starts; `end_session` stops it.

    shared: a folder that they have in common.
    """
    state = shared / f"{kind.name}.json"
    with locked(shared / f"{kind.name}.lock"):
        if not state.exists():
            state.write_text(json.dumps(kind().detached()))
    return kind.attached(json.loads(state.read_text()))


def end_session(shared: Path) -> None:
    """Stop the servers of a session and remove their data."""
    for kind in (PostgreSQL, MariaDB):
        state = shared / f"{kind.name}.json"
        if state.exists():
            server_state = json.loads(state.read_text())
            _end(server_state["pid"], kind.stop_signal)
            shutil.rmtree(server_state["folder"], ignore_errors=True)


def _end(pid: int, number: int) -> None:
    """End a process that may be another's child, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)

    def is_gone() -> bool:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    wait_until(is_gone, 60)


def require(kind: type[PostgreSQL] | type[MariaDB]) -> None:
    """Skip, or under CI fail, where a server is not installed."""
    if not kind.is_installed():
        if os.environ.get("CI"):
            pytest.fail(f"{kind.name} is not installed; .ci/run installs it")
        pytest.skip(f"needs {kind.name} (Debian: apt install {kind.package})")
