"""What a notification says: first what is wrong with which model and why, then what to know and do.

What is known of an alert (`Facts`) becomes a title and sections, which one set of templates writes as plain text, Markdown and HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from monitor.domain import phrases
from monitor.domain.checks import Kind, Severity
from monitor.domain.matter import broken_first, that_matter
from monitor.domain.text import printable, quoted
from monitor.errors import UsageError

FIRST_LINE = 110
_ENDED = {
    Kind.SELF.value: "The problem is gone.",
    Kind.BLIND.value: "Performance is known again.",
}
_HEALTHY = "The windows since then are healthy."
# Said before the reason, where the reason alone does not say what it means.
_MEANS = {Kind.BLIND.value: "performance is unknown"}
# Of more alerts in one message each has a line, and of very many the rest is counted.
IN_FULL, _IN_A_LINE = 10, 40
TEMPLATES = {
    "title": "{{ title }}",
    "text": """{{ title }}
{% for section in sections %}
{% if section.heading %}{{ section.heading }}
{% endif %}{% for line in section.lines %}{{ '- ' if section.heading else '' }}{{ line }}
{% endfor %}{% endfor %}""",
    "markdown": """**{{ title | md }}**
{% for section in sections %}
{% if section.heading %}**{{ section.heading | md }}**

{% endif %}{% for line in section.lines %}{{ '- ' if section.heading else '' }}{{ line | md }}
{% endfor %}{% endfor %}""",
    "html": """<h2>{{ title | e }}</h2>
{% for section in sections %}{% if section.heading %}<h3>{{ section.heading | e }}</h3>
<ul>{% for line in section.lines %}<li>{{ line | e }}</li>{% endfor %}</ul>
{% else %}{% for line in section.lines %}<p>{{ line | e }}</p>{% endfor %}
{% endif %}{% endfor %}""",
}


@dataclass(frozen=True)
class Facts:
    """What is known of an alert when it is told.

    findings: worst first, with `kind`, `severity`, `metric`, `column`, `cause`, `origin`, `cost`, `explanation`. predictions: made since it fires.
    before: what had happened in the two days before. earlier: how it went when the same column was in an alert. ended_by: what ended it. ended_at: when. is_first: nobody was told while it fired. now: what the metric is since it resolved.
    retraining: whether one is asked for, or held back, and why. labels_due: when labels will tell. timezone: the monitor's.
    """

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
    findings: Sequence[Mapping[str, Any]] = ()
    window: str = ""
    run_id: str = ""
    runbook_url: str = ""
    description: str = ""
    events: Sequence[str] = field(default_factory=tuple)
    link: str = ""
    timezone: str = "UTC"
    last_healthy: datetime | None = None
    predictions: int | None = None
    labels_due: datetime | None = None
    before: Sequence[str] = ()
    earlier: str = ""
    ended_by: str = ""
    retraining: str = ""
    ended_at: datetime | None = None
    is_first: bool = False
    now: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("resolved", "retracted")


@dataclass(frozen=True)
class Inside:
    """An alert that another one explains, told inside its message."""

    alert_id: str
    kind: str
    severity: str
    monitor: str
    summary: str


@dataclass(frozen=True)
class Section:
    """Lines under a heading; '' for the lines that stand first."""

    heading: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Message:
    """A notification in words."""

    title: str
    text: str
    markdown: str
    html: str


def rank(severity: str) -> int:
    """The order of severities, 0 for none."""
    return Severity(severity).rank


def title(told: Sequence[Facts]) -> str:
    """The first line, at most 110 characters: severity, model, what and why; without id or link."""
    facts = told[0]
    name = facts.model or facts.monitor or "the service"
    head = {"resolved": "RESOLVED", "retracted": "RETRACTED"}.get(facts.state, facts.severity.upper())
    others = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    headline = facts.now or phrases.first_sentence(facts.summary)
    short = re.split(r" \(|; ", headline, maxsplit=1)[0]
    means = _MEANS.get(facts.kind, "")
    means = f"{means}: " if means and means not in short.lower() else ""
    line = f"[{head}] {name}{others}: {means}{short}"
    causes = [
        each for each in _changed(facts) if each["cause"] and quoted(each["column"]) not in short and not facts.now
    ]
    for cause in [f"; {each['column']}: {each['cause']}" for each in causes]:
        line += cause if len(line) + len(cause) <= FIRST_LINE else ""
    return _cut(line, FIRST_LINE)


def _changed(facts: Facts) -> list[Mapping[str, Any]]:
    """The findings that tell of the columns that matter most, one each."""
    return that_matter([each for each in facts.findings if each["column"]])


def _whose(facts: Facts, origins: set[Any]) -> str:
    """Whose the changes are, by the rule that decides whether a model may be trained anew on such data. origins: those that are known."""
    broken = broken_first(facts.findings)
    if broken:
        return phrases.sentence(phrases.repair_first(list(broken.items())[:3]))
    if "pipeline" not in origins:
        return phrases.sentence(phrases.real_change())
    known = any(each.get("cost") for each in facts.findings)
    return phrases.sentence(phrases.partly_pipeline(costs_known=known))


def sections(told: Sequence[Facts], inside: Sequence[Inside], again_at: datetime | None) -> list[Section]:
    """The message below its title."""
    found = [section for facts in told[:IN_FULL] for section in _sections(facts, alone=len(told) == 1)]
    found.append(_in_lines([_first_of_several(facts) for facts in told[IN_FULL:]], "And"))
    if inside:
        found.append(
            _in_lines(
                [f"{each.severity} {each.monitor}: {each.summary}" for each in inside],
                "Also affected, without a message of their own",
            )
        )
    if again_at is not None and any(not facts.is_over for facts in told):
        zone = ZoneInfo(told[0].timezone)
        found.append(
            Section(
                "",
                [f"You will be reminded at {_moment(again_at, zone)}, unless somebody acknowledges the alert."],
            )
        )
    return [section for section in found if section.lines]


def _in_lines(lines: list[str], heading: str) -> Section:
    more = len(lines) - _IN_A_LINE
    return Section(heading, lines[:_IN_A_LINE] + ([f"… and {more} more"] if more > 0 else []))


def _first_of_several(facts: Facts) -> str:
    return f"{facts.severity.upper()} {facts.monitor or 'the service'}: {facts.summary}"


def _printable(section: Section) -> Section:
    return Section(section.heading, [printable(line) for line in section.lines])


def _sections(facts: Facts, *, alone: bool) -> list[Section]:
    zone = ZoneInfo(facts.timezone)
    windows = (
        f", for {facts.bad_windows} window{'s' if facts.bad_windows != 1 else ''}"
        if facts.kind != Kind.SELF.value
        else ""
    )
    first = [facts.summary if alone else _first_of_several(facts)]
    if facts.state == "resolved":
        length = _length((facts.ended_at or facts.happened_at) - facts.since)
        over = [
            phrases.sentence(facts.now),
            f"It was firing since {_moment(facts.since, zone)}{windows}: {length}. {facts.ended_by or _ENDED.get(facts.kind, _HEALTHY)}",
            "It was found only after it had ended, so there was no earlier message." if facts.is_first else "",
        ]
        over = [each for each in over if each]
        first = [*over, f"When it fired: {facts.summary}"] if alone else [*first, *over]
    elif facts.state == "retracted":
        first.append(facts.ended_by or "Later data show that this alert was wrong.")
    if facts.description:
        first.append(facts.description)
    changed = _changed(facts)
    whole = sum(each.get("cost") or 0.0 for each in facts.findings) or None
    lines = []
    for each in changed:
        cost = each.get("cost")
        share = phrases.sentence(phrases.share_of_cost(cost / whole)) if whole and cost and len(changed) > 1 else ""
        text = phrases.sentences(each["explanation"], share)
        lines += [text] if text != facts.summary else []
    origins = {each.get("origin") for each in changed} - {"", "unknown", None}
    advice = _whose(facts, origins) if origins else ""
    about = [
        ("model", facts.model), ("version", facts.labels.get("model_version", "")), ("monitor", facts.monitor), ("team", facts.labels.get("team", "")),
        ("firing since", f"{_moment(facts.since, zone)}{windows}" if not facts.is_over else ""),
        ("last healthy window", _moment(facts.last_healthy, zone) if facts.last_healthy else ""), ("window", facts.window),
        ("predictions since then", f"{facts.predictions:,}" if facts.predictions else ""),
        ("labels are expected", f"from {_moment(facts.labels_due, zone)}" if facts.labels_due and not facts.is_over else ""), ("alert", facts.alert_id),
    ]  # fmt: skip
    short = facts.alert_id[:8]
    steps = [] if facts.is_over else [
        advice, f"runbook: {facts.runbook_url}" if facts.runbook_url else "", facts.retraining, f"details: monitor alerts show {short}",
        f"report: monitor report {facts.run_id[:8]} --html report.html" if facts.run_id else "", f"acknowledge: monitor alerts ack {short} --note '…'",
    ]  # fmt: skip
    return [
        Section("", first),
        Section("What changed", lines),
        Section("Next step", [*(step for step in steps if step), *([facts.link] if facts.link else [])]),
        Section("About", [f"{name}: {value}" for name, value in about if value]),
        Section("In the 48 hours before", list(facts.before)),
        Section("Seen before", [facts.earlier] if facts.earlier else []),
    ]


def written(told: Sequence[Facts], group: Sequence[str] = (), inside: Sequence[Inside] = (), again_at: datetime | None = None, templates: Mapping[str, str] | None = None) -> Message:  # fmt: skip
    """The message. templates: of a channel's own, by `title`, `text`, `markdown`, `html`. Raises UsageError for one that fails."""
    values = {
        "title": printable(title(told)), "sections": [_printable(section) for section in sections(told, inside, again_at)], "group": list(group),
        "alert": _alert(told[0]), "alerts": [_alert(facts) for facts in told],
    }  # fmt: skip
    found = {}
    for name, text in {**TEMPLATES, **(templates or {})}.items():
        try:
            found[name] = _environment().from_string(text).render(values).strip()
        except TemplateError as error:
            raise UsageError(f"the template `{name}` fails: {error}") from None
        values["title"] = _cut(found["title"], FIRST_LINE)
    return Message(values["title"], found["text"], found["markdown"], found["html"])  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=False, autoescape=False)
    environment.filters["md"] = _markdown
    return environment


