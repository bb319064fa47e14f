"""The service reports its own faults, keeps within its limits, and prunes only what it may."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from monitor.daemon import Daemon
from monitor.domain.clock import ReplayClock
from monitor.services.apply_configuration import BEGINNING
from monitor.services.prune import prune
from monitor.services.watch_self import watch_self
from monitor.services.workers import WorkerPool, WorkFailedError
from tests.conftest import Project, Receiver, logged

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_dead_log_rings_and_rings_louder_and_is_quiet_when_it_lives_again(project: Project) -> None:
    del project.monitor["labels"]
    project.monitor["source"]["freshness"] = {"warn_after": "6h", "error_after": "1d"}
    clock = ReplayClock(BEGINNING)
    with project.daemon(clock=clock) as daemon:
        daemon.replay(until=datetime(2025, 1, 21, 5, tzinfo=UTC))
        self_alerts = "SELECT subject, state, severity FROM alerts WHERE kind = 'self'"
        assert project.query(self_alerts) == []
        clock.move_to(datetime(2025, 1, 21, 7, tzinfo=UTC))
        watch_self(daemon.context)
        assert project.query(self_alerts) == [("stale_source:churn", "firing", "warning")]
        clock.move_to(datetime(2025, 1, 22, 7, tzinfo=UTC))
        watch_self(daemon.context)
        assert project.query(self_alerts) == [("stale_source:churn", "firing", "critical")]
        project.log(logged(1400, days=23))
        daemon.replay(until=datetime(2025, 1, 22, 8, tzinfo=UTC))
        assert project.query(self_alerts) == [("stale_source:churn", "resolved", "critical")]


def test_status_tells_what_reading_took(project: Project, monitor_command: Command) -> None:
    project.run()
    seconds, rows, size = project.query("SELECT min(read_seconds), min(read_rows), min(read_bytes) FROM runs")[0]
    assert seconds > 0
    assert rows == 300
    assert size > 1000
    assert "2400 rows" in monitor_command("status", cwd=project.folder).stdout


def test_the_dead_mans_switch_is_fed_only_while_every_loop_comes_round(project: Project, receiver: Receiver) -> None:
    project.values["heartbeat_url"] = receiver.url
    project.values["heartbeat_allow_private"] = True
    with Daemon(project.loaded(), catches_up=False) as daemon:
        daemon.tell_alive()
        assert daemon.senders.wait_for_all(20) == []
        assert len(receiver.received) == 1
        daemon._ticks["plan"] = -3600.0
        daemon.tell_alive()
        assert daemon.senders.busy == []
        assert len(receiver.received) == 1
        daemon.heartbeat()
    [(loops,)] = project.query("SELECT loops FROM daemons")
    assert '"plan"' in loops


def test_so_many_runs_as_allowed_read_a_source_at_once(project: Project) -> None:
    project.monitor["source"]["max_concurrent"] = 1
    project.values["monitors"]["twin"] = project.monitor
    with Daemon(project.loaded()) as daemon:
        daemon.ready()
        from monitor.services.look_at_sources import look_at_sources
        from monitor.services.plan_runs import plan_runs

        look_at_sources(daemon.context, daemon.workers)
        assert plan_runs(daemon.context).number > 4
        assert daemon.executor.fill() == 1
        assert len(daemon.executor.in_work) == 1


def test_a_worker_that_eats_memory_fails_and_says_what_to_do() -> None:
    work = WorkerPool().start("numpy:ones", 400_000_000, 60, memory_mb=500)
    with pytest.raises(WorkFailedError, match="does not fit into memory"):
        work.wait()


@pytest.mark.long
def test_retention_takes_what_is_old_and_nothing_that_is_needed(project: Project, monitor_command: Command) -> None:
    project.values["retention"] = {"snapshots": "5d", "metric_values": "10d", "runs": "12d", "alerts": "1d"}
    frame = logged(1800, days=30)
    bad = frame["event_time"] < "2025-01-06"
    frame.loc[bad, "label"] = np.random.default_rng(1).integers(0, 2, bad.sum())
    project.log(frame)
    project.labels(frame)
    project.monitor["alerts"] = {"keep_firing_for": 1}
    project.monitor["labels"]["revise_until"] = "2d"
    with project.daemon(clock=ReplayClock(BEGINNING)) as daemon:
        daemon.replay(until=datetime(2025, 2, 3, tzinfo=UTC))
        counts = (
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM snapshots), (SELECT count(*) FROM alerts),"
            " (SELECT count(DISTINCT window_start) FROM metric_values)"
        )
        assert project.query(counts) == [(12, 12, 1, 6)]
        output = monitor_command("prune", "--dry-run", cwd=project.folder).stdout
        assert project.query(counts) == [(12, 12, 1, 6)]
        removed = prune(daemon.context)
        assert dict(removed)["runs"] == 6
        assert all(
            f"{number} {name.replace('_', ' ')}" in output for name, number in removed.items() if name != "snapshots"
        )
        assert prune(daemon.context)["runs"] == 0
    runs, snapshots, alerts, windows = project.query(counts)[0]
    assert (runs, snapshots, alerts, windows) == (6, 6, 0, 2)
    assert project.query("SELECT count(*) FROM open_windows") == [(0,)]
    days = project.query(
        "SELECT date(day), number FROM metric_days d JOIN metric_series s ON s.id = d.series_id WHERE metric ="
        " 'roc_auc' ORDER BY day"
    )
    assert days == [(f"2025-01-{day:02}", 1) for day in (1, 6, 11, 16)]
    assert project.run().finished == 0


def test_what_an_open_alert_needs_is_kept(project: Project) -> None:
    project.values["retention"] = {"runs": "1d"}
    frame = logged()
    frame["label"] = np.random.default_rng(1).integers(0, 2, len(frame))
    project.log(frame)
    project.labels(frame)
    with project.daemon(clock=ReplayClock(BEGINNING)) as daemon:
        daemon.replay()
        assert prune(daemon.context)["runs"] == 0
    assert project.query("SELECT count(*) FROM runs") == [(8,)]


def test_gaps_are_learned_by_the_living_daemon_alone(project: Project) -> None:
    del project.monitor["labels"]
    frame = logged()
    project.log(frame[frame["event_time"] < "2025-01-11"])
    with project.daemon(catches_up=False) as daemon:
        from monitor.services.look_at_sources import look_at_sources

        look_at_sources(daemon.context, daemon.workers)
        project.log(frame)
        look_at_sources(daemon.context, daemon.workers)
    [(gaps,)] = project.query("SELECT gaps FROM source_states")
    assert list(json.loads(gaps)) == ["source", "labels"]
    [(day, _)] = json.loads(gaps)["source"].items()
    assert datetime.fromisoformat(day).date() >= datetime.now(UTC).date() - timedelta(days=1)
