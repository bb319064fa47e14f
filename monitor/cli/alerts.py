"""`monitor alerts`: what fires, the life of an alert, and taking one on."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from monitor.cli import shared

app = typer.Typer(help="List, show and acknowledge alerts.", no_args_is_help=True)


@app.command("list")
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Firing alerts, newest first."""
    from monitor.storage import alerts

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def rows(session: Any) -> list[dict[str, Any]]:
        return [
            {
                "id": alert.uuid if json else alert.uuid[:8],
                "state": alert.state,
                "severity": alert.severity,
                "monitor": monitor,
                "kind": alert.kind,
                "subject": alert.subject,
                "since": alert.since,
                "ended": alert.ended_at,
                "bad_windows": alert.bad_windows,
                "columns": alert.columns,
                "summary": alert.summary,
                "acknowledged": alerts.is_acknowledged(session, alert, datetime.now(UTC)),
            }
            for alert, monitor in alerts.listed(session, everything=everything)
        ]

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
    from monitor.services.context import Context
    from monitor.services.describe_alert import explained
    from monitor.services.dispatch_alerts import why_quiet
    from monitor.storage import alerts

    loaded = shared.load_configuration(config, check_secrets=False)
    database = shared.open_existing(loaded)

    def life(session: Any) -> dict[str, Any]:
        stored = shared.one(alerts.find(session, alert), "alert", alert)
        events = alerts.events(session, stored.id)
        last = alerts.last_event(session, stored.id, ("firing", "escalated", "pending"))
        run = None if last is None else alerts.run_of(session, last)
        findings = [] if run is None else explained(session, run, stored.kind)
        return {
            "id": stored.uuid,
            "kind": stored.kind,
            "state": stored.state,
            "severity": stored.severity,
            "since": stored.since,
            "ended": stored.ended_at,
            "bad_windows": stored.bad_windows,
            "columns": stored.columns,
            "summary": stored.summary,
            "quiet": why_quiet(session, Context(loaded, database), stored),
            "run": None if run is None else run.uuid,
            "timeline": [
                {
                    "at": event.happened_at,
                    "event": event.kind,
                    "severity": event.severity,
                    "summary": event.summary,
                    "detail": event.detail,
                }
                for event in events
            ],
            "findings": findings,
            "deliveries": [
                {"channel": row.channel, "status": row.status, "attempts": row.attempts, "error": row.last_error}
                for row in alerts.deliveries(session, stored.id)
            ],
        }

    details = database.read(life)
    if json:
        shared.show([details], (), True, "")
        return
    ended = f", ended {details['ended']:%Y-%m-%d %H:%M} UTC" if details["ended"] else ""
    shared.say(
        f"alert {details['id']}\n  {details['kind']}, {details['state']}, {details['severity']}; since"
        f" {details['since']:%Y-%m-%d %H:%M} UTC{ended}; {details['bad_windows']} bad windows\n  {details['summary']}"
    )
    if details["quiet"]:
        shared.say(f"  no message is sent now: {details['quiet']}")
    shared.say("timeline")
    for event in details["timeline"]:
        remarks = [str(event["detail"][key]) for key in ("verdict", "by", "note", "until") if event["detail"].get(key)]
        detail = f" ({', '.join(remarks)})" if remarks else ""
        shared.say(
            f"  {event['at']:%Y-%m-%d %H:%M}  {event['event']:12} {event['severity']:9} {event['summary']}{detail}"
        )
    shared.say("findings of the last run that made it so")
    for finding in details["findings"]:
        shared.say(f"  {finding['severity']:9} {finding['explanation']}")
    shared.say("deliveries")
    for row in details["deliveries"]:
        shared.say(f"  {row['channel']}: {row['status']}, {row['attempts']} attempts {row['error']}".rstrip())
    if details["run"]:
        shared.say(f"look further: monitor report {details['run'][:8]} --html report.html")


