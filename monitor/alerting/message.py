"""What a notification says: first what is wrong with which model and why, then what to know and do.

The facts of an alert (`Facts`) become a title and sections. One set of templates writes these as plain text, Markdown
and HTML. Channels with a form of their own (`channels/`) use the sections.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from monitor.domain import phrases
from monitor.domain.checks import Kind, Severity
from monitor.domain.matter import broken_first, that_matter
from monitor.domain.text import printable, quoted, shown
from monitor.errors import UsageError

FIRST_LINE = 80
# Of a model with a longer name the headline has the beginning.
_NAME = 40
# A cause with a smaller share of the likely cost, which would be written 0%, stands in no headline.
_LEAST_SHARE = 0.005
_LONG_WORD = 20
_CONCEPT_DRIFT = "concept drift"
_ENDED = {
    Kind.SELF.value: "The problem is gone.",
    Kind.BLIND.value: "Performance is known again.",
}
_HEALTHY = "The windows since then are healthy."
# Said before the reason, where the reason alone does not say what it means.
_MEANS = {Kind.BLIND.value: "performance is unknown"}
# So many alerts of a message are shown in full, the next ones in a line each. The rest is counted.
IN_FULL, _IN_A_LINE = 10, 40
# Mail has no style sheets. Large enough for a thumb.
_BUTTON = (
    "display: inline-block; padding: 10px 16px; margin: 0 4px 8px 0; border: 1px solid #5b6b7b; border-radius: 6px; "
    "text-decoration: none"
)
TEMPLATES = {
    "title": "{{ title }}",
    "text": """{{ title }}
{% for section in sections %}
{% if section.heading %}{{ section.heading }}
{% endif %}{% for line in section.lines %}{{ '- ' if section.heading else '' }}{{ line }}
{% endfor %}{% for link in section.links %}- {{ link.title }}: {{ link.url }}
{% endfor %}{% endfor %}""",
    "markdown": """**{{ title | md }}**
{% for section in sections %}
{% if section.heading %}**{{ section.heading | md }}**

{% endif %}{% for line in section.lines %}{{ '- ' if section.heading else '' }}{{ line | md }}
{% endfor %}{% if section.links %}- {% for link in section.links -%}
[{{ link.title | md }}]({{ link.url }}){{ '' if loop.last else ' · ' }}{% endfor %}
{% endif %}{% endfor %}""",
    "html": """<h2>{{ title | e }}</h2>
{% for section in sections %}{% if section.heading %}<h3>{{ section.heading | e }}</h3>
<ul>{% for line in section.lines %}<li>{{ line | e }}</li>{% endfor %}{% for link in section.links[:1] -%}
<li>{{ link.title | e }}: <a href="{{ link.url | e }}">{{ link.url | e }}</a></li>{% endfor %}</ul>
{% if section.links[1:] %}<p>{% for link in section.links[1:] -%}
<a href="{{ link.url | e }}" style="{{ button }}">{{ link.title | e }}</a>{{ '' if loop.last else ' ' }}{% endfor %}</p>
{% endif %}{% else %}{% for line in section.lines %}<p>{{ line | e }}</p>{% endfor %}
{% endif %}{% endfor %}""",
}


@dataclass(frozen=True)
class Facts:
    """What is known of an alert when a message of it is written.

    findings: worst first, with `kind`, `severity`, `metric`, `column`, `cause`, `origin`, `cost`, `explanation`.
        predictions: made since it fires.
    before: what had happened in the two days before. earlier: how it went when the same column was in an alert.
        ended_by: what ended it. ended_at: when. is_first: nobody was told while it fired. now: what the metric is since
        it resolved.
    retraining: whether one is asked for, or held back, and why. labels_due: when labels will tell. timezone: the
        monitor's.
    money: what the model's mistakes have cost since then, in words.
    retraining_link: the request's page. link, acknowledge_link, silence_link: the alert's page, and pages that ask
        before they acknowledge or silence it.
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
    acknowledge_link: str = ""
    silence_link: str = ""
    timezone: str = "UTC"
    last_healthy: datetime | None = None
    predictions: int | None = None
    labels_due: datetime | None = None
    before: Sequence[str] = ()
    earlier: str = ""
    ended_by: str = ""
    retraining: str = ""
    retraining_link: str = ""
    money: str = ""
    ended_at: datetime | None = None
    is_first: bool = False
    now: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("resolved", "retracted")


