"""What detection is measured on: the sets of ../shared/data, clean windows drawn from their references, and corrupted
ones. No product code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import roc_auc_score

from monitor import Columns, Reference
from monitor.alerting.fold import Result, Rule, fold
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.faults import FAULTS
from monitor.domain.checks import Kind, Verdict
from monitor.domain.grid import Window
from monitor.services.judge_windows import estimate_of
from monitor.storage.results import CheckNumbers, CheckToJudge

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = {
    "bike_sharing": "regression",
    "california_housing": "binary",
    "car_loan": "binary",
    "hotel_bookings": "binary",
    "beijing_pm25": "regression",
    "diabetes_readmission": "binary",
}
SIZES = (500, 1_000, 5_000)
Random = np.random.Generator


def columns_of(name: str) -> Columns:
    probability = "probability" if SETS[name] == "binary" else None
    return Columns(prediction="prediction", probability=probability, label="label", event_time="event_time", id="id")


@lru_cache(maxsize=4)
def halves(name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference's rows in two halves: one to fit, one to draw windows from."""
    frame = pd.read_parquet(DATA / name / "reference.parquet")
    order = np.random.default_rng(seed).permutation(len(frame))
    half = len(frame) // 2
    return tuple(frame.iloc[np.sort(part)].reset_index(drop=True) for part in (order[:half], order[half:]))  # type: ignore[return-value]


