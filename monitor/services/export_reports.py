"""Stored Evidently reports, written into a workspace of Evidently's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import DataError, UsageError
from monitor.storage import results
from monitor.storage.database import Database

if TYPE_CHECKING:
    from monitor.analysis.snapshot.workspace import ReportFolder


@dataclass(frozen=True)
class Exported:
    """How many reports were added, were present already, and were removed because a later look at their window has
    replaced them.

    damaged: the ids of runs whose stored report cannot be read; they were left out.
    """

    added: int
    present: int
    replaced: int
    damaged: tuple[str, ...]


def export_to_evidently(
    database: Database, folder: Path, monitor_id: int | None, start: datetime | None, end: datetime | None
) -> Exported:
    """Write the reports of the newest look at each window into a workspace, a project for each monitor.

    monitor_id: one monitor; all without it. start, end: the range within which windows must lie wholly. Raises
        UsageError where there is no such report, and for a folder that cannot be written.
    """
    reports = database.read(results.reports, monitor_id, start, end)
    if not any(report.is_current for report in reports):
        raise UsageError(
            "there is no report in this range: runs that are done have one, but for windows without rows and those that"
            " `retention` has removed"
        )
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: --workspace takes a folder")
    from monitor.analysis.snapshot.workspace import ReportFolder  # Evidently takes seconds to import

    try:
        return _write(database, ReportFolder(folder), reports)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None


def _write(database: Database, folder: ReportFolder, reports: list[results.StoredReport]) -> Exported:
    added = present = replaced = 0
    damaged: list[str] = []
    for monitor in dict.fromkeys(report.monitor for report in reports):
        folder.add_project(monitor.id, monitor.name, f"Model {monitor.model}, by Monitor")
    for report in reports:
        there = folder.has(report.monitor.id, report.run)
        if not report.is_current:
            folder.remove(report.monitor.id, report.run)
            replaced += there
        elif there:
            present += 1
        else:
            snapshot = database.read(results.snapshot, report.run_id)
            if snapshot is None:  # pruned in the meantime
                continue
            try:
                folder.add(report.monitor.id, report.run, snapshot)
                added += 1
            except DataError:
                damaged.append(report.run)
    return Exported(added, present, replaced, tuple(damaged))
