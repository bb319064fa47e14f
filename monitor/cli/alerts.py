"""`monitor alerts`: what fires, the life of an alert, and taking one on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitor.cli import shared

app = typer.Typer(help="Alerts: what fires and what has fired.", no_args_is_help=True)


@app.command("list")
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Alerts that fire, newest first."""
    from monitor.storage import alerts

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def rows(session: Any) -> list[dict[str, Any]]:
        return [
            {
                "id": alert.uuid if json else alert.uuid[:8], "state": alert.state, "severity": alert.severity, "monitor": monitor, "kind": alert.kind, "since": alert.since,
                "ended": alert.ended_at, "bad_windows": alert.bad_windows, "columns": alert.columns, "summary": alert.summary,
                "acknowledged": alerts.is_acknowledged(session, alert.id),
            }
            for alert, monitor in alerts.listed(session, everything=everything)
        ]  # fmt: skip

    shared.show(
        database.read(rows),
        ("id", "state", "severity", "monitor", "kind", "since", "bad_windows", "summary"),
        json,
        "no alert fires",
    )


@app.command("show")
def show_alert(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """One alert: its timeline, findings and deliveries."""
    from monitor.services.dispatch_alerts import explained
    from monitor.storage import alerts

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def life(session: Any) -> dict[str, Any]:
        found = shared.one(alerts.find(session, alert), "alert", alert)
        events = alerts.events(session, found.id)
        last = alerts.last_event(session, found.id, ("firing", "escalated", "pending"))
        run = None if last is None else alerts.run_of(session, last)
        findings = [] if run is None else explained(session, run, found.kind)
        return {
            "id": found.uuid, "kind": found.kind, "state": found.state, "severity": found.severity, "since": found.since, "ended": found.ended_at,
            "bad_windows": found.bad_windows, "columns": found.columns, "summary": found.summary, "run": None if run is None else run.uuid,
            "timeline": [{"at": event.happened_at, "event": event.kind, "severity": event.severity, "summary": event.summary, "detail": event.detail} for event in events],
            "findings": findings,
            "deliveries": [{"channel": row.channel, "status": row.status, "attempts": row.attempts, "error": row.last_error} for row in alerts.deliveries(session, found.id)],
        }  # fmt: skip

    found = database.read(life)
    if json:
        shared.show([found], (), True, "")
        return
    ended = f", ended {found['ended']:%Y-%m-%d %H:%M} UTC" if found["ended"] else ""
    typer.echo(
        f"alert {found['id']}\n  {found['kind']}, {found['state']}, {found['severity']}; since {found['since']:%Y-%m-%d %H:%M} UTC{ended}; {found['bad_windows']} bad windows\n  {found['summary']}"
    )
    typer.echo("timeline")
    for event in found["timeline"]:
        detail = f" ({event['detail'].get('note')})" if event["detail"].get("note") else ""
        typer.echo(
            f"  {event['at']:%Y-%m-%d %H:%M}  {event['event']:12} {event['severity']:9} {event['summary']}{detail}"
        )
    typer.echo("findings of the last run that made it so")
    for finding in found["findings"]:
        typer.echo(f"  {finding['severity']:9} {finding['explanation']}")
    typer.echo("deliveries")
    for row in found["deliveries"]:
        typer.echo(f"  {row['channel']}: {row['status']}, {row['attempts']} attempts {row['error']}".rstrip())
    if found["run"]:
        typer.echo(f"look further: monitor report {found['run'][:8]} --html report.html")


@app.command("ack")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    note: Annotated[str, typer.Option(help="What is being done.")] = "",
    config: shared.ConfigOption = None,
) -> None:
    """Take an alert on: it is not announced again. It resolves by itself when windows are healthy."""
    import getpass

    from monitor.errors import UsageError
    from monitor.storage import alerts

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def taken(session: Any) -> str:
        found = shared.one(alerts.find(session, alert), "alert", alert)
        if found.state not in alerts.OPEN:
            raise UsageError(f"alert {found.uuid[:8]} is {found.state} already")
        now = datetime.now(UTC)
        alerts.add_event(
            session, found, "acknowledged", now, now, detail={"by": getpass.getuser(), "note": note}, dispatched=True
        )
        return str(found.uuid)

    typer.echo(f"alert {database.transact(taken)[:8]} is acknowledged")
