"""The message that each service gets, in its published format. It equals the golden files (MONITOR_GOLDEN=1 writes them
again), keeps within the limits of the service, and shows names as data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest

from monitor.alerting import channels
from monitor.alerting.channels import slack, teams, telegram
from monitor.alerting.channels.card import card, fitted
from monitor.alerting.channels.ntfy import LONGEST as NTFY_BYTES
from monitor.alerting.channels.ntfy import as_ntfy
from monitor.alerting.channels.pagerduty import SUMMARY, as_pagerduty
from monitor.alerting.channels.slack import as_slack
from monitor.alerting.channels.teams import as_teams
from monitor.alerting.channels.telegram import as_photo, as_telegram
from monitor.alerting.message import ExplainedAlert, Facts, Link, Section, body, in_words
from monitor.config.model import AnyChannel
from monitor.domain import phrases
from monitor.services.digest import digest_body
from tests.nasty_names import NASTY
from tests.unit.test_message import FACTS, GOLDEN, KINDS, finding

AGAIN = datetime(2025, 3, 18, tzinfo=UTC)
HOSTILE = [
    "<b>*_|",
    "@channel",
    "`code`",
    "[x](https://evil.example)",
    "<!channel>",
    "&amp;lt;",
    "~gone~",
    ":smile:",
    "{{DATE(2025)}}",
    "</b>",
]


def pagerduty_events(message: bytes) -> list[dict[str, Any]]:
    content = json.loads(message)
    return [as_pagerduty("R" * 32, content, card(message), alert) for alert in content["alerts"]]


FORMS: dict[str, Callable[[bytes], Any]] = {
    "slack": lambda message: as_slack(card(message)),
    "teams": lambda message: as_teams(card(message)),
    "telegram": lambda message: as_telegram(card(message)),
    "ntfy": lambda message: as_ntfy(card(message)),
    "pagerduty": pagerduty_events,
}
# Their formats are our own (webhook.schema.json), Alertmanager's, or Apprise's. tests/acceptance/test_nasty_names.py
# tests those with real receivers.
OTHERS = {"webhook", "alertmanager", "apprise", "file", "command"}


def digest() -> bytes:
    sections = [
        Section(
            "",
            [
                "Monitors: churn-eu, fraud.",
                "Runs: 14 done.",
                "Alerts: 1 alert. Marked useless: 0; 0.5 a week are allowed (alerts.false_pages_per_month).",
            ],
            "summary",
        ),
        Section("Alerts", [f"critical performance since 2025-03-03, firing: {FACTS.summary}"], "changes"),
        Section("Could not be checked", ["churn-eu: roc_auc (2 times: too few labels)"], "changes"),
    ]
    title = "[DIGEST] 2 monitors, 14 runs, 1 alert in the week until 2025-03-17"
    return digest_body(in_words(title, sections), datetime(2025, 3, 17, tzinfo=UTC)).encode()


def message_of(*facts: Facts) -> bytes:
    return body(
        facts, ["model=churn"], [ExplainedAlert("a", "drift", "warning", "churn-eu", "'income' drifted")], AGAIN
    ).encode()


MESSAGES = {
    "performance": message_of(KINDS["performance"]),
    "escalated": message_of(KINDS["escalated"]),
    "repeated": message_of(KINDS["repeated"]),
    "resolved": message_of(KINDS["resolved"]),
    "digest": digest(),
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("channel", [*FORMS, "telegram_photo"])
def test_each_service_gets_what_it_got(channel: str, kind: str) -> None:
    form = as_photo(card(MESSAGES[kind])) if channel == "telegram_photo" else FORMS[channel](MESSAGES[kind])
    written = json.dumps(form, indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / f"{kind}.{channel}.json"
    if os.environ.get("MONITOR_GOLDEN"):
        file.write_text(written)
    assert written == file.read_text()


# -- what a person sees of each form -------------------------------------------------------------------------------


def texts_of(value: Any, *keys: str) -> list[str]:
    """The values of these keys, at any depth."""
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item, *keys)]
    if not isinstance(value, dict):
        return []
    values = [value[key] for key in keys if isinstance(value.get(key), str)]
    return values + [text for item in value.values() for text in texts_of(item, *keys)]


def seen_in_slack(content: dict[str, Any]) -> str:
    """Entities are decoded in text objects, and not in rich text. Anything that Slack would parse is a fault."""
    seen = []
    for text in [{"type": "mrkdwn", "text": content["text"]}, *objects_of(content["blocks"])]:
        if text["type"] in ("plain_text", "mrkdwn"):
            assert text["type"] == "plain_text" or content["mrkdwn"] is False
            assert text.get("emoji", False) is False
            assert not {"<", ">"} & set(text["text"])
            seen.append(unescape(text["text"]))
        else:
            seen.append(text["text"])
    return "\n".join(seen)


def objects_of(value: Any) -> list[dict[str, Any]]:
    """The mappings with a `text` of their own, at any depth."""
    if isinstance(value, list):
        return [text_object for item in value for text_object in objects_of(item)]
    if not isinstance(value, dict):
        return []
    values = [value] if isinstance(value.get("text"), str) else []
    return values + [text_object for item in value.values() for text_object in objects_of(item)]


def seen_in_teams(content: dict[str, Any]) -> str:
    """Teams parses Markdown in text blocks and facts only, so the card may have none of these."""
    card_ = content["attachments"][0]["content"]
    kinds = {element["type"] for element in elements_of(card_["body"])}
    assert kinds <= {"Container", "RichTextBlock", "TextRun", "ActionSet", "Action.OpenUrl"}, kinds
    return "\n".join(texts_of(card_["body"], "text", "title"))


def elements_of(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [element for item in value for element in elements_of(item)]
    if not isinstance(value, dict):
        return []
    return [value, *(element for item in value.values() for element in elements_of(item))]


class TelegramReader(HTMLParser):
    """Reads the HTML that Telegram accepts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.open = "", list[str]()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag == "b"
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def seen_in_telegram(content: dict[str, Any]) -> str:
    assert content["parse_mode"] == "HTML"
    return TelegramReader(content["text"]).text


