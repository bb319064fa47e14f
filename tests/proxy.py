"""A proxy before a database server that does what networks do: it loses answers, refuses, and forgets connections
without a word.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from tests.servers import free_port


class Proxy:
    """Forwards to a port of loopback; `lose_commits` is the share of COMMITs whose answer is lost with the
    connection.
    """

    def __init__(self, port: int, *, lose_commits: float = 0.0, seed: int = 0) -> None:
        self.port = free_port()
        self.lose_commits = lose_commits
        self.lost = 0
        self.target = port
        self._random = random.Random(seed)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forgotten: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Take connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and cut those that are open."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for pair in self._pairs:
            self._cut(*pair)
        self._pairs.clear()

    def forget(self) -> int:
        """Say nothing more to those that are connected now, and acknowledge all they say; how many."""
        ends = {end for pair in self._pairs for end in pair if end.fileno() >= 0}
        self._forgotten |= ends
        return len(ends) // 2

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((client, server))
            commits: list[bool] = []
            Thread(target=self._forward, args=(client, server, commits, self._ask), daemon=True).start()
            Thread(target=self._forward, args=(server, client, commits, self._answer), daemon=True).start()

    def _forward(
        self, source: socket.socket, sink: socket.socket, commits: list[bool], look: Callable[[bytes, list[bool]], bool]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source in self._forgotten:
                    continue
                if not look(data, commits):
                    break
                sink.sendall(data)
        self._cut(source, sink)

    def _ask(self, data: bytes, commits: list[bool]) -> bool:
        if data.rstrip(b"\0").endswith(b"COMMIT") and self._random.random() < self.lose_commits:
            commits.append(True)
        return True

    def _answer(self, _data: bytes, commits: list[bool]) -> bool:
        self.lost += len(commits)
        return not commits

    @staticmethod
    def _cut(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
