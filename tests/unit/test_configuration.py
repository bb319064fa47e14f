"""monitor.yaml: every mistake is reported at once, with file, line and a hint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.config.load import find, load
from monitor.config.model import Configuration
from monitor.config.secrets import masked
from monitor.domain.checks import CheckKey
from monitor.domain.columns import KNOWN_NAMES
from monitor.domain.folds import BY_NAME
from monitor.domain.ids import key_hash, natural_id
from monitor.errors import ConfigurationError

GOOD = """
monitors:
  churn:
    task: binary
    model: {name: churn}
    source: {path: log.parquet}
    reference: {path: reference.parquet}
    columns: {event_time: ts, prediction: y}
"""


def problems(tmp_path: Path, text: str, name: str = "monitor.yaml") -> list[str]:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    return str(caught.value).splitlines()


def test_a_good_configuration_is_read_with_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(
        "defaults: {tags: {team: rentals, tier: a}, windows: {length: 1w}}\n" + GOOD + "    tags: {tier: b}\n"
    )
    monitor = load(tmp_path / "monitor.yaml").configuration.monitors["churn"]
    assert monitor.tags == {"team": "rentals", "tier": "b"}
    assert str(monitor.windows.length) == "1w"


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    text = (
        GOOD.replace("task: binary", "task: binari").replace("prediction: y", "y_pred: y")
        + "    windoes: {length: 1d}\nreceivers: {}\n"
    )
    messages = problems(tmp_path, text)
    assert [line.split(": ", 1)[0] for line in messages] == [
        "monitor.yaml:4",
        "monitor.yaml:8",
        "monitor.yaml:9",
        "monitor.yaml:10",
    ]
    assert "`y_pred` is called `prediction` here" in messages[1]
    assert "did you mean `windows`?" in messages[2]
    assert "`receivers` is called `channels` here" in messages[3]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (word, part)
        for part in ("label", "event_time", "prediction", "probability", "id")
        for word in KNOWN_NAMES[part]
        if word != part
    ],
)
def test_the_neighbours_words_are_known(tmp_path: Path, theirs: str, ours: str) -> None:
    messages = problems(tmp_path, GOOD.replace("columns: {", "columns: {" + theirs + ": x, "))
    assert any(f"`{theirs}` is called `{ours}` here" in line for line in messages)


def test_a_tab_is_named_as_such(tmp_path: Path) -> None:
    assert problems(tmp_path, "monitors:\n\tchurn: {}\n") == ["monitor.yaml:2: a tab: YAML is indented by spaces alone"]


def test_a_key_that_stands_twice_is_a_mistake(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + "    task: regression\n") == [
        "monitor.yaml:9: `task` stands here twice; first on line 4"
    ]


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    entry = GOOD.split("monitors:\n")[1]
    assert "differ in case alone" in problems(tmp_path, GOOD + entry.replace("churn:", "Churn:"))[0]
    assert "differ in case alone" in problems(tmp_path, GOOD.replace("prediction: y", "prediction: y, label: Y"))[0]


def test_a_missing_secret_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    text = GOOD.replace("{path: log.parquet}", '{url: "${NO_SUCH_VARIABLE}", table: t}')
    assert problems(tmp_path, text) == ["monitor.yaml:6: the environment variable NO_SUCH_VARIABLE is not set"]


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    text = GOOD + "    alerts: {channels: [opps]}\nchannels: {ops: {type: webhook, url: 'https://example.org'}}\n"
    assert problems(tmp_path, text) == ["monitor.yaml:9: there is no channel `opps`; did you mean `ops`?"]


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://hooks.slack.com/services/x", "{type: slack, url: …}"),
        ("https://example.webhook.office.com/x", "{type: teams, url: …}"),
        ("https://prod-1.westeurope.logic.azure.com/workflows/x", "{type: teams, url: …}"),
        ("https://discord.com/api/webhooks/1/x", "an Apprise URL, discord://…"),
    ],
)
def test_a_chat_address_is_refused_as_a_plain_webhook(tmp_path: Path, url: str, written: str) -> None:
    messages = problems(tmp_path, GOOD + f"channels: {{chat: {{type: webhook, url: '{url}'}}}}\n")
    assert f"write the channel as {written}" in messages[0]


def test_a_folder_of_files_is_one_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "monitors"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD)
    (folder / "b.yaml").write_text(GOOD.replace("churn:", "fraud:"))
    assert list(load(folder).configuration.monitors) == ["churn", "fraud"]
    (folder / "c.yaml").write_text(GOOD)
    with pytest.raises(
        ConfigurationError, match=r"monitors/c.yaml:3: `monitors.churn` stands also in monitors/a.yaml:3"
    ):
        load(folder)


def test_it_is_searched_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONITOR_CONFIG", raising=False)
    (tmp_path / "monitor.yaml").write_text(GOOD)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(below, None) == tmp_path / "monitor.yaml"
    with pytest.raises(ConfigurationError, match="monitor init"):
        find(below, "nowhere.yaml")


def test_passwords_are_masked_and_references_to_them_stay() -> None:
    assert masked({"url": "postgresql://a:geheim@db/x", "secret": "geheim", "other": "${X}"}) == {
        "url": "postgresql://a:***@db/x",
        "secret": "***",
        "other": "${X}",
    }
    assert masked({"url": "postgresql://a:${PW}@db/x"}) == {"url": "postgresql://a:${PW}@db/x"}


def test_the_json_schema_is_json() -> None:
    schema = Configuration.model_json_schema(by_alias=True)
    assert json.loads(json.dumps(schema))["properties"]["monitors"]


def test_a_password_in_clear_is_refused_where_it_would_be_stored(tmp_path: Path) -> None:
    text = GOOD.replace("{path: log.parquet}", "{url: 'postgresql://a:geheim@db/x', table: t}")
    assert problems(tmp_path, text) == ["monitor.yaml:6: a password in clear: write it as ${ENVIRONMENT_VARIABLE}"]


def test_a_heartbeat_that_comes_too_seldom_for_its_lease_is_a_mistake(tmp_path: Path) -> None:
    assert "at most half of workers.lease" in problems(tmp_path, GOOD + "workers: {lease: 4s, heartbeat: 3s}\n")[0]
    (tmp_path / "monitor.yaml").write_text(GOOD + "workers: {lease: 8s}\n")
    assert load(tmp_path / "monitor.yaml").configuration.workers.heartbeat_s == 2


def test_what_opened_an_alert_is_told_by_its_fields_whatever_characters_names_have(tmp_path: Path) -> None:
    text = (
        GOOD.replace("prediction: y", "prediction: y, features: ['a|b']")
        + '    checks: {segments: ["plan|a", "x=y"]}\n'
    )
    (tmp_path / "monitor.yaml").write_text(text)
    monitor = load(tmp_path / "monitor.yaml").configuration.monitors["churn"]
    for key, is_asked in {
        CheckKey("drift_score", "a|b"): True,
        CheckKey("drift_score", "a"): False,
        CheckKey("drift_score", "a|b", "plan|a=1"): True,
        CheckKey("drift_score", "a|b", "x=y=1"): True,
        CheckKey("drift_score", "a|b", "plan=1"): False,
    }.items():
        assert monitor.asks(BY_NAME["drift"], [key]) is is_asked, key


def test_names_that_hold_the_separator_of_ids_are_names_of_their_own() -> None:
    assert (
        len(
            {natural_id("alert", "a\x1fb", "c"), natural_id("alert", "a", "b\x1fc"), natural_id("alert", "a", "b", "c")}
        )
        == 3
    )
    assert len({key_hash(1, "a\x1fb", ""), key_hash(1, "a", "b\x1f"), key_hash(1, "a\x1e\x1db", "")}) == 3


def test_without_labels_nothing_is_asked_of_them(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(GOOD)
    monitor = load(tmp_path / "monitor.yaml").configuration.monitors["churn"]
    fold_names = [name for name, fold in BY_NAME.items() if monitor.asks(fold, [])]
    assert fold_names == ["estimated_performance", "drift", "quality", "no_data", "blind"]


def test_a_name_in_checks_that_can_never_page_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    text = GOOD.replace("prediction: y}", "prediction: y, features: [income, age]}") + (
        "    labels: {delay: 7d}\n"
        "    checks:\n"
        "      harm:\n"
        "        accuracy: 0.02\n"
        "        acuracy: 0.02\n"
        "        mae: 10%\n"
        "        roc_auc: 0.02\n"
        "      thresholds:\n"
        "        mising_share: {upper: 0.2}\n"
        "        missing_share:\n"
        "          upper: 0.2\n"
        "          columns:\n"
        "            age: {upper: 0.1}\n"
        "            incme: {upper: 0.1}\n"
        "        recall: {lower: 0.5}\n"
        "        recall_: {lower: 0.5}\n"
        "      drift_methods:\n"
        "        numerical: wasserstien\n"
        "        ages: psi\n"
    )
    assert problems(tmp_path, text) == [
        "monitor.yaml:13: there is no metric 'acuracy'; did you mean 'accuracy'?",
        "monitor.yaml:14: 'mae' is a metric of regression and forecast; this model's task is binary; metrics for harm: "
        "roc_auc, pr_auc, accuracy, precision, recall, f1, log_loss, brier_score, calibration_error, tnr, fpr, fnr",
        "monitor.yaml:15: 'roc_auc' needs the model's probabilities, and columns.probability is not named; "
        "metrics for harm: accuracy, precision, recall, f1, tnr, fpr, fnr",
        "monitor.yaml:17: there is no metric 'mising_share'; did you mean 'missing_share'?",
        "monitor.yaml:22: there is no column 'incme' that is checked; did you mean 'income'?",
        "monitor.yaml:24: there is no metric 'recall_'; did you mean 'recall'?",
        "monitor.yaml:26: there is no drift method 'wasserstien'; did you mean 'wasserstein'?",
        "monitor.yaml:27: there is no column 'ages' that is checked; did you mean 'age'?",
    ]


def test_a_name_in_the_defaults_is_refused_where_it_stands(tmp_path: Path) -> None:
    messages = problems(tmp_path, "defaults:\n  checks:\n    harm: {acuracy: 0.02}\n" + GOOD)
    assert messages == ["monitor.yaml:3: there is no metric 'acuracy'; did you mean 'accuracy'?"]


@pytest.mark.parametrize("metric", ["labelled_share", "early_label_share", "unmatched_label_share", "recall"])
def test_a_threshold_on_labels_needs_labels(tmp_path: Path, metric: str) -> None:
    text = GOOD + f"    checks: {{thresholds: {{{metric}: {{upper: 0.5}}}}}}\n"
    assert problems(tmp_path, text)[0].startswith(f"monitor.yaml:9: '{metric}' needs labels of production")
    (tmp_path / "monitor.yaml").write_text(text + "    labels: {delay: 7d}\n")
    assert load(tmp_path / "monitor.yaml").configuration.monitors["churn"].checks.thresholds


def test_a_harm_that_can_be_neither_realised_nor_estimated_is_a_mistake(tmp_path: Path) -> None:
    text = GOOD + "    checks: {harm: {accuracy: 0.02}}\n"
    assert "'accuracy' can be neither realised nor estimated" in problems(tmp_path, text)[0]
    (tmp_path / "monitor.yaml").write_text(text.replace("prediction: y", "prediction: y, probability: p"))
    assert load(tmp_path / "monitor.yaml").configuration.monitors["churn"].checks.harm


def test_matchers_that_cannot_be_read_are_mistakes_with_their_line(tmp_path: Path) -> None:
    text = GOOD + (
        "channels: {ops: 'json://example.org'}\nroutes:\n  - {matchers: ['model=~\"(?=x)\"'], channels: [ops]}\n"
        "silences:\n  - {matchers: [model], ends: 2030-01-01}\n"
    )
    messages = problems(tmp_path, text)
    assert [line.split(": ", 1)[0] for line in messages] == ["monitor.yaml:11", "monitor.yaml:13"]
    assert "RE2" in messages[0]


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", " https://x.example", "wiki/page"])
def test_a_link_that_a_browser_would_run_is_a_mistake(tmp_path: Path, link: str) -> None:
    messages = problems(tmp_path, GOOD + f"    runbook_url: {json.dumps(link)}\nexternal_url: {json.dumps(link)}\n")
    assert [line.split(": ", 1)[0] for line in messages] == ["monitor.yaml:9", "monitor.yaml:10"]