def _markdown(text: str) -> str:
    """Text that Markdown takes as it is."""
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|~" else each for each in str(text))


def body(
    told: Sequence[Facts], group: Sequence[str] = (), inside: Sequence[Inside] = (), again_at: datetime | None = None, templates: Mapping[str, str] | None = None
) -> str:  # fmt: skip
    """The JSON that a webhook receives (docs/reference/webhook.md): the first alert at the top, all of them in `alerts`."""
    facts, message = told[0], written(told, group, inside, again_at, templates)
    content = {
        "type": f"alert.{facts.event}",
        "timestamp": facts.happened_at.isoformat(),
        "title": message.title,
        "text": message.text,
        "markdown": message.markdown,
        "html": message.html,
        **_alert(facts),
        "group": list(group),
        "alerts": [_alert(each) for each in told],
        "explained": [vars(each) for each in inside],
        "events": [event for each in told for event in each.events],
    }
    return json.dumps(content, ensure_ascii=False)


def _alert(facts: Facts) -> dict[str, Any]:
    return {
        "event": facts.event,
        "alert": {
            "id": facts.alert_id, "kind": facts.kind, "state": facts.state, "severity": facts.severity, "monitor": facts.monitor, "since": facts.since.isoformat(),
            "bad_windows": facts.bad_windows, "columns": list(facts.columns), "window": facts.window, "run": facts.run_id, "link": facts.link,
        },
        "labels": dict(facts.labels),
        "annotations": {"summary": facts.summary, "description": facts.description, "runbook_url": facts.runbook_url},
        "findings": [dict(finding) for finding in facts.findings],
    }  # fmt: skip


def _cut(line: str, length: int) -> str:
    line = " ".join(line.split())
    return line if len(line) <= length else line[: length - 1].rstrip(" ,;:") + "…"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _length(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    )
