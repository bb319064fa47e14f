"""References are promoted, updated, rolled back and compared by hand. The rows of a run can be read again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pandas as pd
import pytest

from tests.conftest import Project, logged

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_references_are_promoted_updated_rolled_back_and_compared(project: Project, monitor_command: Command) -> None:
    def monitor(*arguments: str, code: int = 0) -> str:
        done = monitor_command(*arguments, cwd=project.folder)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def held() -> list[tuple[str, str]]:
        return project.query(
            "SELECT substr(v.version, 1, 8), f.why FROM references_in_force f JOIN reference_versions v ON v.id ="
            " f.reference_id ORDER BY f.valid_from, f.recorded_at"
        )

    project.run()
    assert "nothing has changed" in monitor("references", "update", "churn", code=2)
    changed = logged(1000, seed=30).assign(income=lambda rows: rows["income"] + 20)
    changed.to_parquet(project.folder / "reference.parquet", index=False)
    assert "(1000 rows) holds from 2025-01-21 00:00 UTC on" in monitor("references", "update", "churn")
    output = monitor(
        "references", "promote", "churn", "--window", "2025-01-01/2025-01-10", "--why", "after the release"
    )
    assert "(540 rows)" in output
    assert len(held()) == 3
    assert held()[2][1] == "after the release"
    first, updated, promoted = (version for version, _ in held())
    assert f"{updated} (1000 rows) holds again" in monitor("references", "rollback", "churn")
    assert [version for version, _ in held()] == [first, promoted, updated]
    assert held()[-1][1].startswith(f"rolled back from {promoted}; before that by ")
    assert f"{first} (1500 rows) holds again" in monitor("references", "rollback", "churn", "--to", first)
    assert held()[-1][0] == first
    output = monitor(
        "deployed", "churn", "--version", "5", "--note", "new features", "--reference", "reference.parquet"
    )
    assert "version 5 of churn is in production since" in output
    assert "reference of churn: " in output
    assert held()[-1][0] == updated
    assert held()[-1][1].startswith("version 5 was deployed; before that")
    assert "no monitor watches a model fraud; there are: churn" in monitor(
        "deployed", "fraud", "--version", "5", code=2
    )
    diff = monitor("references", "diff", first, updated)
    assert "income" in diff
    assert "roc_auc" in diff
    assert "no reference 0000" in monitor("references", "diff", "0000", first, code=2)
    assert "either --from FILE or --window" in monitor("references", "promote", "churn", code=2)


def test_the_rows_behind_a_run_are_read_again_with_the_labels_that_it_knew(
    project: Project, monitor_command: Command
) -> None:
    project.run()
    run, rows = project.query("SELECT uuid, sampled FROM runs WHERE kind = 'performance' ORDER BY id LIMIT 1")[0]
    done = monitor_command("runs", "sample", run[:8], "-o", "rows.parquet", cwd=project.folder)
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(project.folder / "rows.parquet")
    assert len(frame) == rows
    assert frame["label"].notna().all()
