"""Reports in Evidently's own service: its API lists and shows them, with the metadata that they carry."""

from __future__ import annotations

import json
from pathlib import Path

from monitor import Reference, evaluate
from monitor.analysis.plots import plots_in
from tests.conftest import logged


def test_evidentlys_service_lists_and_shows_our_reports(tmp_path: Path) -> None:
    from evidently.ui.service.app import create_app, get_config
    from evidently.ui.workspace import Workspace
    from litestar.testing import TestClient

    reference = Reference.fit(logged(1500, seed=7, start="2024-12-01"))
    workspace = Workspace.create(str(tmp_path / "workspace"))
    project = workspace.create_project("churn")
    workspace.add_run(project.id, evaluate(reference, logged(800, seed=2)).snapshot)
    with TestClient(create_app(get_config(workspace=str(tmp_path / "workspace")))) as service:
        for what in ("reports", "snapshots"):
            answer = service.get(f"/api/projects/{project.id}/{what}")
            assert answer.status_code == 200, answer.text
        (listed,) = answer.json()
        assert "income" in plots_in(listed["metadata"])
        shown = service.get(f"/api/projects/{project.id}/{listed['id']}/data")
        assert shown.status_code == 200, shown.text
        assert len(shown.json()["widgets"]) > 5


def test_plots_of_reports_of_the_first_versions_are_read() -> None:
    plot = {"words": ["a"], "reference": [1], "window": [2]}
    assert plots_in({"plots": {"x": json.dumps(plot)}}) == plots_in({"plots": json.dumps({"x": plot})}) == {"x": plot}
    assert plots_in({}) == {}
