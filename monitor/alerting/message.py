"""What an alert says: first what is wrong with which model and why, then what to know and do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FIRST_LINE = 110


@dataclass(frozen=True)
class Facts:
    """What a message is made of."""

    notification: str
    event: str
    alert_id: str
    kind: str
    state: str
    severity: str
    monitor: str
    model: str
    labels: Mapping[str, str]
    summary: str
    since: datetime
    happened_at: datetime
    bad_windows: int
    columns: Sequence[str] = ()
    changed: Sequence[str] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    window: str = ""
    run_id: str = ""
    report: str = ""
    runbook_url: str = ""
    description: str = ""
    events: Sequence[str] = field(default_factory=tuple)
    link: str = ""


def title(facts: Facts) -> str:
    """The first line, at most 110 characters: severity, model, what and why."""
    name = facts.model or facts.monitor or "the service"
    head = {"resolved": "RESOLVED", "retracted": "RETRACTED"}.get(facts.state, facts.severity.upper())
    line = f"[{head}] {name}: {facts.summary}"
    if facts.changed and facts.state == "firing":
        line += f"; changed: {', '.join(facts.changed)}"
    return _cut(line, FIRST_LINE)


def text(facts: Facts) -> str:
    """The whole message as plain text."""
    lines = [title(facts), ""]
    if facts.state == "resolved":
        lines.append(
            f"It fired since {_day(facts.since)}, over {facts.bad_windows} {'window' if facts.bad_windows == 1 else 'windows'}; the windows since were healthy."
        )
    else:
        lines.append(facts.summary)
    for finding in list(facts.findings)[:6]:
        if finding["explanation"] != facts.summary:
            lines.append(f"- {finding['severity']}: {finding['explanation']}")
    lines.append("")
    about = {
        "monitor": facts.monitor, "model version": facts.labels.get("model_version", ""), "firing since": _day(facts.since),
        "bad windows": str(facts.bad_windows), "window": facts.window, "alert": facts.alert_id, "runbook": facts.runbook_url, "details": facts.link,
    }  # fmt: skip
    lines += [f"{name}: {value}" for name, value in about.items() if value]
    if facts.state not in ("resolved", "retracted"):
        lines += [
            "",
            f"Look: monitor alerts show {facts.alert_id[:8]}"
            + (f"; monitor report {facts.run_id[:8]} --html report.html" if facts.run_id else ""),
        ]
        lines.append(f"Acknowledge: monitor alerts ack {facts.alert_id[:8]}")
    return "\n".join(lines)


def body(facts: Facts) -> str:
    """The JSON that a webhook receives (docs/reference/webhook.md)."""
    content = {
        "type": f"alert.{facts.event}",
        "timestamp": facts.happened_at.isoformat(),
        "title": title(facts),
        "text": text(facts),
        "alert": {
            "id": facts.alert_id, "kind": facts.kind, "state": facts.state, "severity": facts.severity, "monitor": facts.monitor, "since": facts.since.isoformat(),
            "bad_windows": facts.bad_windows, "columns": list(facts.columns), "window": facts.window, "run": facts.run_id,
        },
        "labels": dict(facts.labels),
        "annotations": {"summary": facts.summary, "description": facts.description, "runbook_url": facts.runbook_url},
        "findings": [dict(finding) for finding in facts.findings],
        "events": list(facts.events),
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False)


def _cut(line: str, length: int) -> str:
    line = " ".join(line.split())
    return line if len(line) <= length else line[: length - 1].rstrip(" ,;:") + "…"


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
