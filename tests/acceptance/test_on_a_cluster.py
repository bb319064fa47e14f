"""Windows evaluated on a dask cluster of two worker processes have the same results as with Monitor's own workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.test_the_daemon_outlives_being_killed import decayed
from tests.conftest import Project
from tests.history import history

distributed = pytest.importorskip(
    "distributed", reason="needs dask.distributed (pip install 'production-monitor[dask]')"
)


@pytest.mark.long
def test_a_cluster_gives_the_same_history(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decayed(project)
    project.run()
    expected = history(project)
    (project.folder / "monitor.db").rename(tmp_path / "here.db")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))  # its workers have none of our references
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        project.values["workers"] = {"dask": cluster.scheduler_address}
        outcome = project.run()
    assert outcome.finished == 16
    assert history(project) == expected
    kept = os.listdir(tmp_path / "elsewhere" / "production-monitor")
    assert sorted(Path(name).suffix for name in kept) == [".mapped", ".reference"]
