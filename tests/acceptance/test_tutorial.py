"""The tutorial is run as a reader does: each block in its order, and the output is the one that it shows."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
PUSH = "ntfy://"


@dataclass(frozen=True)
class Block:
    """A block of the tutorial: its language, its title and its text."""

    language: str
    title: str
    text: str


BLOCKS = [Block(*match.groups(default="")) for match in BLOCK.finditer(TUTORIAL)]


@contextmanager
def push_service() -> Iterator[tuple[str, list[str]]]:
    """A server that takes messages like ntfy: its address, and title and text of the received messages."""
    messages: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            messages.append(message_of(self.path, self.headers, body))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        do_PUT = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", messages
    server.shutdown()
    server.server_close()


def message_of(path: str, headers: Message, body: bytes) -> str:
    """Title and text of a message: from the body, or from the query if the body is a picture."""
    if headers.get_content_type() == "application/json":
        message = json.loads(body)
    else:
        assert body.startswith(b"\x89PNG")
        message = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    return f"{message['title']}\n{message['message']}"


def test_each_block_is_run_or_compared() -> None:
    assert {(block.language, block.title) for block in BLOCKS} == {
        ("sh", ""),
        ("sh", "install"),
        ("sh", "serve"),
        ("python", "make_log.py"),
        ("text", ""),
        ("text", "on the phone"),
    }
    install = next(block for block in BLOCKS if block.title == "install")
    assert install.text.splitlines()[-1] in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_tutorial_is_what_happens(tmp_path: Path) -> None:
    with push_service() as (address, messages):
        answer = ""
        for block in BLOCKS:
            if block.language == "python":
                (tmp_path / block.title).write_text(block.text, encoding="utf-8")
            elif block.title == "serve":
                serves(tmp_path)
            elif block.title == "on the phone":
                lines = block.text.splitlines()
                assert any(all(line in message for line in lines) for message in messages), (lines, messages)
            elif block.language == "text":
                assert [line for line in block.text.splitlines() if line not in answer] == [], answer
            elif block.title != "install":
                answer = run(block.text.replace(PUSH, f"{PUSH}{address}/"), tmp_path)
    titles = [message.splitlines()[0][:10] for message in messages]
    assert titles == ["[INFO] the", "[WARNING] ", "[CRITICAL]", "[CRITICAL]", "[CRITICAL]"]
    assert (tmp_path / "report.html").stat().st_size > 10_000


def environment(folder: Path) -> dict[str, str]:
    commands = Path(sys.executable).parent
    own = {"PATH": f"{commands}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "120"}
    return {**os.environ, **own}


def run(script: str, folder: Path) -> str:
    """Run commands in a shell, as a reader does. Returns their output."""
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def serves(folder: Path) -> None:
    """`monitor serve` shows the monitor on its page, and ends well on a signal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "monitor.yaml").open("a", encoding="utf-8") as configuration:
        configuration.write(f"web: {{port: {port}}}\n")
    command = [str(Path(sys.executable).parent / "monitor"), "serve"]
    with (folder / "serve.log").open("w") as log:
        daemon = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=log, stderr=log)
        try:
            assert "bikes" in page(f"http://127.0.0.1:{port}/", daemon)
        finally:
            daemon.send_signal(signal.SIGTERM)
            code = daemon.wait(90)
    assert code == 0, (folder / "serve.log").read_text()


def page(url: str, daemon: subprocess.Popen[bytes]) -> str:
    """The text of a page, as soon as the server answers."""
    until = time.monotonic() + 120
    while time.monotonic() < until and daemon.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")
