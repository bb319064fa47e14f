"""A server of S3 on this machine, for tests and benchmarks, which notes what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """The server's address, and the requests that it was asked: method and path. Skips where the server is not
    installed.
    """
    server = pytest.importorskip("moto.server", reason="constraints-moto.txt is not installed")
    from werkzeug.serving import make_server

    request_log: list[str] = []
    app = server.DomainDispatcherApplication(server.create_backend_app)

    def counted(environment: Any, start: Any) -> Any:
        request_log.append(f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}")
        return app(environment, start)

    running = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", request_log
    finally:
        running.shutdown()


def environment_of(address: str) -> dict[str, str]:
    """The environment in which the server is the S3 that is meant."""
    return {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ENDPOINT_URL": address,
        "AWS_REGION": "us-east-1",
    }