@dataclass(frozen=True)
class ExplainedAlert:
    """An alert that another one explains: it is named inside the message of that one."""

    alert_id: str
    kind: str
    severity: str
    monitor: str
    summary: str


@dataclass(frozen=True)
class Link:
    """A page, and what it is for."""

    title: str
    url: str


@dataclass(frozen=True)
class Section:
    """Lines under a heading; '' for the lines that stand first. role: what they are, by which channels place them; the
    lines of `about` are `name: value`. alert: the id of the one that they are about, '' for what is about all.
    """

    heading: str
    lines: Sequence[str]
    role: str = ""
    links: Sequence[Link] = ()
    alert: str = ""


@dataclass(frozen=True)
class Message:
    """A notification in words."""

    title: str
    text: str
    markdown: str
    html: str
    sections: Sequence[Section] = ()

    @property
    def content(self) -> dict[str, Any]:
        """Its part of what channels get."""
        return {
            "title": self.title,
            "text": self.text,
            "markdown": self.markdown,
            "html": self.html,
            "sections": [asdict(section) for section in self.sections],
        }


def rank(severity: str) -> int:
    """The order of severities, 0 for none."""
    return Severity(severity).rank


def title(all_facts: Sequence[Facts]) -> str:
    """The first line, at most 80 characters: severity, model, what and why; without id or link."""
    facts = all_facts[0]
    name = shown(facts.model or facts.monitor or "the service", _NAME)
    head = {"resolved": "RESOLVED", "retracted": "RETRACTED"}.get(facts.state, facts.severity.upper())
    others = f" (and {len(all_facts) - 1} more)" if len(all_facts) > 1 else ""
    means = _MEANS.get(facts.kind, "")
    means = f"{means}: " if means and means not in facts.summary.lower() else ""
    line = f"[{head}] {name}{others}: {means}"
    short = _what(facts, FIRST_LINE - len(line))
    line += short
    whole = _whole_cost(facts)
    causes = [
        finding
        for finding in _changed(facts)
        if finding["cause"]
        and quoted(finding["column"]) not in short
        and not facts.now
        and (whole is None or (finding.get("cost") or 0.0) / whole >= _LEAST_SHARE)
    ]
    for cause in [f"; {finding['column']}: {finding['cause']}" for finding in causes]:
        line += cause if len(line) + len(cause) <= FIRST_LINE else ""
    return _cut(line, FIRST_LINE)


def _what(facts: Facts, room: int) -> str:
    """What is wrong, or how it is now; where the room is too small, without what follows a colon, but for the kind of
    change.
    """
    text = phrases.first_clause(facts.now or facts.summary).removesuffix(" in the reference")
    if len(text) <= room or facts.now:
        return text
    brief = phrases.before_colon(text)
    column, cause = next(
        (
            (finding["column"], finding["cause"])
            for finding in _changed(facts)
            if finding["cause"] and quoted(finding["column"]) in brief
        ),
        ("", ""),
    )
    if len(brief) > room and cause:
        brief = quoted(column)
    return f"{brief}: {cause}" if cause else brief


def _changed(facts: Facts) -> list[Mapping[str, Any]]:
    """The findings about the columns that matter most, one a column."""
    return that_matter([finding for finding in facts.findings if finding["column"]])


def _is_weak_segment(finding: Mapping[str, Any]) -> bool:
    return finding.get("metric") == "weak_segment"