def seen_in_ntfy(content: dict[str, Any]) -> str:
    assert "markdown" not in content
    return f"{content['title']}\n{content['message']}"


def seen_in_pagerduty(events: list[dict[str, Any]]) -> str:
    return "\n".join(
        text for event in events for text in [event["payload"]["summary"], *event["payload"]["custom_details"].values()]
    )


SEEN: dict[str, Callable[[Any], str]] = {
    "slack": seen_in_slack,
    "teams": seen_in_teams,
    "telegram": seen_in_telegram,
    "ntfy": seen_in_ntfy,
    "pagerduty": seen_in_pagerduty,
}


def test_every_channel_has_a_form_that_is_tried_here() -> None:
    types = {get_args(channel_class.model_fields["type"].annotation)[0] for channel_class in get_args(AnyChannel)}
    assert types == FORMS.keys() | OTHERS
    assert FORMS.keys() == SEEN.keys()
    assert {name: form(card(MESSAGES["digest"])) for name, form in channels.FORMS.items()} == {
        name: FORMS[name](MESSAGES["digest"]) for name in channels.FORMS
    }


def facts_with_name(name: str) -> Facts:
    """An alert with this name in every place."""
    text = phrases.sentence(phrases.drifted(name))
    return replace(
        FACTS,
        model=name,
        monitor=name,
        labels={"model_version": name, "team": name, "model": name},
        summary=text,
        description=name,
        columns=[name],
        before=[name],
        earlier=name,
        findings=[
            finding(
                "drift",
                name,
                "shift",
                phrases.sentences(phrases.of_cause(phrases.drifted(name), phrases.new_value(name, 0.1))),
                "world",
                0.1,
            )
        ],
    )


@pytest.mark.parametrize("channel", FORMS)
@pytest.mark.parametrize("name", [*HOSTILE, *NASTY])
def test_names_come_through_as_themselves(channel: str, name: str) -> None:
    seen = SEEN[channel](FORMS[channel](message_of(facts_with_name(name))))
    shown = phrases.drifted(name)
    assert seen.count(shown) >= 2, seen  # the headline or summary, and what changed
    assert "Open the alert" in seen or channel in ("telegram", "ntfy", "pagerduty")


# -- the first screen ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", FORMS)
def test_the_first_lines_say_which_model_how_bad_since_when_why_and_what_to_do(channel: str) -> None:
    seen = SEEN[channel](FORMS[channel](MESSAGES["performance"]))
    wanted = [
        "[CRITICAL] churn: ROC AUC is 0.71, down 0.12",
        "firing since 2025-03-03 01:00 CET",
        "concept drift",
        "Repair the data pipeline before retraining",
    ]
    places = [seen.find(text) for text in wanted]
    assert -1 not in places
    assert places == sorted(places)
    assert places[-1] < 1400


@pytest.mark.parametrize("channel", FORMS)
def test_links_lead_to_the_page_and_to_pages_that_ask(channel: str) -> None:
    form = FORMS[channel](MESSAGES["performance"])
    links = texts_of(form, "url", "href")
    assert [urlsplit(link).path for link in links[:3]] == ["/alerts/3f2a7c1e", "/alerts/3f2a7c1e", "/silences"]
    assert urlsplit(links[1]).fragment == "acknowledge"
    assert parse_qs(urlsplit(links[2]).query)["lasts"] == ["4h"]
    over = texts_of(FORMS[channel](MESSAGES["resolved"]), "url", "href")
    assert len(set(over)) == (0 if channel == "pagerduty" else 1)


# -- limits --------------------------------------------------------------------------------------------------------


def long_messages() -> list[bytes]:
    """Many alerts, alerts with long texts of multi-byte characters, and a text of the channel's own."""
    wide = replace(FACTS, summary="<&>🚲" * 2000, description="🚲" * 5000, before=["&" * 4000] * 20)
    return [
        message_of(*[replace(FACTS, alert_id=f"{number:08d}") for number in range(60)]),
        message_of(wide),
        message_of(*[wide] * 12),
        body([FACTS], templates={"text": "<&>🚲" * 20_000}).encode(),
    ]


