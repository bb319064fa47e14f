"""A workspace of Evidently's in a local folder: a project for each monitor, with its stored reports."""

from __future__ import annotations

import warnings
from pathlib import Path

from monitor.analysis.plots import unpacked

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently.sdk.models import ProjectModel
    from evidently.ui.storage.local.base import DOT_JSON, SNAPSHOTS_DIR_NAME
    from evidently.ui.workspace import Workspace


class ReportFolder:
    """The folder. Projects and reports are named by the ids of monitors and runs, so writing one twice changes nothing.
    Raises OSError for a folder that cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._workspace = Workspace(str(folder))

    def add_project(self, project_id: str, name: str, description: str) -> None:
        """Add a project, or give an existing one this name. An existing project keeps what people wrote into it."""
        project = self._workspace.get_project(project_id)
        if project is None:
            self._workspace.add_project(ProjectModel(id=project_id, name=name, description=description))
        elif project.name != name:
            project.name = name
            project.save()
        self._reports(project_id).mkdir(exist_ok=True)

    def has(self, project_id: str, report_id: str) -> bool:
        """Whether a report is there."""
        return self._path(project_id, report_id).exists()

    def add(self, project_id: str, report_id: str, snapshot: bytes) -> None:
        """Write a report. snapshot: as stored. Raises DataError for a damaged one."""
        path = self._path(project_id, report_id)
        # Evidently refuses a whole project if one report is incomplete.
        part = path.with_suffix(".part")
        part.write_text(unpacked(snapshot), encoding="utf-8")
        part.replace(path)

    def remove(self, project_id: str, report_id: str) -> None:
        """Delete a report."""
        self._path(project_id, report_id).unlink(missing_ok=True)

    def _reports(self, project_id: str) -> Path:
        return self._folder / project_id / str(SNAPSHOTS_DIR_NAME)

    def _path(self, project_id: str, report_id: str) -> Path:
        return self._reports(project_id) / f"{report_id}{DOT_JSON}"