def _whole_cost(facts: Facts) -> float | None:
    """The likely cost of the changes of all columns, each column counted by its worst finding; None where no cost is
    known.
    """
    by_column: dict[str, float] = {}
    for finding in facts.findings:
        if finding["column"]:
            by_column[finding["column"]] = max(by_column.get(finding["column"], 0.0), finding.get("cost") or 0.0)
    return sum(by_column.values()) or None


def _advice_by_origin(facts: Facts, origins: set[Any]) -> str:
    """What to do about the changes by their origin, by the rule that decides whether a model may be retrained on such
    data. origins: those that are known.
    """
    broken = broken_first(facts.findings)
    if broken:
        return phrases.sentence(phrases.repair_first(list(broken.items())[:3]))
    if "pipeline" not in origins:
        return phrases.sentence(phrases.real_change())
    costs_known = any(finding.get("cost") for finding in facts.findings)
    return phrases.sentence(phrases.partly_pipeline(costs_known=costs_known))


def sections(
    all_facts: Sequence[Facts], explained: Sequence[ExplainedAlert], again_at: datetime | None
) -> list[Section]:
    """The message below its title."""
    parts = [section for facts in all_facts[:IN_FULL] for section in _sections(facts, alone=len(all_facts) == 1)]
    parts.append(
        _in_lines([phrases.first_sentence(_first_of_several(facts)) for facts in all_facts[IN_FULL:]], "And", "more")
    )
    affected = [f"{alert.severity} {alert.monitor}: {phrases.first_sentence(alert.summary)}" for alert in explained]
    parts.append(_in_lines(affected, "Also affected, without a message of their own", "affected"))
    if again_at is not None and any(not facts.is_over for facts in all_facts):
        zone = ZoneInfo(all_facts[0].timezone)
        reminded = f"You will be reminded at {_moment(again_at, zone)}, unless somebody acknowledges the alert."
        parts.append(Section("", [reminded], "reminder"))
    return [section for section in parts if section.lines or section.links]


def _in_lines(lines: list[str], heading: str, role: str) -> Section:
    more = len(lines) - _IN_A_LINE
    return Section(heading, lines[:_IN_A_LINE] + ([f"… and {more} more"] if more > 0 else []), role)


def _first_of_several(facts: Facts) -> str:
    return f"{facts.severity.upper()} {facts.monitor or 'the service'}: {facts.summary}"


def _printable(section: Section) -> Section:
    return replace(section, lines=[printable(line) for line in section.lines])


def _sections(facts: Facts, *, alone: bool) -> list[Section]:
    short = facts.alert_id[:8]
    commands = (
        []
        if facts.is_over or facts.event == "test"
        else [
            f"details: monitor alerts show {short}",
            f"report: monitor report {facts.run_id[:8]} --html report.html" if facts.run_id else "",
            f"acknowledge: monitor alerts ack {short} --note '…'",
        ]
    )
    parts = [
        Section("", _summary(facts, alone=alone), "summary"),
        Section("What changed", _changes(facts) if facts.state != "resolved" else [], "changes"),
        Section("In money", [phrases.sentence(facts.money)] if facts.money else [], "money"),
        Section("Details" if facts.is_over else "Next step", steps(facts), "steps", _links(facts)),
        Section("On the command line", [line for line in commands if line], "commands"),
        Section("About", [f"{name}: {value}" for name, value in _about(facts) if value], "about"),
        Section("In the 48 hours before", list(facts.before), "before"),
        Section("Seen before", [facts.earlier] if facts.earlier else [], "earlier"),
    ]
    return [replace(section, alert=facts.alert_id) for section in parts]


