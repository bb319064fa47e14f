"""A command that takes each notification as JSON on its standard input."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from monitor.alerting.channels.process import end
from monitor.domain.private_files import usual_umask
from monitor.errors import DeliveryError


class Command:
    """A command, as a list: never a shell."""

    def __init__(self, command: Sequence[str], folder: Path, timeout_s: float) -> None:
        self._command, self._folder, self._timeout_s = list(command), folder, timeout_s

    def send(self, notification_id: str, body: bytes) -> str:
        """Run it; success is the exit code 0. Raises DeliveryError otherwise."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, as a list
                self._command,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=usual_umask(),
                env=os.environ | {"MONITOR_NOTIFICATION_ID": notification_id},
            )
        except OSError as error:
            raise DeliveryError(f"the command {self._command[0]} cannot be started: {error.strerror}") from None
        try:
            output, _ = process.communicate(body, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            end(process)
            raise DeliveryError(f"the command took longer than {self._timeout_s:.0f} s") from None
        last = output.decode(errors="replace").strip().splitlines()[-1:] or [""]
        if process.returncode != 0:
            raise DeliveryError(f"the command ended with {process.returncode}: {last[0][:200]}")
        return last[0][:200] or "done"

    def reach(self) -> str:
        """See that the command is there."""
        if (
            shutil.which(self._command[0], path=os.pathsep.join([str(self._folder), os.environ.get("PATH", "")]))
            is None
        ):
            raise DeliveryError(f"there is no command {self._command[0]}")
        return f"the command {self._command[0]} is there"
