"""Alerts: the inbox, the life of one, silences, and what could not be delivered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body, FromPath, FromQuery
from litestar.response import Redirect
from sqlalchemy.orm import Session

from monitor.alerting import message
from monitor.alerting.muting import matchers_of
from monitor.analysis.plots import as_shares
from monitor.domain import phrases
from monitor.domain.ids import one
from monitor.domain.matchers import parsed
from monitor.domain.matter import that_matter
from monitor.services import by_hand
from monitor.services.context import Context
from monitor.services.describe_alert import curve_of, facts_of, plots_of_window
from monitor.services.dispatch_alerts import addressed, muted_by, why_quiet
from monitor.services.incidents import began_together
from monitor.storage import alerts, monitors, outbox, runs, silences
from monitor.storage.tables import Alert
from monitor.web import drawn
from monitor.web.access import Principal, asker, is_our_form, requires
from monitor.web.parameters import end_after
from monitor.web.site import AnyRequest, in_thread, page, site_of

Form = Annotated[dict[str, Any], Body(media_type=RequestEncodingType.URL_ENCODED)]
# So many windows after the first bad one are drawn, if there are.
_AFTER = 30


@get("/alerts", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def inbox(request: AnyRequest, shown: FromQuery[str] = "open", monitor: FromQuery[str] = "") -> Response[str]:
    """What fires, or everything."""

    def read(session: Session) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        return [
            {
                "alert": alert,
                "monitor": name,
                "acknowledged": alert.state == "firing" and alerts.is_acknowledged(session, alert, now),
            }
            for alert, name in alerts.listed(session, everything=shown == "all")
            if monitor in ("", name)
        ][:500]

    return page(request, "alerts.html", rows=site_of(request).read(read), shown=shown, monitor=monitor)


@get("/alerts/{alert:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(request: AnyRequest, alert: FromPath[str]) -> Response[str]:
    """The life of an alert."""
    site = site_of(request)
    return page(request, "alert.html", **site.read(read_alert, site.context, alert))


def read_alert(session: Session, context: Context, alert: str) -> dict[str, Any]:
    """All that is stored about an alert. Raises NotFoundError."""
    stored = one(alerts.find(session, alert), "alert", alert)
    last = alerts.last_event(session, stored.id, ("firing", "escalated", "pending"))
    run = None if last is None else alerts.run_of(session, last)
    to = addressed(session, context, stored)
    labels, matchers = to.labels, matchers_of(to.labels)
    row = None if stored.monitor_id is None else monitors.by_id(session, stored.monitor_id)
    data_run = None if run is None else runs.look_zero(session, run.monitor_id, "data", run.window)
    notified_event = alerts.last_event(session, stored.id, (*alerts.BURNING, "resolved", "retracted", "pending"))
    facts = None if notified_event is None else facts_of(session, context, notified_event, stored, to.config, labels)
    findings = [] if facts is None or run is None else list(facts.findings)
    shown = that_matter(findings)
    curve = None
    if run is not None and findings:
        curve = curve_of(session, run, findings[0], stored.since, labels.get("model_version", ""), after=_AFTER)
    window_plots = {} if run is None else plots_of_window(session, run)
    plots = {
        finding["column"]: as_shares(window_plots[finding["column"]])
        for finding in shown
        if finding["column"] in window_plots
    }
    return {
        "headline": phrases.first_clause(stored.summary),
        "steps": [] if facts is None else message.steps(facts),
        "plots": plots,
        "together": began_together(session, stored),
        "drawn": {"columns": plots, "curve": None if curve is None else drawn.curve(curve)},
        "alert": stored,
        "row": row,
        "run": run,
        "data_run": data_run,
        "findings": shown,
        "rest": [finding for finding in findings if finding not in shown],
        "events": alerts.events(session, stored.id),
        "deliveries": alerts.deliveries(session, stored.id),
        "quiet": why_quiet(session, context, stored),
        "acknowledged": alerts.is_acknowledged(session, stored, datetime.now(UTC)),
        "matchers": matchers,
        "labels": labels,
    }


def checked(request: AnyRequest, data: dict[str, Any]) -> Principal:
    """Who sends a form of ours. Raises PermissionDeniedException for one that is not."""
    if not is_our_form(request, str(data.get("token", ""))):
        raise PermissionDeniedException("this form is too old, or none of ours: load the page again")
    return asker(request)


@post("/alerts/{alert:str}/{action:str}", guards=[requires("operator")], include_in_schema=False)
@in_thread
def act(request: AnyRequest, alert: FromPath[str], action: FromPath[str], data: Form) -> Redirect:
    """Acknowledge, give back or mark an alert."""
    site, person = site_of(request), checked(request, data).person()
    note = str(data.get("note", ""))[:2000]

    def unit(session: Session) -> Alert:
        if action == "acknowledge":
            lasts = str(data.get("for", "")).strip()
            until = end_after(person.now, lasts) if lasts else None
            columns = [column.strip() for column in str(data.get("columns", "")).split(",") if column.strip()]
            return by_hand.acknowledge(session, person, alert, note, until, columns)
        if action == "unacknowledge":
            return by_hand.unacknowledge(session, person, alert)
        return by_hand.mark(session, person, alert, str(data.get("verdict", "")), note)

    stored = site.context.database.transact(unit)
    return Redirect(f"{site.web.root_path}/alerts/{stored.uuid}", status_code=303)


@get("/silences", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def list_silences(
    request: AnyRequest, matchers: FromQuery[str] = "", lasts: FromQuery[str] = "2h", comment: FromQuery[str] = ""
) -> Response[str]:
    """Silences; and what a new one would mute, before it is made."""
    site = site_of(request)
    wanted = _matchers(matchers) if asker(request).may("operator") else []
    parsed(wanted)
    now = datetime.now(UTC)

    def read(session: Session) -> dict[str, Any]:
        return {
            "rows": silences.listed(session, None)[:200],
            "mutes": muted_by(session, site.context, wanted) if wanted else [],
        }

    configured = site.context.configuration.silences
    data = site.read(read)
    return page(
        request,
        "silences.html",
        **data,
        now_=now,
        matchers="\n".join(wanted),
        lasts=lasts,
        comment=comment,
        configured=configured,
        previewed=bool(wanted),
    )


def _matchers(text: str) -> list[str]:
    """Matchers, one a line."""
    return [line.strip() for line in text.split("\n") if line.strip()]


@post("/silences", guards=[requires("operator")], include_in_schema=False)
@in_thread
def add_silence(request: AnyRequest, data: Form) -> Redirect:
    """A new silence."""
    site, person = site_of(request), checked(request, data).person()
    ends = end_after(person.now, str(data.get("lasts") or "2h"))
    matchers, comment = _matchers(str(data.get("matchers", ""))), str(data.get("comment", ""))[:2000]
    site.context.database.transact(by_hand.silence, person, matchers, person.now, ends, comment)
    return Redirect(f"{site.web.root_path}/silences", status_code=303)


@post("/silences/{silence:str}/expire", guards=[requires("operator")], include_in_schema=False)
@in_thread
def expire(request: AnyRequest, silence: FromPath[str], data: Form) -> Redirect:
    """End a silence now."""
    site, person = site_of(request), checked(request, data).person()
    site.context.database.transact(by_hand.expire, person, silence)
    return Redirect(f"{site.web.root_path}/silences", status_code=303)


@get("/notifications", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def notifications(request: AnyRequest, status: FromQuery[str] = "") -> Response[str]:
    """The outbox."""
    rows = site_of(request).read(outbox.listed, status or None, 200)
    return page(request, "notifications.html", rows=rows, wanted=status)


@post("/notifications/{notification:str}/retry", guards=[requires("operator")], include_in_schema=False)
@in_thread
def retry(request: AnyRequest, notification: FromPath[str], data: Form) -> Redirect:
    """Send a notification again."""
    site, person = site_of(request), checked(request, data).person()
    site.context.database.transact(by_hand.send_again, person, notification)
    return Redirect(f"{site.web.root_path}/notifications", status_code=303)


HANDLERS = [inbox, show, act, list_silences, add_silence, expire, notifications, retry]