@pytest.mark.parametrize("message", long_messages(), ids=["many", "wide", "many wide", "own text"])
def test_messages_keep_within_the_limits_of_each_service(message: bytes) -> None:
    blocks = as_slack(card(message))
    assert len(blocks["blocks"]) <= slack.BLOCKS
    assert len(json.dumps(blocks["blocks"], ensure_ascii=False)) < 13_200
    for block in blocks["blocks"]:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= slack.HEADER
        if block["type"] == "section":
            assert len(block["fields"]) <= slack.FIELDS
        assert all(len(text_object["text"]) <= slack.TEXT for text_object in objects_of(block))
    assert len(json.dumps(as_teams(card(message)), ensure_ascii=False).encode()) < 28_000
    form = as_telegram(card(message))
    assert len(TelegramReader(form["text"]).text.encode("utf-16-le")) / 2 <= telegram.LONGEST
    caption = as_photo(card(message))["caption"]
    assert len(TelegramReader(caption).text.encode("utf-16-le")) / 2 <= telegram.CAPTION
    assert len(as_ntfy(card(message))["message"].encode()) <= NTFY_BYTES
    assert len(as_ntfy(card(message)).get("actions", [])) <= 3
    assert all(len(event["payload"]["summary"]) <= SUMMARY for event in pagerduty_events(message))
    for channel in FORMS:
        assert SEEN[channel](FORMS[channel](message))
    assert teams.LONGEST < 28_000


def test_the_caption_of_a_picture_says_what_to_do_before_what_changed() -> None:
    form = as_photo(card(MESSAGES["performance"]))
    seen = TelegramReader(form["caption"]).text
    parts = [
        "[CRITICAL] churn: ROC AUC is 0.71",
        "firing since 2025-03-03",
        "concept drift",
        "Repair the data pipeline",
        "'income' drifted",
    ]
    places = [seen.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert form["reply_markup"] == as_telegram(card(MESSAGES["performance"]))["reply_markup"]


def test_telegram_gets_no_button_for_an_address_that_it_refuses() -> None:
    """The Bot API refuses buttons to a host without a dot (BUTTON_URL_INVALID), and the message is lost."""
    inside = replace(
        FACTS,
        link="http://monitor:8400/alerts/3",
        acknowledge_link="http://monitor:8400/alerts/3#acknowledge",
        silence_link="",
        runbook_url="",
        retraining_link="",
    )
    form = as_telegram(card(message_of(inside)))
    assert "reply_markup" not in form
    assert "http://monitor:8400/alerts/3" in form["text"]


def test_without_pages_the_commands_say_how() -> None:
    alone = message_of(replace(FACTS, link="", acknowledge_link="", silence_link=""))
    for channel in ("slack", "teams", "telegram", "pagerduty"):
        assert "monitor alerts ack 3f2a7c1e" in SEEN[channel](FORMS[channel](alone))
        assert "monitor alerts ack" not in SEEN[channel](FORMS[channel](MESSAGES["performance"]))


@pytest.mark.parametrize("channel", FORMS)
def test_a_channels_own_words_take_the_place_of_the_parts(channel: str) -> None:
    message = body(
        [FACTS], templates={"title": "Look at {{ alert.labels.model }}", "text": "First.\n\nSecond <b>."}
    ).encode()
    form = FORMS[channel](message)
    seen = SEEN[channel](form)
    assert "Look at churn" in seen
    assert "Second <b>." in seen
    assert "What changed" not in seen
    assert "" not in texts_of(form, "text")  # which Slack refuses


@pytest.mark.parametrize("channel", FORMS)
def test_a_test_message_names_no_alert(channel: str) -> None:
    facts = Facts(
        "t",
        "test",
        "11111111-0000",
        "self",
        "firing",
        "info",
        "",
        "",
        {"model": ""},
        "this is a test of the channel ops: nothing is wrong",
        AGAIN,
        AGAIN,
        0,
    )
    seen = SEEN[channel](FORMS[channel](body([facts]).encode()))
    assert "[INFO] the service: this is a test of the channel ops: nothing is wrong" in seen
    assert "11111111" not in seen
    assert "firing" not in seen


@pytest.mark.parametrize("channel", FORMS)
def test_a_notification_of_an_earlier_version_is_still_delivered(channel: str) -> None:
    """A notification that waits in the outbox while the service is upgraded has no sections."""
    content = json.loads(MESSAGES["performance"])
    del content["sections"]
    for alert in content["alerts"]:
        del alert["title"]
    assert "It has been firing since" in SEEN[channel](FORMS[channel](json.dumps(content).encode()))


@pytest.mark.parametrize(("text", "most", "wanted"), [("short", 5, "short"), ("longer", 5, "long…"), ("", 3, "")])
def test_what_is_too_long_is_cut_with_an_ellipsis(text: str, most: int, wanted: str) -> None:
    assert fitted(text, most) == wanted


def test_links_cannot_break_out_of_markdown() -> None:
    message = in_words("t", [Section("Next step", [], links=[Link("Open", "https://m.example.org/a%29")])])
    assert "[Open](https://m.example.org/a%29)" in message.markdown
