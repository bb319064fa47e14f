"""The positive class: configured, certain from the labels, or required from the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Columns
from monitor.analysis.performance import is_positive
from monitor.analysis.positive import positive_class
from monitor.domain.positive import certain_positive, means_same
from monitor.errors import DataError


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (["1", "0"], "1"),
        (["0", "1"], "1"),
        (["1.0", "0.0"], "1.0"),
        (["true", "false"], "true"),
        (["True", "False"], "True"),
        (["T", "F"], "T"),
        (["yes", "no"], "yes"),
        (["Yes", "No"], "Yes"),
        (["Y", "N"], "Y"),
        (["-1", "1"], "1"),
        ([b"1", b"0"], "1"),
        (["1", "true", "0"], "1"),
        (["1"], "1"),
        (["0"], "1"),
        (["no"], "yes"),
        (["No"], "Yes"),
        (["N"], "Y"),
        (["false"], "true"),
        (["-1"], "1"),
        (["1", "2"], None),
        (["good", "bad"], None),
        (["-1", "0"], None),
        (["-1", "0", "1"], None),
        (["yes", "maybe", "no"], None),
        (["good"], None),
        (["positive", "negative"], None),
        ([], None),
    ],
)
def test_the_positive_class_is_certain_for_known_pairs_alone(values: list[Any], positive: str | None) -> None:
    assert certain_positive(values) == positive


def test_words_of_the_same_side_of_known_pairs_mean_the_same() -> None:
    assert means_same("1", "YES")
    assert means_same("0.0", "false")
    assert not means_same("1", "0")
    assert not means_same("-1", "0")
    assert not means_same("good", "Good")


@pytest.mark.parametrize(
    "words",
    [(1, 0), (1.0, 0.0), (True, False), ("1.0", "0.0"), ("yes", "no"), ("Y", "N"), (b"1", b"0"), ("TRUE", "FALSE")],
)
@pytest.mark.parametrize("positive", [None, 1, True, "yes"])
def test_a_known_pair_is_read_in_whatever_words_it_is_written(words: tuple[Any, Any], positive: Any) -> None:
    values = pd.Series([words[0], words[1], None], dtype=object)
    assert is_positive(values, positive).fillna(-1).tolist() == [1.0, 0.0, -1.0]


def test_predictions_may_be_written_otherwise_than_the_class_that_is_named() -> None:
    assert is_positive(pd.Series([1, 0]), "yes").tolist() == [1.0, 0.0]
    assert is_positive(pd.Series(["bad", "good"]), "bad").tolist() == [1.0, 0.0]


def _labels(positive: Any, negative: Any) -> tuple[pd.Series, pd.Series]:
    """Labels, mostly `positive` where the scores are high, and those scores."""
    random = np.random.default_rng(0)
    score = pd.Series(random.random(2000))
    truth = random.random(2000) < score
    return pd.Series(np.where(truth, positive, negative), dtype=object), score


def test_a_named_or_certain_class_is_taken() -> None:
    labels, score = _labels("yes", "no")
    assert positive_class(labels, Columns(), score) == "yes"
    assert positive_class(labels, Columns(positive="no"), score) == "no"
    assert positive_class(pd.Series([1, 0, None]), Columns(), None) == "1"
    assert positive_class(pd.Series([None, None], dtype=object), Columns(), None) is None
    assert positive_class(pd.Series(["good", "bad"]), Columns(positive="bad"), None) == "bad"


def test_where_it_is_not_certain_both_candidates_are_named_the_likelier_first() -> None:
    labels, score = _labels("bad", "good")
    with pytest.raises(DataError) as caught:
        positive_class(labels, Columns(), score)
    assert str(caught.value).startswith(
        "the labels are 'bad' and 'good': which is the positive class? name it: columns.positive: bad (ROC AUC 0.8"
    )
    assert " or good (ROC AUC 0.1" in str(caught.value)
    with pytest.raises(DataError, match=r"columns.positive: bad or good$"):
        positive_class(labels, Columns(), None)
    with pytest.raises(DataError, match="the labels are '1' and '2'"):
        positive_class(pd.Series([1, 2, 2]), Columns(), pd.Series([0.1, 0.2, 0.9]))


def test_scores_that_are_missing_or_no_numbers_leave_the_candidates_without_an_area() -> None:
    labels, score = _labels("bad", "good")
    with pytest.raises(DataError, match=r"bad \(ROC AUC 0.8"):
        positive_class(labels, Columns(), score.mask(score.index < 500))
    with pytest.raises(DataError, match=r"columns.positive: bad or good$"):
        positive_class(labels, Columns(), labels)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            ["good", "good"],
            "the labels are all 'good': which is the positive class? name it: columns.positive: good or another one",
        ),
        (["a", "b", "c"], "the labels are 'a', 'b' and 'c'"),
        ([*"abcdefgh"], "there are 8 different labels ('a', 'b', 'c', 'd', 'e', …)"),
    ],
)
def test_other_numbers_of_classes_are_told_as_they_are(values: list[str], text: str) -> None:
    with pytest.raises(DataError) as caught:
        positive_class(pd.Series(values), Columns(), None)
    assert str(caught.value).startswith(text)


def test_a_named_class_that_no_label_is_is_refused() -> None:
    with pytest.raises(
        DataError, match="columns.positive is 'goood', and no label of the reference is that; did you mean 'good'?"
    ):
        positive_class(pd.Series(["good", "bad"]), Columns(positive="goood"), None)
    assert positive_class(pd.Series(["bad", "bad"]), Columns(positive="good"), None) == "good"
    assert positive_class(pd.Series(["yes", "no"]), Columns(positive=True), None) == "yes"
    assert positive_class(pd.Series([1, 0]), Columns(positive=1), None) == 1
