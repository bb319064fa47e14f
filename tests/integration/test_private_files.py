"""Files of the service can be read by its own user only. Commands that it starts have the usual umask."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor import cache_folder as cache
from tests.conftest import Project

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_database_cache_and_samples_are_private_and_a_channels_file_is_not(
    project: Project, monitor_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project.write()
    assert monitor_process("run", cwd=project.folder).returncode == 0
    database = project.folder / "monitor.db"
    written = [database, *(tmp_path / "cache").rglob("*")]
    assert len(written) > 2
    modes = {str(path): path.stat().st_mode & 0o777 for path in written}
    assert all(not mode & 0o077 for mode in modes.values()), modes
    assert os.umask(0o022) != 0o077, "the tests' own process is as before"
    started = "import os; print(oct(os.umask(0)))"
    script = (
        "from monitor.domain.private_files import *; keep_private(); import subprocess;"
        f" subprocess.run(['{sys.executable}', '-c', {started!r}], umask=usual_umask())"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, umask=0o027, check=True).stdout
        == "0o27\n"
    )


def test_a_cache_beside_temporary_files_is_used_only_if_it_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    ours = cache.cache_folder()
    assert ours.parent == tmp_path
    assert ours.stat().st_mode & 0o777 == 0o700
    assert cache.cache_folder() == ours
    ours.chmod(0o777)  # as somebody else would have left it
    assert cache.cache_folder() != ours
    ours.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    ours.symlink_to(tmp_path / "elsewhere")
    assert cache.cache_folder() != ours