def _summary(facts: Facts, *, alone: bool) -> list[str]:
    """What is wrong, since when and why."""
    zone = ZoneInfo(facts.timezone)
    windows = 0 if facts.kind == Kind.SELF.value else facts.bad_windows
    if facts.state == "resolved":
        over = [
            phrases.sentence(facts.now),
            phrases.sentences(
                phrases.lasted(
                    _moment(facts.since, zone), _length((facts.ended_at or facts.happened_at) - facts.since), windows
                ),
                facts.ended_by or _ENDED.get(facts.kind, _HEALTHY),
            ),
            "It was found only after it had ended, so there was no earlier message." if facts.is_first else "",
        ]
        over = [line for line in over if line]
        return [*over, f"When it fired: {facts.summary}"] if alone else [_first_of_several(facts), *over]
    if facts.state == "retracted":
        since = facts.ended_by or "Later data show that this alert was wrong."
    elif facts.event == "test":
        since = ""
    else:
        change = {
            "repeated": phrases.reminder(),
            "escalated": phrases.now_severe(facts.severity),
            "downgraded": phrases.now_severe(facts.severity),
        }.get(facts.event, "")
        since = phrases.sentences(change, phrases.firing_since(_moment(facts.since, zone), windows))
    lines = [since, facts.summary] if alone else [_first_of_several(facts), since]
    return [line for line in (*lines, facts.description) if line]


def _changes(facts: Facts) -> list[str]:
    """The columns that matter, with their part of what the changes are likely to cost, and the weakest segment."""
    whole = _whole_cost(facts)
    changed = that_matter([finding for finding in facts.findings if finding["column"] or _is_weak_segment(finding)])
    lines = []
    for finding in changed:
        cost = finding.get("cost")
        if phrases.sentence(finding["explanation"]) == phrases.sentence(facts.summary):
            continue
        of_column = bool(finding["column"])  # a segment's cost is one of rows, not of a column
        part = cost / whole if whole and cost and of_column and len(changed) > 1 else 0.0
        share = phrases.share_of_cost(part) if part >= _LEAST_SHARE else ""
        lines.append(phrases.sentences(finding["explanation"], share))
    return lines


def steps(facts: Facts) -> list[str]:
    """What to do."""
    if facts.is_over:
        return []
    origins = {finding.get("origin") for finding in _changed(facts)} - {"", "unknown", None}
    advice = _advice_by_origin(facts, origins) if origins else ""
    if "pipeline" not in origins and (origins or any(finding["cause"] == _CONCEPT_DRIFT for finding in facts.findings)):
        day = facts.since.astimezone(ZoneInfo(facts.timezone))
        advice = phrases.sentences(advice, phrases.retrain_from(f"{day:%Y-%m-%d}"))
    if not advice:
        unsure = [
            (finding["column"], finding["cause"])
            for finding in _changed(facts)
            if finding["cause"] and finding.get("origin") == "unknown"
        ]
        advice = phrases.sentence(phrases.check_first(unsure) if unsure else phrases.look_first(facts.kind))
    runbook = "" if _is_page(facts.runbook_url) else facts.runbook_url
    advised = [
        advice if facts.event != "test" else "",
        f"Runbook: {runbook}" if runbook else "",
        phrases.sentence(facts.retraining),
    ]
    return [step for step in advised if step]


