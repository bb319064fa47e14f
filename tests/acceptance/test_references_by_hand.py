"""References promoted, updated, rolled back and compared by hand; the rows behind a run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pandas as pd

from tests.conftest import Project, logged

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_references_are_promoted_updated_rolled_back_and_compared(project: Project, monitor_command: Command) -> None:
    def monitor(*arguments: str, code: int = 0) -> str:
        done = monitor_command(*arguments, cwd=project.folder)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def held() -> list[tuple[str, str]]:
        return project.query("SELECT substr(v.version, 1, 8), f.why FROM references_in_force f JOIN reference_versions v ON v.id = f.reference_id ORDER BY f.id")  # fmt: skip

    project.run()
    assert "nothing has changed" in monitor("references", "update", "churn", code=2)
    changed = logged(1000, seed=30).assign(income=lambda rows: rows["income"] + 20)
    changed.to_parquet(project.folder / "reference.parquet", index=False)
    assert "(1000 rows) holds from 2025-01-21 00:00 UTC on" in monitor("references", "update", "churn")
    told = monitor("references", "promote", "churn", "--window", "2025-01-01/2025-01-10", "--why", "after the release")
    assert "(540 rows)" in told
    assert len(held()) == 3
    assert held()[2][1] == "after the release"
    assert f"{held()[1][0]} (1000 rows) holds again" in monitor("references", "rollback", "churn")
    assert f"{held()[0][0]} (1500 rows) holds again" in monitor("references", "rollback", "churn", "--to", held()[0][0])
    assert held()[-1][1].startswith("rolled back from ")
    diff = monitor("references", "diff", held()[0][0], held()[1][0])
    assert "income" in diff
    assert "roc_auc" in diff
    assert "no reference 0000" in monitor("references", "diff", "0000", held()[0][0], code=2)
    assert "either --from FILE or --window" in monitor("references", "promote", "churn", code=2)


def test_the_rows_behind_a_run_are_read_again_with_the_labels_that_it_knew(
    project: Project, monitor_command: Command
) -> None:
    project.run()
    (run, rows) = project.query("SELECT uuid, sampled FROM runs WHERE kind = 'performance' ORDER BY id LIMIT 1")[0]
    done = monitor_command("runs", "sample", run[:8], "-o", "rows.parquet", cwd=project.folder)
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(project.folder / "rows.parquet")
    assert len(frame) == rows
    assert frame["label"].notna().all()
