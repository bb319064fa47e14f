"""Sensitive free text is checked by its form only. Vectors may be spread over several columns."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate
from monitor.config.model import ColumnNames
from monitor.domain.checks import Verdict
from monitor.domain.columns import name_range
from monitor.domain.hidden import FORM, form_of, form_of_hidden, hide
from monitor.errors import DataError, UsageError
from monitor.sources.log import hide_sensitive

ROWS = 800


def scored(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=ROWS)
    return pd.DataFrame({"x": x, "prediction": 3 * x, "label": 3 * x + random.normal(size=ROWS)})


def remarks(words: str, seed: int, number: tuple[int, int] = (4, 12)) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(words.split(), random.integers(*number))) for _ in range(ROWS)]


PLAIN = "the box came late and was broken please send money back order number soon thanks"


def hidden(texts: list[str], seed: int) -> pd.DataFrame:
    return hide_sensitive(scored(seed).assign(remark=texts), ("remark",), "key")


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        (remarks(PLAIN, 1), Verdict.FINE),
        (remarks(PLAIN, 1, (20, 40)), Verdict.CHANGED),
        (remarks("посылка пришла поздно верните деньги спасибо заказ номер", 1), Verdict.CHANGED),
        (remarks("4711 0815 12.50 99 1234567", 1), Verdict.CHANGED),
        (["n/a"] * ROWS, Verdict.CHANGED),
    ],
)
def test_sensitive_text_is_watched_by_its_form_and_nothing_else_is_kept(texts: list[str], verdict: Verdict) -> None:
    reference = Reference.fit(
        hidden(remarks(PLAIN, 0), 0), Columns(prediction="prediction", label="label"), "regression"
    )
    assert reference.sorts["remark"] == "text_form"
    kept = reference.to_bytes()
    assert not [word for word in ("money", "broken", "please") if word.encode() in kept]
    evaluation = evaluate(reference, hidden(texts, 1))
    answered = {check.column: check for check in evaluation.checks if check.metric == "text_score"}
    assert answered["remark"].verdict is verdict
    explanations = [finding.explanation for finding in evaluation.findings if finding.metric == "text_score"]
    assert all(
        "Only the form of the texts of a sensitive column is kept" in explanation for explanation in explanations
    )
    json.dumps([vars(finding) for finding in evaluation.findings], default=str)


def test_a_hidden_value_keeps_its_form_only_where_it_is_free_text() -> None:
    assert form_of_hidden(hide("anna@example.org", "k")) is None
    assert len(hide("Anna Meier", "k")) == 16, "two words may be a name: not even its length is kept"
    text = "Die Sendung kam zu spät, 12 Tage"
    assert form_of_hidden(hide(text, "k")) == pytest.approx(form_of(text), abs=1e-3)
    assert len(form_of(text)) == len(FORM)
    assert hide(3.0, "k") == hide(3, "k") == hide("3", "k")


def embedded(seed: int, moved: float = 0.0, width: int = 8) -> pd.DataFrame:
    vectors = np.random.default_rng(seed).normal(size=(ROWS, width)) + moved
    return scored(seed).assign(**{f"f{number}": vectors[:, number] for number in range(width)})


GROUPED = Columns(prediction="prediction", label="label", embeddings={"image": tuple(name_range("f0..f7"))})


def test_columns_that_hold_one_number_of_a_vector_each_are_watched_as_one() -> None:
    reference = Reference.from_bytes(Reference.fit(embedded(0), GROUPED, "regression").to_bytes())
    assert reference.sorts["image"] == "embedding"
    assert reference.features == ["x", "image"]
    healthy, moved = evaluate(reference, embedded(1)), evaluate(reference, embedded(1, moved=0.5))
    assert not healthy.findings
    assert [(finding.metric, finding.column) for finding in moved.findings] == [("embedding_score", "image")]
    evidently = {
        metric_value.metric: metric_value.value for metric_value in moved.metrics if metric_value.column == "image"
    }["embeddings_drift"]
    assert 0.6 < evidently <= 1
    gone = evaluate(reference, embedded(1).drop(columns="f3"))
    assert {(finding.metric, finding.column) for finding in gone.findings} == {("column_missing", "image")}
    missing = evaluate(reference, embedded(1).assign(f2=np.nan))
    assert missing["missing_share", "image"].value == 1.0  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no column 'image'"):
        Reference.fit(embedded(0).drop(columns="f3"), GROUPED, "regression")


def test_a_range_of_names_is_written_with_two_dots() -> None:
    assert ColumnNames(embeddings={"e": "f08..f11", "g": ["a", "b1..b2"]}).embeddings == {
        "e": ["f08", "f09", "f10", "f11"],
        "g": ["a", "b1", "b2"],
    }
    for wrong in ("f2..f1", "f0..g9", "f..g"):
        with pytest.raises(UsageError, match="no range of names"):
            name_range(wrong)