def _is_page(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _links(facts: Facts) -> list[Link]:
    """The alert's page first. Round brackets, which end a link in Markdown, are encoded."""
    links = [Link("Open the alert", facts.link)]
    if not facts.is_over:
        links += [
            Link("Acknowledge", facts.acknowledge_link),
            Link("Silence for 4 h", facts.silence_link),
            Link("Runbook", facts.runbook_url),
            Link("Retraining request", facts.retraining_link),
        ]
    return [replace(link, url=link.url.replace("(", "%28").replace(")", "%29")) for link in links if _is_page(link.url)]


def _about(facts: Facts) -> list[tuple[str, str]]:
    zone = ZoneInfo(facts.timezone)
    return [
        ("model", facts.model),
        ("version", facts.labels.get("model_version", "")),
        ("monitor", facts.monitor),
        ("team", facts.labels.get("team", "")),
        ("last healthy window", _moment(facts.last_healthy, zone) if facts.last_healthy else ""),
        ("window", facts.window),
        ("predictions since then", f"{facts.predictions:,}" if facts.predictions else ""),
        (
            "labels are expected",
            f"from {_moment(facts.labels_due, zone)}" if facts.labels_due and not facts.is_over else "",
        ),
        ("alert", facts.alert_id if facts.event != "test" else ""),
    ]


def written(
    all_facts: Sequence[Facts],
    group: Sequence[str] = (),
    explained: Sequence[ExplainedAlert] = (),
    again_at: datetime | None = None,
    templates: Mapping[str, str] | None = None,
) -> Message:
    """The message. templates: of a channel's own, by `title`, `text`, `markdown`, `html`. Raises UsageError for one
    that fails.
    """
    named = {"group": list(group), "alert": _alert(all_facts[0]), "alerts": [_alert(facts) for facts in all_facts]}
    return in_words(title(all_facts), sections(all_facts, explained, again_at), named, templates)


def in_words(
    first: str,
    parts: Sequence[Section],
    named: Mapping[str, Any] | None = None,
    templates: Mapping[str, str] | None = None,
) -> Message:
    """A title and sections in every form. named: what templates may use beside them. Where a channel has its own text,
    its lines are the only section.
    """
    shown_parts = [_printable(section) for section in parts]
    values = {"title": printable(first), "sections": shown_parts, "button": _BUTTON, **(named or {})}
    texts = {}
    for name, text in {**TEMPLATES, **(templates or {})}.items():
        try:
            texts[name] = _environment().from_string(text).render(values).strip()
        except TemplateError as error:
            raise UsageError(f"the template `{name}` fails: {error}") from None
        values["title"] = _cut(texts["title"], FIRST_LINE)
    if "text" in (templates or {}):
        shown_parts = [Section("", texts["text"].splitlines())]
    return Message(str(values["title"]), texts["text"], texts["markdown"], texts["html"], shown_parts)


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=False, autoescape=False)
    environment.filters["md"] = _markdown
    return environment


def _markdown(text: str) -> str:
    """Text that Markdown takes as it is."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>#|~" else character for character in str(text))


def body(
    all_facts: Sequence[Facts],
    group: Sequence[str] = (),
    explained: Sequence[ExplainedAlert] = (),
    again_at: datetime | None = None,
    templates: Mapping[str, str] | None = None,
) -> str:
    """The JSON that a webhook receives (docs/reference/webhook.md): the first alert at the top, all of them in
    `alerts`.
    """
    facts, message = all_facts[0], written(all_facts, group, explained, again_at, templates)
    content = {
        "type": f"alert.{facts.event}",
        "timestamp": facts.happened_at.isoformat(),
        **message.content,
        **_alert(facts),
        "group": list(group),
        "alerts": [{"title": printable(title([facts])), **_alert(facts)} for facts in all_facts],
        "explained": [vars(alert) for alert in explained],
        "events": [event for facts in all_facts for event in facts.events],
    }
    return json.dumps(content, ensure_ascii=False)


def _alert(facts: Facts) -> dict[str, Any]:
    return {
        "event": facts.event,
        "alert": {
            "id": facts.alert_id,
            "kind": facts.kind,
            "state": facts.state,
            "severity": facts.severity,
            "monitor": facts.monitor,
            "since": facts.since.isoformat(),
            "bad_windows": facts.bad_windows,
            "columns": list(facts.columns),
            "window": facts.window,
            "run": facts.run_id,
            "link": facts.link,
        },
        "labels": dict(facts.labels),
        "annotations": {"summary": facts.summary, "description": facts.description, "runbook_url": facts.runbook_url},
        "findings": [dict(finding) for finding in facts.findings],
    }


def _cut(line: str, length: int) -> str:
    line = " ".join(line.split())
    if len(line) <= length:
        return line
    cut = line[:length]
    # At the end of a word, unless that is far off.
    end = cut.rfind(" ", length - _LONG_WORD)
    return cut[: end if end > 0 else length - 1].rstrip(" ,;:") + "…"


def _moment(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _length(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    )
