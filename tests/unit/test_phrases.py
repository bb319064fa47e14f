"""The sentences of findings equal a golden file and consist of plain words. MONITOR_GOLDEN=1 writes the file again;
read it before committing it.
"""

from __future__ import annotations

import inspect
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.domain import phrases
from monitor.domain.metrics import METRICS

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden" / "phrases.txt"
PLAIN = set((TESTS / "data" / "plain-words.txt").read_text().split())
MOMENT = datetime(2025, 3, 5, 10, tzinfo=UTC)
LATER = datetime(2025, 3, 6, 18, tzinfo=UTC)
# Arguments for every function whose result people read; several where its result has several forms.
SAMPLES: dict[str, list[tuple[Any, ...]]] = {
    "check_name": [("roc_auc",), ("drift_score", "income", "region=north", "3")],
    "checked": [
        (800.0,),
        (0.87, (0.84, 0.9), (0.845, None), 0.75),
        (3.1, None, (None, 0.5), 1e-9),
        (150.0, None, (100.0, 200.0)),
    ],
    "undecided": [
        ("too_little_data", "3 of 812 rows have labels"),
        ("could_not_check", "the reference has no labels"),
        ("could_not_check", ""),
    ],
    "performance": [
        ("roc_auc", None, 0.71, 0.83),
        ("mae", "region=north", 344.0, 290.0),
        ("estimated_mae", None, 290.0, 290.0),
    ],
    "uncertainty": [(0.08, 0.16, 0.02), (-0.16, -0.08, None), (-0.02, 0.03, 0.02)],
    "function_version": [("metrics.loans:profit, version 0a1b2c3d",)],
    "money_of_window": [(4_100.0, (2_000.0, 6_100.0), "EUR"), (-300.0, (None, None), "")],
    "money_lost": [
        (12_300.0, (9_000.0, 15_000.0), 4_100.0, "EUR", MOMENT, False),
        (12_300.0, (9_000.0, 15_000.0), 4_100.0, "", MOMENT, True),
        (-800.0, (-1_500.0, 100.0), -300.0, "EUR", MOMENT, False),
    ],
    "no_reference": [("mape", 0.3)],
    "corrected": [(-0.03, False), (0.2, True)],
    "doubtful_estimate": [(0.1, 0.02)],
    "worse_together": [("estimated_mae", 3)],
    "faults_explain": [(("income",), 0.05, False), (("income", "age"), 0.05, True)],
    "harder_rows": [()],
    "concept_drift": [(None,), (0.2,)],
    "too_little_left": [()],
    "costs": [([(0.04, "roc_auc"), (0.1, "f1")], False), ([(0.04, "mae")], True)],
    "attribution": [("income", 0.7, 0.1)],
    "attribution_order": [("age", 3, 0.82), ("income", 1, 0.97)],
    "weak_segment": [("channel = app and region = north", 0.06, 0.81), ("region = north", 0.02, None)],
    "weak_segment_loss": [("mae", 12.3, 8.1, 3.1, 5.3)],
    "segment_harms": [([(0.04, "roc_auc"), (0.1, "f1")],)],
    "no_weak_segment": [("region = north",)],
    "joint_cost": [(["a", "b"], 0.05, "roc_auc")],
    "repair_gives_back": [(True, ()), (False, ()), (False, ["age"])],
    "repair_gives_nothing": [(0.001, "mae")],
    "cannot_be_repaired": [()],
    "rough_cost": [(0.4,)],
    "known_as_harmless": [(MOMENT,)],
    "unseen_performance": [(0.6,)],
    "origin": [("pipeline",), ("world",), ("unknown",)],
    "limit_broken": [("drift_score", 3.1, 0.5, True), ("row_count", 3, 100, False)],
    "drifted": [("income",), ("income", ("region", "north"))],
    "of_cause": [("'income' drifted", "the median rose from 1 to 2")],
    "since": [(MOMENT,)],
    "together": [("region = north",)],
    "in_period": [(0.2, MOMENT, LATER, "the value 5 took the place of others")],
    "unit_change": [(100.0, 0.2), (0.001, 1.0)],
    "answers_out_of_reach": [(0.74, 12.3, 480.0)],
    "other_scale": [("degrees Celsius", "degrees Fahrenheit", 0.3)],
    "stuck": [("5", 0.3)],
    "placeholder": [("-999", 0.2)],
    "renamed": [("US", "USA", 0.12)],
    "new_value": [("north-west", 0.04)],
    "swapped_values": [("a", "b", False), ("a", "b", True)],
    "became": [("a", "b", 0.1)],
    "gone": [("a", 0.1)],
    "shares": [(("a", 0.03, 0.09), ("b", 0.5, 0.4))],
    "level": [
        ((41, 20, 60), (43, 25, 65)),
        ((0, 0, 0), (0, 0, 0)),
        ((41, 20, 60), (41, 10, 80)),
        ((41, 20, 60), (41, 10, 80), (12.0, 20.0)),
    ],
    "more_of": [("plan", "b", 0.03, 0.09)],
    "swapped_columns": [("age",)],
    "fewer_decimals": [()],
    "more_decimals": [(), (0.2,)],
    "other_decimals": [("income",)],
    "calendar": [("hour of the day",)],
    "ordinary": [(0.4,)],
    "relation": [("income",)],
    "correlation": [("age", 0.8, 0.12)],
    "missing": [("income", 0.31, 0.02), ("income", 1.0, 0.02, ("region", "north"))],
    "repeated_ids": [(12,)],
    "no_ids": [(12,)],
    "bad_records": [(3, 0.001, "12;a"), (1, 0.001, "12;a")],
    "infinite": [("income", 3)],
    "out_of_range": [("income", 0.03, (1, 5), (0, 9)), ("income", 0.0, (1, 5), None)],
    "new_categories": [("plan", 0.04, ["c", "d"])],
    "one_value": [("income", 5)],
    "column_gone": [("income",)],
    "columns_new": [(["a"],), (["a", "b"],)],
    "other_type": [("income", 0.05, "numerical")],
    "same_values": [("income", "age")],
    "unusable_predictions": [("score", 0.03, 3, 12, ["a"])],
    "unmatched_labels": [(12,)],
    "early_labels": [(12,)],
    "labels_out_of_range": [("label", 3, 500, (1, 5), (0, 9))],
    "labels_of_new_classes": [("label", 0.04, ["c"])],
    "unreadable_labels": [("label", 12, 90, ["ja"], ["yes", "no"]), ("label", 12, 90, ["ja"], [])],
    "label_shift": [("label", "positives rose from 5.1% to 13.9%")],
    "positives": [(0.051, 0.139)],
    "few_labels": [(0, 812), (3, 812)],
    "texts_differ": [("review", 0.93)],
    "lengths": [(None, (12.0, 30.0)), ((60.0, 150.0), (12.0, 30.0))],
    "unseen_words": [(0.03, 0.09)],
    "form_alone": [()],
    "vectors_differ": [("vector", 0.93, 384, 0.8)],
    "revisions": [(21.2, 18.4)],
    "recovery": [("awaiting_deployment",), ("recovering",), ("recovered",), ("no_gain",), ("worse",)],
    "receipt": [
        ("mae", (40.0, 3.0, -2.0, 8.0, 4), "2", 0.0, True),
        ("mae", None, "", None, None),
        ("mae", None, "2", None, False),
    ],
    "of_top_items": [("item_coverage", 0.41, 0.46), ("novelty", 5.2, 6.1)],
    "no_rows": [()],
    "few_rows": [(120, 480.0, 8, 450.0, 510.0)],
    "misdated": [(12, "1970-01-01")],
    "now": [
        ("roc_auc", "", "", 0.84),
        ("drift_score", "income", "", 0.02),
        ("missing_share", "income", "", 0.5),
        ("mae", "", "region=north", 290.0),
    ],
    "still_there": [("missing_share", "income", "", 0.5), ("drift_score", "income", "region=north", 2.1)],
    "check_first": [([("income", "swapped columns")],)],
    "retrain_from": [("2025-03-03",)],
    "share_of_cost": [(0.66,)],
    "repair_first": [([("income", "unit change")],)],
    "real_change": [()],
    "partly_pipeline": [(True,), (False,)],
    "firing_since": [("2025-03-03 01:00 UTC", 2), ("2025-03-03 01:00 UTC", 0)],
    "lasted": [("2025-03-03 01:00 UTC", "21 days", 2), ("2025-03-03 01:00 UTC", "3 hours", 0)],
    "reminder": [()],
    "now_severe": [("critical",), ("warning",)],
    "look_first": [("no_data",), ("no_labels",), ("blind",), ("self",), ("quality",), ("performance",)],
}
_PARTS = {
    "money",
    "sentence",
    "sentences",
    "first_sentence",
    "first_clause",
    "before_colon",
    "of_column",
    "metric_name",
    "percent",
    "number",
    "counted",
    "amount",
    "from_to",
    "allowed",
}


