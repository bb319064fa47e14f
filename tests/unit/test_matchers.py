"""Matchers over labels: Alertmanager's syntax, in bounded time for any text."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.matchers import LONGEST, MOST_MATCHERS, Matcher, equal, matches, parsed
from monitor.errors import UsageError

# For each of these, Python's `re` takes from seconds to centuries with a value of 40 characters. With the last ones
# reading the pattern itself takes that long.
SLOW = [
    r'model=~"(.+)+#"',
    r'model=~"(a|aa)+$"',
    r'model=~"(a|a?)+b"',
    r'model=~"([a-zA-Z]+)*!"',
    r'model=~"(.*a){20}"',
    r'model!~"^(([a-z])+.)+[A-Z]([a-z])+$"',
    "model=" + " " * 900 + '"x"x',
]


def test_matchers_are_alertmanagers() -> None:
    labels = {"team": "rentals", "severity": "critical"}
    assert all(
        Matcher.parse(text).matches(labels)
        for text in (
            'team="rentals"',
            'severity!="warning"',
            'team=~"rent.*|x"',
            'absent=""',
            "team=rentals",
            'team=~"(?i)RENTALS"',
            'team=~"\\\\w+"',
        )
    )
    assert not any(Matcher.parse(text).matches(labels) for text in ('team="x"', 'team=~"rent"', 'team!~"rent.*"'))
    for text in ("team", 'team=~"("', r'team=~"(?=x)"', r'team=~"(a)\1"', '1x="y"', 'team="a"b"'):
        with pytest.raises(UsageError, match="no matcher"):
            Matcher.parse(text)


@pytest.mark.parametrize("text", SLOW)
def test_no_matcher_takes_longer_than_its_value_is_long(text: str) -> None:
    started = time.monotonic()
    with suppress(UsageError):
        matches([text], {"model": "a" * 5000})
    assert time.monotonic() - started < 1


def test_matchers_are_bounded_in_number_length_and_memory() -> None:
    with pytest.raises(UsageError, match="at most 1,000 characters"):
        Matcher.parse('model="' + "x" * LONGEST + '"')
    with pytest.raises(UsageError, match="at most 50 matchers"):
        parsed(['model="x"'] * (MOST_MATCHERS + 1))
    for text in (r'model=~"((a{100}){100}){100}"', r'model=~"(\pL{1000}){1000}"'):
        with pytest.raises(UsageError, match="RE2"):
            Matcher.parse(text)


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=100))
def test_a_matcher_for_a_value_matches_it_and_no_other(value: str) -> None:
    matcher = Matcher.parse(equal("model", value))
    assert matcher.matches({"model": value})
    assert not matcher.matches({"model": value + "x"})


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_a_matcher_or_refused_in_words(pattern: str, value: str) -> None:
    for text in (pattern, f'model=~"{pattern}"'):
        with suppress(UsageError):
            matches([text], {"model": value})


def test_halves_of_surrogate_pairs_are_refused_or_matched_like_any_text() -> None:
    assert Matcher.parse('model=~"a.*"').matches({"model": "a\ud800"})
    assert Matcher.parse('model!="\ud800"').matches({"model": "x"})
