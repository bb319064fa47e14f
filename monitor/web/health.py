"""Whether the service lives, whether it works, and its numbers for Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from sqlalchemy.orm import Session

from monitor.domain.monitor_state import MonitorState
from monitor.errors import MonitorError
from monitor.storage import daemons, measures
from monitor.web.access import requires
from monitor.web.site import AnyRequest, Site, in_thread, site_of

# Of more monitors than this the numbers of each are left out: what is scraped must not grow without bound.
MOST_MONITORS = 1000
_TEXT = "text/plain; version=0.0.4"


@get("/healthz", sync_to_thread=False, include_in_schema=False)
def alive() -> dict[str, str]:
    """The web server answers."""
    return {"status": "ok"}


@get("/readyz", include_in_schema=False)
@in_thread
def ready(request: AnyRequest) -> Response[dict[str, str]]:
    """The report database answers, and has the schema of this version."""
    site = site_of(request)
    try:
        site.context.database.require_current()
        site.read(daemons.database_time)
    except MonitorError as error:
        return Response({"status": "not ready", "why": type(error).__name__}, status_code=503)
    return Response({"status": "ok"})


@get("/metrics", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def metrics(request: AnyRequest) -> Response[bytes]:
    """Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(site_of(request)))
    return Response(generate_latest(registry), media_type=_TEXT)


class _Collector:
    """The numbers as they are in the report database now: every daemon reports the same."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Any:
        """The families, each once."""
        families = self._site.read(self._read)
        yield from families

    def _read(self, session: Session) -> list[Any]:
        now = datetime.now(UTC)
        runs = CounterMetricFamily("monitor_runs", "Runs that have ended, by outcome.", labels=["kind", "status"])
        spent = GaugeMetricFamily(
            "monitor_run_duration_seconds",
            "How long runs of the last day took, on average and at most.",
            labels=["kind", "of"],
        )
        for kind, status, number in measures.ended(session):
            runs.add_metric([kind, status], number)
        for kind, mean, longest in measures.durations(session, now):
            spent.add_metric([kind, "mean"], mean)
            spent.add_metric([kind, "max"], longest)
        lag = GaugeMetricFamily(
            "monitor_lag_seconds", "How long the run that has waited longest could have been started."
        )
        lag.add_metric([], measures.lag_s(session, now))
        waiting = GaugeMetricFamily("monitor_runs_open", "Runs that wait or are in work.", labels=["status"])
        for status, number in measures.open_runs(session):
            waiting.add_metric([status], number)
        outbox = GaugeMetricFamily(
            "monitor_notifications", "The outbox: notifications that are not delivered.", labels=["channel", "status"]
        )
        for channel, status, number in measures.undelivered(session):
            outbox.add_metric([channel, status], number)
        alerts = GaugeMetricFamily("monitor_alerts_firing", "Alerts that fire.", labels=["severity", "kind"])
        for severity, kind, number in measures.firing(session):
            alerts.add_metric([severity, kind], number)
        requests = GaugeMetricFamily(
            "monitor_retraining_open", "Retraining requests that have not ended.", labels=["state"]
        )
        for state, number in measures.open_requests(session):
            requests.add_metric([state], number)
        silent = GaugeMetricFamily(
            "monitor_daemon_heartbeat_age_seconds", "How long ago each daemon's heart beat.", labels=["daemon"]
        )
        for daemon in daemons.listed(session):
            silent.add_metric([daemon.name], (daemons.database_time(session) - daemon.heartbeat_at).total_seconds())
        refused = CounterMetricFamily(
            "monitor_ingest_refused",
            "Requests with rows that were refused, since the service started.",
            labels=["monitor"],
        )
        for name, refusals in sorted(self._site.context.refusals.by_monitor.items()):
            refused.add_metric([name], refusals.requests)
        return [refused, runs, spent, lag, waiting, outbox, alerts, requests, silent, *self._monitor_families(session)]

    def _monitor_families(self, session: Session) -> list[Any]:
        """The last values of each monitor, while there are not too many."""
        value = GaugeMetricFamily(
            "monitor_model_performance",
            "The metric that stands for a model's performance, in its last window.",
            labels=["monitor", "model", "metric", "kind"],
        )
        drifted = GaugeMetricFamily(
            "monitor_model_drifted_columns",
            "How many columns had drifted in the last window.",
            labels=["monitor", "model"],
        )
        health = GaugeMetricFamily(
            "monitor_model_health",
            f"1 for the state of a monitor: {', '.join(MonitorState)}.",
            labels=["monitor", "model", "health"],
        )
        fleet = self._site.fleet(session)
        for overview, spark, _ in fleet if len(fleet) <= MOST_MONITORS else ():
            name, model = overview.name, overview.model
            health.add_metric([name, model, overview.state.value], 1)
            for kind, points in (("realised", spark.realised), ("estimated", spark.estimated)):
                if points:
                    value.add_metric([name, model, spark.metric, kind], points[-1][1])
            if spark.drifted:
                drifted.add_metric([name, model], spark.drifted[-1][1])
        return [value, drifted, health]


HANDLERS = [alive, ready, metrics]