def sentences_of(name: str) -> list[str]:
    function = getattr(phrases, name)
    keywords = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    sentences = []
    for sample in SAMPLES[name]:
        plain, named = sample[: len(sample) - len(keywords)], sample[len(sample) - len(keywords) :]
        sentences.append(phrases.sentence(function(*plain, **dict(zip(keywords, named, strict=True)))))
    return sentences


def test_every_sentence_has_a_sample() -> None:
    functions = {
        name
        for name, member in vars(phrases).items()
        if inspect.isfunction(member) and member.__module__ == phrases.__name__ and name[0] != "_"
    }
    assert functions - _PARTS == SAMPLES.keys()
    assert phrases.METRIC_NAMES.keys() <= METRICS.keys()


def test_sentences_read_as_they_did() -> None:
    text = "".join(f"{name}: {sentence}\n" for name in SAMPLES for sentence in sentences_of(name))
    if os.environ.get("MONITOR_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize("name", SAMPLES)
def test_sentences_are_made_of_plain_words(name: str) -> None:
    """Names and values are in quotes, beside an equals sign or have digits. All other words are in the list."""
    names = {word.lower() for metric in METRICS for word in phrases.metric_name(metric).split()} | METRICS.keys()
    for text in sentences_of(name):
        assert text[0].isupper() or not text[0].isalpha()
        assert text.endswith(".")
        bare = re.sub(r"'[^']*'|\w+ = \S+|such as:? .*?(?=[.)]|$)|\S*\d\S*", " ", text)
        words = {word.lower() for word in re.findall(r"[A-Za-z_²]+", bare)}
        assert words <= PLAIN | names, f"{text}: {sorted(words - PLAIN - names)}"


@pytest.mark.parametrize(
    ("value", "written"),
    [(12_345.6, "12,300"), (0.01234, "0.0123"), (250, "250"), (0, "0"), (-3.14159, "-3.14"), (2_500_000, "2,500,000")],
)
def test_numbers_are_written_out(value: float, written: str) -> None:
    assert phrases.number(value) == written


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("MAE is 3.5, up 0.2. It is worse.", "MAE is 3.5, up 0.2"),
        ("'St. Louis' is a new value. It began.", "'St. Louis' is a new value"),
        ("the window's rows. More", "the window's rows"),
        ("no full stop", "no full stop"),
        ("", ""),
    ],
)
def test_a_headline_is_the_first_sentence(text: str, first: str) -> None:
    assert phrases.first_sentence(text) == first


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("MAE is 344, up 54 (19%) from 290. It is worse.", "MAE is 344, up 54"),
        ("'income' is missing in 3% of the rows; before in none", "'income' is missing in 3% of the rows"),
        ("'a; b (c)' drifted: the median rose", "'a; b (c)' drifted: the median rose"),
        ("All of it.", "All of it"),
    ],
)
def test_a_headline_ends_before_what_is_less_important_and_never_within_a_name(text: str, first: str) -> None:
    assert phrases.first_clause(text) == first
