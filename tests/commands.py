"""The command line within the tests' own process: the same code and the same words, without two seconds of imports and
a fork server each.
"""

from __future__ import annotations

import io
import multiprocessing.process
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import structlog

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_here(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as `monitor` on a shell would: in a folder, with these environment variables besides, `given` on
    standard input.
    """
    from monitor.cli import main

    stdout, stderr = _stream(), _stream()
    mask = os.umask(0)
    os.umask(mask)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    logging = structlog.get_config() if structlog.is_configured() else None
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(cwd)
        # Where workers start: multiprocessing keeps the folder that its process began in.
        patched.setattr(multiprocessing.process, "ORIGINAL_DIR", str(cwd))
        for name, value in (environment or {}).items():
            patched.setenv(name, value)
        patched.setattr(sys, "argv", ["monitor", *arguments])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
        patched.setattr(sys, "stdout", stdout)
        patched.setattr(sys, "stderr", stderr)
        try:
            code = _exit_code(main)
        finally:
            os.umask(mask)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if logging is None:
                structlog.reset_defaults()
            else:
                structlog.configure(**logging)
    return subprocess.CompletedProcess(["monitor", *arguments], code, _text(stdout), _text(stderr))


def _exit_code(main: Any) -> int:
    """The exit code of a process that ends in this way."""
    try:
        main()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