class Model:
    """A model of the features that answers to faults in them, as the one that made the logged predictions cannot be
    asked.
    """

    def __init__(self, name: str, frame: pd.DataFrame) -> None:
        self.features = [column for column in frame if column not in columns_of(name).parts]
        self.binary = SETS[name] == "binary"
        codes = {
            column: frame[column].astype(object).value_counts().index[:200]
            for column in self.features
            if frame[column].dtype.kind not in "fiu"
        }
        self.codes = {column: {value: place for place, value in enumerate(values)} for column, values in codes.items()}
        kind = HistGradientBoostingClassifier if self.binary else HistGradientBoostingRegressor
        flags = [column in self.codes for column in self.features]
        self.model = kind(random_state=0, categorical_features=flags, max_iter=80)
        self.model.fit(self.encoded(frame), frame["label"].astype(float).to_numpy())

    def encoded(self, frame: pd.DataFrame) -> np.ndarray:
        columns = [
            frame[column].astype(object).map(self.codes[column]) if column in self.codes else frame[column]
            for column in self.features
        ]
        return np.column_stack([pd.to_numeric(values).to_numpy(dtype=float) for values in columns])

    def answers(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with what the model says of it."""
        if not self.binary:
            return frame.assign(prediction=self.model.predict(self.encoded(frame)))
        chance = self.model.predict_proba(self.encoded(frame))[:, 1]
        return frame.assign(probability=chance, prediction=(chance >= 0.5).astype(int))

    def harmed(self, clean: pd.DataFrame, corrupted: pd.DataFrame) -> bool:
        """Whether the same rows lose more than 0.02 ROC AUC, or gain 10 % of MAE, by the fault."""
        if not clean["label"].equals(corrupted["label"]):
            return False  # other rows, not the same ones with a fault
        truth = clean["label"]
        if self.binary:
            return bool(
                truth.nunique() > 1
                and roc_auc_score(truth, clean["probability"]) - roc_auc_score(truth, corrupted["probability"]) > 0.02
            )
        before, after = ((truth - side["prediction"]).abs().mean() for side in (clean, corrupted))
        return bool(after > 1.1 * before)


@lru_cache(maxsize=2)
def modelled(name: str, seed: int) -> tuple[Model, Reference, pd.DataFrame]:
    """A model trained on a third of the rows, the reference of its answers on another third, and its answers on the
    last.
    """
    frame = pd.read_parquet(DATA / name / "reference.parquet")
    frame = frame[frame["label"].notna()].sample(frac=1, random_state=seed)
    third = len(frame) // 3
    train, fit, rest = (frame.iloc[place * third : (place + 1) * third].reset_index(drop=True) for place in range(3))
    model = Model(name, train)
    return model, Reference.fit(model.answers(fit), columns_of(name), SETS[name]), model.answers(rest)


@lru_cache(maxsize=4)
def fitted(name: str, seed: int) -> Reference:
    return Reference.fit(halves(name, seed)[0], columns_of(name), SETS[name])


def window(name: str, seed: int, size: int, number: int) -> pd.DataFrame | None:
    """A clean window, no row twice; None where the half holds fewer."""
    rest = halves(name, seed)[1]
    if len(rest) < size:
        return None
    chosen = np.random.default_rng([seed, size, number]).permutation(len(rest))[:size]
    return rest.iloc[np.sort(chosen)].reset_index(drop=True)


def _other_rows(frame: pd.DataFrame, column: str, rows: np.ndarray, random: Random) -> pd.DataFrame:
    """A subpopulation that grows: the affected rows are replaced by copies of those whose value is in the top
    quarter.
    """
    values = pd.factorize(frame[column], sort=True)[0] if frame[column].dtype.kind not in "fiu" else frame[column]
    top = np.flatnonzero(np.asarray(values) >= np.nanquantile(np.asarray(values, dtype=float), 0.75))
    positions = np.arange(len(frame))
    positions[rows] = random.choice(top, rows.sum())
    return frame.iloc[positions].reset_index(drop=True).assign(**{name: frame[name] for name in ("id", "event_time")})


CORRUPTIONS = [
    *((fault.name, fault.fits, fault.inject) for fault in FAULTS),
    ("subpopulation", lambda values: values.nunique() > 1, _other_rows),
]


@dataclass(frozen=True)
class Corrupted:
    """A window with a fault. harms: whether the model loses by it."""

    fault: str
    share: float
    column: str
    frame: pd.DataFrame
    harms: bool


def corrupted(name: str, seed: int, size: int, rounds: int) -> Iterator[Corrupted]:
    """Windows with one fault each, what the model says of them beside it."""
    model, _, rest = modelled(name, seed)
    if len(rest) < size:
        return
    for number in range(rounds):
        for index, (fault, fits, inject) in enumerate(CORRUPTIONS):
            for share in (0.05, 0.2, 0.5):
                random = np.random.default_rng([seed, size, number, index, int(share * 100)])
                clean = rest.iloc[np.sort(random.permutation(len(rest))[:size])].reset_index(drop=True)
                fitting = [column for column in model.features if fits(clean[column])]
                if not fitting:
                    continue
                column = str(random.choice(fitting))
                rows = random.random(len(clean)) < share
                broken = inject(clean, column, rows, random)
                before, after = (
                    side[column].astype(object).where(side[column].notna(), "missing") for side in (clean, broken)
                )
                if (before != after).any():
                    faulty = model.answers(broken)
                    yield Corrupted(fault, share, column, faulty.drop(columns="label"), model.harmed(clean, faulty))


def result_of(evaluation: Evaluation, kind: Kind, window: Any, number: int) -> Result:
    """What judging takes of an evaluation of a calendar window, as of its end."""
    checks = [check for check in evaluation.checks if check.kind is kind]
    paging = [finding for finding in evaluation.findings if finding.kind is kind and finding.pages]
    checks_to_judge = [
        CheckToJudge(
            kind.value,
            check.verdict.value,
            "",
            check.key,
            CheckNumbers(
                check.value, check.lower, check.upper, check.threshold_lower, check.threshold_upper, check.p_value
            ),
        )
        for check in checks
    ]
    decided = frozenset(check.key for check in checks if check.verdict in (Verdict.FINE, Verdict.CHANGED))
    return Result(
        str(number),
        Window(window["start"].to_pydatetime(), window["end"].to_pydatetime()),
        0,
        window["end"].to_pydatetime(),
        bool(paging),
        frozenset(check.key for check in checks),
        decided,
        tuple(finding.key for finding in paging),
        severity=paging[0].severity.value if paging else "none",
        rule=Rule(keep_firing_for=None),
        estimate=estimate_of(checks_to_judge, 0.99) if kind is Kind.ESTIMATED_PERFORMANCE else None,
    )


def alerts_and_spells(results: list[Result], spans: list[tuple[Any, Any]], bad: np.ndarray) -> dict[str, int]:
    """How many alerts fire, how many of them in spells of bad windows (of which two good ones in a row are the end),
    how many spells there are, and in how many an alert fires.
    """
    spells: list[list[Any]] = []
    last = -9
    for place in np.flatnonzero(bad):
        if place - last > 2:
            spells.append([spans[place][0], spans[place][1]])
        spells[-1][1], last = spans[place][1], place
    incidents = [(incident.since, incident.until) for incident in fold(results).incidents]

    def meet(first: Any, second: Any) -> bool:
        return bool(first[0] < second[1] and second[0] < first[1])

    return {
        "fired": len(incidents),
        "true": sum(any(meet(incident, spell) for spell in spells) for incident in incidents),
        "spells": len(spells),
        "found": sum(any(meet(incident, spell) for incident in incidents) for spell in spells),
    }
