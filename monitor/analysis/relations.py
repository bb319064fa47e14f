"""How columns go together: each is predicted from all others, and rows are measured by their distance from that.

Each column's rank (or each of its categories) is a sum of functions of the other columns, one function each, in steps
and a straight line: an additive model, solved by ridge regression. All columns share one matrix of inputs, so that a
window is one product of matrices.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from monitor.analysis.schema import Sort
from monitor.analysis.summary import Numbers
from monitor.analysis.twosample import Bins
from monitor.domain import phrases

Floats = np.ndarray
# The most rows of a window that are used; the most columns; the steps of a number's function; the most categories that
# are distinguished.
MOST_ROWS = 5_000
_COLUMNS = 60
_STEPS = 8
_CATEGORIES = 12
_RIDGE = 3.0
_MIN_ROWS = 200
# Two values that change places: the fewest rows of each; the fewest standard errors; the least sum of the shares of
# both that are mixed, where no third value can be used (values at random are mixed to no more than one); and the
# largest error with which a third value shows whether all are mixed.
_FEWEST_EXCHANGED, _CERTAIN, _BEYOND_MIXING, _TELLING = 20, 4.0, 1.1, 0.1
# What is tested of how columns go together.
RELATIONS = ("relation_score", "relation_agreement")
# The numbers of decimals that are distinguished.
DIGITS = Bins(None, pd.Index(range(-6, 10), dtype=float))


@dataclass(frozen=True)
class _Term:
    """A column as inputs and targets. Numbers: knots and the rank of each. Categories: their names. usual: the mean
    input, for missing values.
    """

    name: str
    knots: tuple[Floats, Floats] | None
    names: list[str]
    usual: list[float]

    @classmethod
    def of(cls, values: pd.Series, column_type: Sort) -> _Term | None:
        """None for a column of a type that is not compared, or that is always the same."""
        term = cls._bare(values.dropna(), column_type)
        if term is None:
            return None
        inputs, targets = (np.zeros((len(values), width), dtype=np.float32) for width in term.widths)
        term.fill(values, inputs, targets)
        return replace(term, usual=inputs[values.notna().to_numpy()].mean(axis=0)[:-1].tolist())

    @property
    def widths(self) -> tuple[int, int]:
        """How many inputs and targets it has."""
        return (_STEPS + 1, 1) if self.knots is not None else (len(self.names) + 1, len(self.names) + 1)

    @classmethod
    def _bare(cls, present: pd.Series, column_type: Sort) -> _Term | None:
        if column_type == "numerical":
            numbers = np.sort(present.to_numpy(dtype=float))
            knots = Numbers(numbers, len(numbers)).knots if len(numbers) else numbers
            sides = [np.searchsorted(numbers, knots, side) for side in ("left", "right")]
            ranks = (sides[0] + sides[1]) / 2 / max(len(numbers), 1)
            return cls(str(present.name), (knots, ranks), [], [0.0] * _STEPS) if len(knots) > 1 else None
        if column_type in ("categorical", "boolean"):
            shares = present.value_counts(normalize=True)
            names = [str(name) for name in shares.index[shares >= 0.01][:_CATEGORIES]]
            return cls(str(present.name), None, names, [0.0] * len(names)) if len(shares) > 1 and names else None
        return None

    def fill(self, values: pd.Series, inputs: Floats, targets: Floats) -> Floats:
        """Write the column as inputs, shape (rows, inputs), and as targets, shape (rows, targets), into zeros; which
        rows have a value, shape (rows,).
        """
        missing: Floats = values.isna().to_numpy()
        if self.knots is not None:
            numbers = np.where(missing, 0.0, values.to_numpy(dtype=float))
            order = np.argsort(numbers)  # in order each value is found beside the one before it
            rank = np.empty_like(numbers)
            rank[order] = np.interp(numbers[order], *self.knots)
            rank[missing] = 0.5
            inputs[np.arange(len(rank)), np.minimum((rank * _STEPS).astype(int), _STEPS - 1)] = 1
            inputs[:, 0] = targets[:, 0] = rank - 0.5
        else:
            codes = pd.Index(self.names).get_indexer(pd.Index(values.to_numpy(dtype=object)))
            inputs[:, :-1] = targets[:, :-1] = codes[:, None] == np.arange(len(self.names))
            targets[:, -1] = (codes < 0) & ~missing
        inputs[:, -1] = missing
        inputs[missing, :-1] = self.usual
        present: Floats = ~missing
        return present


class _Matrices(NamedTuple):
    """Columns as numbers. inputs: shape (rows, inputs). targets: shape (rows, targets). present: which values are not
    missing, shape (rows, columns).
    """

    inputs: Floats
    targets: Floats
    present: Floats


class _Predicted(NamedTuple):
    """Columns and what is predicted of them from the others. targets, predictions: shape (rows, targets). present:
    which values are not missing, shape (rows, columns).
    """

    targets: Floats
    predictions: Floats
    present: Floats


@dataclass(frozen=True)
class Exchange:
    """Two values of a column that changed places. share: of the rows. certain: its certainty, in standard errors."""

    first: str
    second: str
    share: float
    certain: float


@dataclass(frozen=True)
class Relations:
    """The additive models of all columns, each fitted twice: on either half of the reference's rows.

    weights: shape (2, inputs, targets), zero from a column to itself.
    """

    terms: Sequence[_Term]
    weights: Floats

    @classmethod
    def fit(cls, frame: pd.DataFrame, sorts: Mapping[str, Sort], names: Sequence[str]) -> Relations | None:
        """frame: the reference's rows. names: the columns in question, of which the first `_COLUMNS` are taken.

        None where there are too few rows or columns.
        """
        terms = [term for name in names if (term := _Term.of(frame[name], sorts[name])) is not None][:_COLUMNS]
        if len(frame) < _MIN_ROWS or len(terms) < 2:
            return None
        empty = cls(terms, np.zeros((2, 0, 0)))
        inputs, targets, _ = empty._matrices(frame)
        return cls(terms, np.stack([empty._solved(inputs[half::2], targets[half::2]) for half in (0, 1)]))

    @property
    def names(self) -> list[str]:
        """The columns that take part."""
        return [term.name for term in self.terms]

    def distances(self, frame: pd.DataFrame) -> dict[str, dict[str, Floats]]:
        """How each row's values agree with what is predicted from the other columns, by metric and column, shape
        (rows,); NaN where a value is missing.

        `relation_score`: the distance from the prediction. Numbers: the difference of ranks. Categories: the squared
            error of their probabilities. A break of a close relation shows here first.
        `relation_agreement`: the product of both ranks, from the middle. A break of a loose relation shows here first.

        Each row is predicted by the models of the other half of the rows, never of its own. The halves are every second
        row, of the reference (see `fit`) and of a window.
        """
        compared = self._predicted(frame)
        distances: dict[str, dict[str, Floats]] = {metric: {} for metric in RELATIONS}
        for term, place, has_value in zip(self.terms, self._places(1), compared.present.T, strict=True):
            real, expected = compared.targets[:, place], compared.predictions[:, place]
            if term.knots is not None:
                distances["relation_agreement"][term.name] = np.where(has_value, (real * expected)[:, 0], np.nan)
            distance = (real - expected)[:, 0] if term.knots is not None else ((real - expected) ** 2).sum(axis=1)
            distances["relation_score"][term.name] = np.where(has_value, distance, np.nan)
        return distances

    def _predicted(self, frame: pd.DataFrame) -> _Predicted:
        """The columns, each with what is predicted of it from the others."""
        inputs, targets, present = self._matrices(frame.reindex(columns=self.names))
        predictions = np.empty_like(targets)
        for half in (0, 1):
            predictions[half::2] = inputs[half::2] @ self.weights[1 - half]
        return _Predicted(targets, predictions, present)

    def held_against(self, frame: pd.DataFrame) -> tuple[Floats, Floats]:
        """The columns as targets, and what is predicted of them from the others, both of shape (rows, targets)."""
        compared = self._predicted(frame)
        return compared.targets, compared.predictions

    def exchanged(
        self, wanted: Sequence[str], before: tuple[Floats, Floats], after: tuple[Floats, Floats]
    ) -> dict[str, Exchange]:
        """The two values that changed places in some rows, by column: by all other columns, rows with either value are
        as rows with the other one were. Columns without such values are left out.

        wanted: the columns of categories in question. before, after: `held_against` of the reference's rows and of the
            window's.
        """
        terms = [
            (term, place)
            for term, place in zip(self.terms, self._places(1), strict=True)
            if term.name in wanted and term.knots is None
        ]
        if not terms:
            return {}
        exchanges = {
            term.name: exchange_of(
                term.names, *((real[:, place], predictions[:, place]) for real, predictions in (before, after))
            )
            for term, place in terms
        }
        return {name: exchange for name, exchange in exchanges.items() if exchange is not None}

    def source_of_break(
        self, candidates: Collection[str], names: Collection[str], before: pd.DataFrame, after: pd.DataFrame
    ) -> str:
        """The column whose own values are in rows that they do not belong to, of columns whose relations broke; '' for
        none.

        Where some values of a column are in wrong rows, its correlations with all other columns fall by the same share.
        Each of those columns loses that one correlation alone. So for each candidate the fall of its correlations is
        compared with one in proportion (least squares): the column for which that explains most is the source.

        candidates: the columns in question. names: the columns with which correlations count. before, after: rows of
            the reference and of the window.
        """
        correlated = [
            correlations(self._matrices(frame.reindex(columns=self.names)).inputs) for frame in (before, after)
        ]
        places = dict(zip(self.names, self._places(0), strict=True))
        explained = {}
        for name in candidates:
            others = [
                place for other in names if other in places and other != name for place in _numbers(places[other])
            ]
            usual, now = (np.nan_to_num(side[places[name]][:, others]) for side in correlated)
            squares, fallen = float((usual**2).sum()), float((usual * (usual - now)).sum())
            explained[name] = max(fallen, 0.0) ** 2 / squares if squares > 0 else 0.0
        best = max(explained, key=lambda name: explained[name], default="")
        return best if explained.get(best, 0.0) > 0 else ""

    def broken(self, name: str, before: Floats, after: Floats) -> str:
        """In words, the column whose correlation with `name` changed most; '' where there is none. before, after:
        `correlations` of reference and window.
        """
        places = self._places(1)
        own = places[self.names.index(name)]
        # A column that is constant in the window has no correlation, which does not count as a change.
        change = [np.nan_to_num(np.abs(after[own, place] - before[own, place])) * (place != own) for place in places]
        most = int(np.argmax([place_change.max() for place_change in change]))
        row, column = np.unravel_index(change[most].argmax(), change[most].shape)
        pair = [side[own, places[most]][row, column] for side in (before, after)]
        if not np.isfinite(pair).all():  # one of the two is constant, here or there
            return ""
        return phrases.correlation(self.names[most], float(pair[0]), float(pair[1]))

    def _matrices(self, frame: pd.DataFrame) -> _Matrices:
        places = [self._places(side) for side in (0, 1)]
        inputs, targets = (np.zeros((len(frame), side[-1].stop), dtype=np.float32, order="F") for side in places)
        present = np.empty((len(frame), len(self.terms)), dtype=bool, order="F")
        inputs[:, 0] = 1
        for number, (term, *own) in enumerate(zip(self.terms, *places, strict=True)):
            present[:, number] = term.fill(frame[term.name], inputs[:, own[0]], targets[:, own[1]])
        return _Matrices(inputs, targets, present)

    def _places(self, side: int) -> list[slice]:
        """The places of each column's inputs (0) or targets (1) in the matrix."""
        places, at = [], 1 - side
        for term in self.terms:
            width = term.widths[side]
            places.append(slice(at, at + width))
            at += width
        return places

    def _solved(self, inputs: Floats, targets: Floats) -> Floats:
        """The weights from all other columns to each. One inverse serves all columns: each column's own part is taken
        out of it (block inversion).
        """
        gram = inputs.T.astype(float) @ inputs + _RIDGE * np.eye(inputs.shape[1])
        moments = inputs.T.astype(float) @ targets
        inverse = np.linalg.inv(gram)
        weights = np.zeros((inputs.shape[1], targets.shape[1]), dtype=np.float32)
        for own, target in zip(self._places(0), self._places(1), strict=True):
            wanted = moments[:, target].copy()
            wanted[own] = 0.0
            solution = inverse @ wanted
            solution -= inverse[:, own] @ np.linalg.solve(inverse[own, own], solution[own])
            solution[own] = 0.0
            weights[:, target] = solution
        return weights

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        terms = [
            [term.name, term.knots and [part.tolist() for part in term.knots], term.names, term.usual]
            for term in self.terms
        ]
        return {
            "terms": terms,
            "weights": [[[float(f"{w:.5g}") for w in row] for row in half] for half in self.weights],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Relations:
        """The inverse of `to_dict`."""
        terms = [
            _Term(name, knots and (np.asarray(knots[0]), np.asarray(knots[1])), *rest)
            for name, knots, *rest in values["terms"]
        ]
        return cls(terms, np.asarray(values["weights"], dtype=np.float32))


def exchange_of(names: Sequence[str], before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> Exchange | None:
    """The two values of a column that changed places in some rows, None where none did.

    before, after: which value each row has, and the likelihood of each value by the other columns, both of shape (rows,
        values and one for all others).

    Two values that change places are mixed with each other alone. A break of the whole relation mixes all values.
    """
    rows_of = [[np.flatnonzero(real[:, place] == 1) for place in range(len(names))] for real in (before[0], after[0])]
    frequent = [
        place for place in range(len(names)) if min(len(rows_of[0][place]), len(rows_of[1][place])) >= _FEWEST_EXCHANGED
    ]
    best: tuple[float, int, int, float, float] | None = None
    for first, second in itertools.combinations(frequent, 2):
        mixed = []
        for own, twin in ((first, second), (second, first)):
            usual, twins, now = (
                side[1][rows[place], twin] - side[1][rows[place], own]
                for side, rows, place in (
                    (before, rows_of[0], own),
                    (before, rows_of[0], twin),
                    (after, rows_of[1], own),
                )
            )
            separation = float(twins.mean() - usual.mean())
            doubt = float(usual.std()) * (1 / len(now) + 1 / len(usual)) ** 0.5
            mixed.append((float(now.mean() - usual.mean()) / max(separation, 1e-9), separation / max(doubt, 1e-9)))
        certain = min(share * power for share, power in mixed)
        if certain > _CERTAIN and (best is None or certain > best[0]):
            best = certain, first, second, mixed[0][0], mixed[1][0]
    if best is None:
        return None
    certain, first, second, share_of_first, share_of_second = best
    mixed_others = [
        _mixed(before[1][:, place], rows_of[0][place], after[1][rows_of[1][place], place])
        for place in frequent
        if place not in (first, second)
    ]
    telling = [share for share, doubt in mixed_others if doubt < _TELLING]
    if max(telling, default=0.0) > (share_of_first + share_of_second) / 4 or (
        not telling
        and share_of_first + share_of_second <= _BEYOND_MIXING
        and not _came_nearer(*([len(rows[place]) for place in (first, second)] for rows in rows_of))
    ):
        return None
    number = min(share_of_first, 1.0) * len(rows_of[1][first]) + min(share_of_second, 1.0) * len(rows_of[1][second])
    return Exchange(names[first], names[second], float(number / len(after[0])), certain)


def _came_nearer(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the numbers of rows of two values came nearer to each other, as where they change places. Values in wrong
    rows leave them as they were. before, after: the numbers of rows of both, in the reference and in the window.
    """
    usual, now = (rows[0] / sum(rows) for rows in (before, after))
    error = (usual * (1 - usual) * (1 / sum(before) + 1 / sum(after))) ** 0.5
    return abs(now - usual) > _CERTAIN * error and (now - usual) * (0.5 - usual) > 0


def _mixed(likelihood: Floats, own: Floats, now: Floats) -> tuple[float, float]:
    """The share of a value's rows that are as any others, and the error of that. likelihood: of the value in all rows,
    before. own: the places of its rows. now: the likelihood in its rows of the window.
    """
    usual = likelihood[own]
    separation = max(float(usual.mean() - likelihood.mean()), 1e-9)
    error = float(usual.std()) * (1 / len(now) + 1 / len(own)) ** 0.5
    return float(usual.mean() - now.mean()) / separation, error / separation


def _numbers(place: slice) -> range:
    return range(place.start, place.stop)


def correlations(targets: Floats) -> Floats:
    """Of ranks and categories, shape (targets, targets). targets: the columns (`Relations.held_against`)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.corrcoef(targets, rowvar=False))


def subsample(frame: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """At most `most` of the rows, evenly spread."""
    return frame.iloc[np.linspace(0, len(frame) - 1, min(len(frame), most)).astype(int)]


def digits(values: pd.Series) -> Floats:
    """How many decimals each number needs, shape (rows,): 2 for 0.25, -3 for 4,000; NaN where it is missing; no more
    than 9, no fewer than -6.
    """
    numbers = values.to_numpy(dtype=float)
    needed = np.where(np.isfinite(numbers), 9.0, np.nan)
    left = np.flatnonzero(np.isfinite(numbers) & (numbers != 0))
    needed[numbers == 0] = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for decimals in range(8, -7, -1):
            if not len(left):
                break
            scaled = numbers[left] * 10.0**decimals
            tolerance = np.minimum(1e-12 * np.abs(scaled), 1e-3) + 1e-15 * np.abs(scaled)
            # What needs more decimals than these needs more than any fewer.
            left = left[(np.abs(scaled - np.round(scaled)) <= tolerance) | ~np.isfinite(scaled)]
            needed[left] = decimals
    return needed