@app.command("ack")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    note: Annotated[str, typer.Option(help="What is being done.")] = "",
    for_: Annotated[str | None, typer.Option("--for", help="How long: 4h, 2d; until it resolves if left out.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Only for this column or segment; the alert is sent again when another one is affected."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who; the name of this account if left out.")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Acknowledge an alert: no more reminders. It still resolves when windows are healthy again."""
    from monitor.domain.grid import Duration
    from monitor.services import by_hand

    person = shared.person(by)
    until = None if for_ is None else person.now + Duration.parse(for_).approximate()
    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    row = database.transact(by_hand.acknowledge, person, alert, note, until, column or [])
    shared.say(f"alert {row.uuid[:8]} is acknowledged")


@app.command("unack")
def unacknowledge(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    config: shared.ConfigOption = None,
) -> None:
    """Undo an acknowledgement: reminders are sent again."""
    from monitor.services import by_hand

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    row = database.transact(by_hand.unacknowledge, shared.person(), alert)
    shared.say(f"alert {row.uuid[:8]} is nobody's again")


class AlertVerdict(StrEnum):
    """What an alert was, as a person says."""

    REAL = "real"
    EXPECTED = "expected"
    USELESS = "useless"


@app.command("feedback")
def feedback(
    alert: Annotated[str | None, typer.Argument(help="The alert's id, or its beginning.")] = None,
    verdict: Annotated[AlertVerdict | None, typer.Argument(help="real, expected or useless.")] = None,
    note: Annotated[str, typer.Option(help="Why.")] = "",
    preview: Annotated[
        str | None,
        typer.Option(help="What another threshold would have done to the alerts that were marked: METRIC=LIMIT."),
    ] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Mark an alert as real, expected or useless; or see what another threshold would have done to those that were
    marked.
    """
    from monitor.errors import UsageError
    from monitor.services import by_hand

    if preview is not None:
        _preview(preview, config, json)
        return
    if alert is None or verdict is None:
        raise UsageError("name an alert and what it was: real, expected or useless; or --preview METRIC=LIMIT")
    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    row = database.transact(by_hand.mark, shared.person(), alert, verdict.value, note)
    shared.say(f"alert {row.uuid[:8]} is marked {verdict.value}")


def _preview(change: str, config: str | None, json: bool) -> None:
    from monitor.errors import UsageError
    from monitor.services.feedback import preview_threshold

    metric, equals, limit = change.partition("=")
    try:
        value = float(limit)
    except ValueError:
        raise UsageError(f"'{change}': write METRIC=LIMIT, such as mae=60") from None
    if not equals:
        raise UsageError(f"'{change}': write METRIC=LIMIT, such as mae=60")
    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    rows = database.read(preview_threshold, metric.strip(), value)
    shown = rows if json else [row | {"id": row["id"][:8]} for row in rows]
    shared.show(
        shown,
        ("id", "monitor", "since", "marked", "worst", "windows", "would"),
        json,
        "no alert with this metric was marked",
    )


@app.command("preview")
def preview(
    alert: Annotated[str, typer.Argument(help="The alert's id, or its beginning.")],
    channel: Annotated[str | None, typer.Option(help="By the templates of this channel.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="text, markdown, html, json (as webhooks get it), slack, teams, telegram or ntfy."
        ),
    ] = "text",
    config: shared.ConfigOption = None,
) -> None:
    """The message of an alert as it would be sent now."""
    from monitor.alerting.channels import FORMS
    from monitor.errors import UsageError
    from monitor.services.context import Context
    from monitor.services.dispatch_alerts import message_of
    from monitor.storage import alerts

    loaded = shared.load_configuration(config, check_secrets=False)
    channels = loaded.configuration.channels
    if channel is not None and channel not in channels:
        raise UsageError(f"there is no channel {channel}; there are: {', '.join(channels) or 'none'}")
    formats = ("text", "markdown", "html", "json", *FORMS)
    if form not in formats:
        raise UsageError(f"there is no format {form}; they are: {', '.join(formats)}")
    database = shared.open_existing(loaded)
    templates = {str(name): text for name, text in channels[channel].templates.items()} if channel is not None else {}

    def written(session: Any) -> str:
        row = shared.one(alerts.find(session, alert), "alert", alert)
        return message_of(session, Context(loaded, database), row, form, templates)

    shared.say(database.read(written))
