"""The reference: the data that production is compared with, summarised once and used in every run."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import ipc
from sklearn.ensemble import HistGradientBoostingRegressor

from monitor.analysis import correction, estimation, mapping
from monitor.analysis.calibration import Null, Tested, independent_tests, null_distributions, overdispersion, tempered
from monitor.analysis.correction import Recent, Stretch
from monitor.analysis.figures import Figure, performance_figures
from monitor.analysis.performance import (
    HIGHER_IS_BETTER,
    Measured,
    Outcomes,
    is_positive,
    loss,
    mean,
    measure,
    outcomes,
    predicted,
    probabilities,
    too_little,
    weights_of,
)
from monitor.analysis.relations import DIGITS, MOST_ROWS, RELATIONS, Relations, digits
from monitor.analysis.schema import Sort, canonical_text, conform, sort_of
from monitor.analysis.summary import Summary, summarise
from monitor.analysis.twosample import Bins
from monitor.domain.columns import Columns
from monitor.errors import DataError, UsageError

# Part of every version's name: a reference fitted by another analysis is another reference.
ANALYSIS_VERSION = "9"
TASKS = ("binary", "multiclass", "regression")
_IMPORTANCE_ROWS = 5_000
# Segments of a column that are kept apart, of how many rows at least.
_SEGMENTS, _SEGMENT_ROWS = 20, 100
# A value is there or it is missing.
_THERE = Bins(None, pd.Index(["there", "missing"]))


class Reference:
    """What production is compared with. Made by `Reference.fit`; never changed afterwards.

    version: its name, a hash of everything it was fitted on. sorts: each column's sort of values.
    frame: the rows, in those sorts. baseline: performance on the reference by metric, where it has labels.
    importance: by feature, how much of `harm_metric` would be lost if its values came at random; {} without labels.
    """

    def __init__(
        self, rows: Callable[[], pd.DataFrame], columns: Columns, task: str, seed: int, version: str, summary: dict[str, Any]
    ) -> None:  # fmt: skip
        """rows: gives the frame when it is first asked for."""
        self._rows = rows
        self.columns = columns
        self.task = task
        self.seed = seed
        self.version = version
        self.summary = summary
        self._summaries: dict[str, Summary | None] = {}
        self._bins: dict[str, Bins] = {}
        self._counts: dict[str, np.ndarray] = {}
        self._segments: dict[tuple[str, str], pd.DataFrame] = {}
        self._segment_counts: dict[tuple[str, str], dict[str, tuple[Bins, np.ndarray]]] = {}
        self._tests: dict[int, float] = {}

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        columns: Columns | None = None,
        task: str | None = None,
        healthy: pd.DataFrame | None = None,
        seed: int = 0,
    ) -> Reference:
        """Summarise reference data.

        frame: one row a prediction. columns: what plays which part, `Columns.infer(frame)` if not given.
        task: binary, multiclass or regression; told from the columns if not given.
        healthy: production rows known to be good, in the order of time (or with Columns.event_time). They are added to the reference's own, and
        how much more stretches of them vary than chance would have it (by hour, weekday, season, growth) counts as normal.
        Raises DataError for a frame without rows or without its columns, UsageError for an unknown task.
        """
        columns = columns or Columns.infer(frame)
        task = task or infer_task(frame, columns)
        if task not in TASKS:
            raise UsageError(f"'{task}' is no task; they are: {', '.join(TASKS)}")
        _check_columns(frame, columns, "the reference")
        version = _version(frame, healthy, columns, task, seed)
        of_production = np.zeros(len(frame), dtype=bool)
        if healthy is not None:
            _check_columns(healthy, columns, "the healthy rows")
            frame = pd.concat([frame, healthy], ignore_index=True)
            of_production = np.append(of_production, np.ones(len(healthy), dtype=bool))
        kept = _kept(frame, columns)
        sorts: dict[str, Sort] = {name: sort_of(frame[name]) for name in kept}
        if columns.event_time is not None and columns.event_time in frame:
            order = frame[columns.event_time].argsort(kind="stable")
            frame, of_production = frame.iloc[order], of_production[order]
        conformed = conform(frame[kept].reset_index(drop=True), sorts).frame
        for name in columns.probabilities.values():
            values = conformed[name].dropna()
            if sorts[name] != "numerical" or not values.between(0, 1).all():
                raise DataError(f"the probability column '{name}' of the reference holds values outside 0 to 1")
        reference = cls(lambda: conformed, columns, task, seed, version, {"sorts": sorts, "rows": len(conformed)})
        reference.summary |= reference._summarise(np.flatnonzero(of_production))
        return reference

    @property
    def rows(self) -> int:
        """How many rows the reference has."""
        return int(self.summary["rows"])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows."""
        return self._rows()

    @property
    def sorts(self) -> dict[str, Sort]:
        """Each column's sort of values."""
        sorts: dict[str, Sort] = self.summary["sorts"]
        return sorts

    @property
    def features(self) -> list[str]:
        """The features that are checked."""
        return self.columns.feature_names(list(self.sorts))

    @property
    def predictions(self) -> list[str]:
        """The columns of what the model said: prediction and probabilities."""
        names = (self.columns.prediction, *self.columns.probabilities.values())
        return [name for name in names if name is not None and name in self.sorts]

    @property
    def null(self) -> Null:
        """The smallest p-values of windows drawn from the reference, by window size."""
        null: Null = self.summary["null"]
        return null

    def bins(self, name: str) -> Bins:
        """How values of a column are counted for the two-sample tests."""
        if name not in self._bins:
            summary = self.of_column(name)
            assert summary is not None
            self._bins[name] = Bins.of(summary)
        return self._bins[name]

    def counts(self, name: str) -> np.ndarray:
        """How many of a column's values are in each of its bins, shape (bins,)."""
        if name not in self._counts:
            summary = self.of_column(name)
            assert summary is not None
            self._counts[name] = self.bins(name).counts(summary)
        return self._counts[name]

    @property
    def baseline(self) -> dict[str, Measured]:
        """Performance on the reference, by metric: realised, and `estimated_…` as the estimator sees it."""
        return {name: Measured(*pair) for name, pair in self.summary["baseline"].items()}

    @property
    def importance(self) -> dict[str, float]:
        """How much of the harm metric is lost when a feature's values come at random, by feature."""
        importance: dict[str, float] = self.summary["importance"]
        return importance

    @property
    def harm_metric(self) -> str | None:
        """The metric that harm is told by unless the user names others: roc_auc, accuracy or mae; None without labels."""
        metric: str | None = self.summary["harm_metric"]
        return metric

    @property
    def segments(self) -> dict[str, dict[str, dict[str, Measured]]]:
        """Performance on the reference by segment column, value and metric."""
        return {
            column: {
                value: {name: Measured(*pair) for name, pair in metrics.items()} for value, metrics in values.items()
            }
            for column, values in self.summary["segments"].items()
        }

    def of_column(self, name: str) -> Summary | None:
        """The summary of a column; None for sorts of which none is made."""
        if name not in self._summaries:
            self._summaries[name] = summarise(self.frame[name], self.sorts[name])
        return self._summaries[name]

    def rows_of_segment(self, column: str, value: str) -> pd.DataFrame:
        """The rows whose value of a segment's column is this one."""
        if (column, value) not in self._segments:
            self._segments[column, value] = self.frame[canonical_text(self.frame[column]) == value]
        return self._segments[column, value]

    def of_segment(self, column: str, value: str) -> dict[str, tuple[Bins, np.ndarray]]:
        """Bins and counts within a segment, by column."""
        if (column, value) not in self._segment_counts:
            rows = self.rows_of_segment(column, value)
            names = [name for name in (*self.features, *self.predictions) if name != column]
            tested = {
                name: Tested(self.bins(name), self.bins(name).codes(rows[name]))
                for name in names
                if self.of_column(name)
            }
            self._segment_counts[column, value] = {name: (each.bins, each.counts) for name, each in tested.items()}
        return self._segment_counts[column, value]

    def missing(self, name: str) -> int:
        """How many values of a column are missing."""
        known = self.of_column(name)
        return int(self.frame[name].isna().sum()) if known is None else known.rows - known.count

    @property
    def figures(self) -> dict[str, Figure]:
        """Performance on the reference by the names of Evidently's metrics."""
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.summary.get("figures", {}).items()
        }

    def save(self, path: str | Path) -> None:
        """Write the archive (a zip of JSON and Arrow, no pickle) to `path`."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read an archive that `save` wrote. Raises DataError for anything else."""
        return cls.from_bytes(Path(path).read_bytes())

    def to_bytes(self) -> bytes:
        """The archive; equal references give equal bytes."""
        meta = {
            "version": self.version,
            "task": self.task,
            "seed": self.seed,
            "columns": self.columns.to_dict(),
            "analysis": ANALYSIS_VERSION,
            "summary": self.summary,
        }
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("reference.json"), json.dumps(meta, default=str))
            archive.writestr(zipfile.ZipInfo("rows.arrow"), _arrow(self.frame, "zstd"))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """The inverse of `to_bytes`."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                meta = json.loads(archive.read("reference.json"))
                frame = ipc.open_file(io.BytesIO(archive.read("rows.arrow"))).read_pandas()
        except (zipfile.BadZipFile, KeyError, ValueError, pa.ArrowInvalid) as error:
            raise DataError(f"this is no archive of a reference: {error}") from None
        sorts = meta["summary"]["sorts"]
        frame = pd.DataFrame(
            {
                name: frame[name] if sorts[name] in ("numerical", "time") else frame[name].astype(object)
                for name in frame
            }
        )
        return cls._from_meta(meta, lambda: frame)

    @classmethod
    def mapped(cls, path: str | Path) -> Reference:
        """As `load`, of an archive that stays where it is: rows and summaries are mapped from a file beside it, which the first process writes.

        Where that cannot be written, they are held in this process's own memory.
        """
        beside = Path(path).with_suffix(".mapped")
        if not beside.exists():
            whole = cls.load(path)
            try:
                mapping.write(beside, whole.frame, {name: whole.of_column(name) for name in whole.sorts})
            except OSError:
                return whole
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read("reference.json"))
        mapped = mapping.Mapped(beside)
        reference = cls._from_meta(meta, mapped.frame)
        reference._summaries.update(mapped.summaries(reference.rows))
        return reference

    @classmethod
    def _from_meta(cls, meta: dict[str, Any], rows: Callable[[], pd.DataFrame]) -> Reference:
        columns = Columns.from_dict(meta["columns"])
        return cls(rows, columns, meta["task"], meta["seed"], meta["version"], meta["summary"])

    @cached_property
    def loss_models(self) -> tuple[tuple[HistGradientBoostingRegressor, float], ...]:
        """For regression with labels: the models of the absolute and of the squared error, each with the variance that it leaves; fitted from the seed."""
        if self.task != "regression" or not self.summary["labelled"]:
            return ()
        errors = self._absolute_errors(self.frame)
        known = np.isfinite(errors)
        if known.sum() < 100:
            return ()
        inputs, losses = self.encoded(self.frame[known]), errors[known].to_numpy()
        models = [(each, estimation.gradient_boosting(inputs, each, self.seed)) for each in (losses, losses**2)]
        return tuple((model, float(np.var(each - model.predict(inputs)))) for each, model in models)

    def encoded(self, frame: pd.DataFrame) -> np.ndarray:
        """Features and prediction as numbers for the surrogate models, shape (rows, features + 1); absent columns are missing."""
        names = [name for name in self.features if self.sorts[name] in ("numerical", "categorical", "boolean")]
        table = frame.reindex(columns=names)
        said = predicted(frame, self.columns, self.task) if self.task == "regression" else pd.Series(0.0, frame.index)
        return np.column_stack([estimation.encode(table, self.summary["codes"]), said.to_numpy(dtype=float)])

    def _summarise(self, healthy: np.ndarray) -> dict[str, Any]:
        names = [name for name in self.features if self.sorts[name] in ("categorical", "boolean")]
        self.summary["longest_run"] = {name: _longest_run(self.frame[name]) for name in self.features}
        self.summary["codes"] = {
            name: {value: index for index, value in enumerate(self.frame[name].value_counts().index)} for name in names
        }
        self.summary["segment_values"] = {
            column: [str(value) for value in counts.index[counts >= _SEGMENT_ROWS][:_SEGMENTS]]
            for column in self.columns.segments
            for counts in [canonical_text(self.frame[column]).value_counts()]
        }
        checked = [*self.features, *self.predictions]
        names = [name for name in checked if self.of_column(name) is not None]
        self.summary |= self._null_distributions(names, healthy)
        label = self.columns.label
        labelled = label is not None and label in self.frame and bool(self.frame[label].notna().any())
        result: dict[str, Any] = {
            "labelled": labelled,
            "baseline": {},
            "figures": {},
            "importance": {},
            "segments": {},
            "harm_metric": None,
            "calibration": None,
        }
        if not labelled:
            return result
        data = outcomes(self.frame, self.columns, self.task)
        if too_little(data):
            return result | {"labelled": False}
        realised = measure(data)
        result["figures"] = performance_figures(data, realised, reference=True)
        metric = "mae" if self.task == "regression" else "roc_auc" if "roc_auc" in realised else "accuracy"
        result["harm_metric"] = metric
        result["calibration"] = self._calibration(data)
        self.summary |= result
        estimated = self.estimate(self.frame)
        result["baseline"] = {name: (value.value, value.error) for name, value in {**realised, **estimated}.items()}
        result["importance"] = self._importance(metric)
        for column in self.columns.segments:
            values = canonical_text(self.frame[column])
            found = {
                value: measure(outcomes(self.frame[values == value], self.columns, self.task))
                for value in self.summary["segment_values"][column]
            }
            result["segments"][column] = {
                value: {name: (each.value, each.error) for name, each in metrics.items()}
                for value, metrics in found.items()
            }
        return result

    def _null_distributions(self, names: list[str], healthy: np.ndarray) -> dict[str, Any]:
        """What windows are held against: bins and counts of what is derived from columns, and how healthy windows vary in all of it.

        healthy: the places of rows of healthy production, in the order of time.
        """
        frame = self.frame
        values = {name: Tested(self.bins(name), self.bins(name).codes(frame[name])) for name in names}
        apart_by_segment = [
            Tested(each.bins, np.where(texts == value, each.codes, -1))
            for column, found in self.summary["segment_values"].items()
            for texts in [canonical_text(frame[column]).to_numpy()]
            for value in found
            for name, each in values.items()
            if name != column
        ]
        missing = {name: Tested(_THERE, frame[name].isna().to_numpy().astype(int)) for name in names}
        relations = Relations.fit(frame, self.sorts, names)
        self.summary["relations"] = None if relations is None else relations.to_dict()
        apart = {metric: {} for metric in RELATIONS} if self.relations is None else self.relations.distances(frame)
        derived = {metric: {name: Bins.of_numbers(each) for name, each in one.items()} for metric, one in apart.items()}
        derived["digits_score"] = {name: DIGITS for name in names if self.sorts[name] == "numerical"}
        columns = apart | {"digits_score": {name: digits(frame[name]) for name in derived["digits_score"]}}
        tested = {
            metric: {
                name: Tested(bins, bins.codes(pd.Series(columns[metric][name])), MOST_ROWS)
                for name, bins in each.items()
            }
            for metric, each in derived.items()
        }
        everything = [*values.values(), *apart_by_segment, *(each for one in tested.values() for each in one.values())]
        varied = {"drift_score": values, "missing_share": missing, **tested}
        return {
            "derived": {
                metric: {
                    name: [None if each.bins.knots is None else each.bins.knots.tolist(), each.counts.tolist()]
                    for name, each in one.items()
                }
                for metric, one in tested.items()
            },
            "null": null_distributions(everything, len(frame), self.seed),
            "overdispersion": overdispersion(varied, healthy, len(frame), self.seed),
        }

    @cached_property
    def relations(self) -> Relations | None:
        """How columns go together; None where there are too few rows or columns to tell."""
        found = self.summary["relations"]
        return None if found is None else Relations.from_dict(found)

    @cached_property
    def derived(self) -> dict[str, dict[str, tuple[Bins, np.ndarray]]]:
        """Bins and counts of what is derived from columns, by metric and column: `relation_score`, `relation_agreement` and `digits_score`."""
        return {
            metric: {
                name: (DIGITS if knots is None else Bins(np.asarray(knots), None), np.asarray(counts))
                for name, (knots, counts) in each.items()
            }
            for metric, each in self.summary["derived"].items()
        }

    def tempered(self, metric: str, column: str | None, p_value: float, rows: int) -> float:
        """A p-value for a window of `rows` rows, in the light of how much healthy production varies."""
        found = self.summary["overdispersion"]
        factor = found["factors"].get(metric, {}).get(column, 1.0) if found else 1.0
        return tempered(p_value, factor, found["rows"], rows) if factor > 1 else p_value

    def independent_tests(self, rows: int) -> float:
        """As how many independent tests everything that is tested of a window of `rows` rows counts."""
        if rows not in self._tests:
            self._tests[rows] = independent_tests(self.null, rows)
        return self._tests[rows]

    def _calibration(self, data: Outcomes) -> Any:
        if data.probability is None:
            return None
        if self.task == "binary":
            return estimation.calibrate(data.probability, data.label)
        return [
            estimation.calibrate(data.probability[:, index], (data.label == name).astype(float))
            for index, name in enumerate(data.classes)
        ]

    def estimate(self, frame: pd.DataFrame, known: pd.Series | None = None) -> dict[str, Measured]:
        """Performance of the rows of `frame` (in the reference's sorts) as the estimator expects it, without their labels.

        known: labels of rows of `frame` that came already, missing elsewhere: these are taken as they are.
        """
        if not self.summary["labelled"]:
            return {}
        if self.task == "regression":
            return self._estimate_regression(frame, known)
        line = self.summary["calibration"]
        if line is None:
            return {}
        said = predicted(frame, self.columns, self.task)
        table = probabilities(frame, self.columns)
        usable_rows = table.notna().all(axis=1) & said.notna()
        if usable_rows.sum() < 2:
            return {}
        scores = table[usable_rows].to_numpy()
        said, weight = said[usable_rows], _weight(frame[usable_rows], self.columns)
        truth = None if known is None else known[usable_rows]
        if self.task == "binary":
            chance = estimation.calibrated(scores[:, 0], line)
            if truth is not None:
                there = truth.notna().to_numpy()
                chance[there] = is_positive(truth, self.columns.positive).to_numpy()[there]
            return estimation.estimate_binary(scores[:, 0], said.to_numpy(dtype=float), chance, weight)
        places = {name: index for index, name in enumerate(self.columns.probabilities)}
        chances = np.column_stack([estimation.calibrated(scores[:, index], line[index]) for index in places.values()])
        chances = chances / chances.sum(axis=1, keepdims=True)
        if truth is not None:
            texts = canonical_text(truth)
            there = texts.isin(places).to_numpy()
            chances[there] = np.eye(len(places))[texts[there].map(places).to_numpy(dtype=int)]
        inside = said.isin(places).to_numpy()
        return estimation.estimate_multiclass(
            scores[inside], chances[inside], said[inside].map(places).to_numpy(dtype=int),
            None if weight is None else weight[inside],
        )  # fmt: skip

    def estimate_now(
        self, frame: pd.DataFrame, recent: Recent | None, known: pd.Series | None, window: Stretch
    ) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """As `estimate`, corrected by how far it was off in stretches of late; and these corrections, by metric. window: when the rows were predicted."""
        plain = self.estimate(frame, known)
        told: dict[str, list[tuple[float, float, float]]] = {}
        if recent is not None and plain:
            told = self._told(recent, window, 0.0 if known is None else float(known.notna().mean()))
        corrections = {
            name: _correction(name, plain[name], each, window.middle) for name, each in told.items() if name in plain
        }
        return plain | {name: _corrected(plain[name], each) for name, each in corrections.items()}, corrections

    def _told(self, recent: Recent, window: Stretch, known: float) -> dict[str, list[tuple[float, float, float]]]:
        """By metric, how far the estimate of such a window was off in stretches of late: time, difference and its error.

        known: the share of the window's rows whose labels are known. In ripe stretches as many labels are taken as known as had come as
        early. Of younger stretches only rows with labels are there: what these say is set right by what rows with such early labels said
        of ripe stretches as a whole.
        """
        ripe, young = recent.stretches()
        parts = [recent.frame.iloc[each.rows] for each in ripe]
        realised = [measure(outcomes(part, self.columns, self.task)) for part in parts]
        left, early = 1 - known, []
        for each, part, found in zip(ripe, parts, realised, strict=True):
            labels = self._early_labels(recent, each, window) if known > 0 and recent.known_at is not None else None
            scale = left if known > 0 and labels is None else 1.0
            off = _off(found, self.estimate(part, labels))
            early.append({name: (scale * value, left**0.5 * error) for name, (value, error) in off.items()})
        told: dict[str, list[tuple[float, float, float]]] = {}
        for each, found_off in zip(ripe, early, strict=True):
            for name, pair in found_off.items():
                told.setdefault(name, []).append((each.middle, *pair))
        last = list(zip(ripe, parts, early, strict=True))[-correction.ALIKE :]
        for each in young if len(last) >= correction.FEWEST_ALIKE else []:
            seen = self._difference(recent.frame.iloc[each.rows])
            alike = [(off, self._difference(part[recent.known_as_early(one, each)])) for one, part, off in last]
            for name, (value, error) in seen.items():
                rest = [off[name][0] - left * some[name][0] for off, some in alike if name in off and name in some]
                if len(rest) >= correction.FEWEST_ALIKE:
                    more, doubt = correction.usual(np.array(rest))
                    pair = left * value + more, float(np.hypot(left * error, doubt))
                    told.setdefault(name, []).append((each.middle, *pair))
        return told

    def _early_labels(self, recent: Recent, ripe: Stretch, window: Stretch) -> pd.Series:
        """The labels of a ripe stretch that would be known by now, had it been the window; missing elsewhere."""
        assert self.columns.label is not None
        labels: pd.Series = recent.frame[self.columns.label].iloc[ripe.rows]
        return labels.astype(object).where(recent.known_as_early(ripe, window), None)

    def _difference(self, part: pd.DataFrame) -> dict[str, tuple[float, float]]:
        return _off(
            measure(outcomes(part, self.columns, self.task)) if len(part) else {},
            self.estimate(part),
        )

    def _estimate_regression(self, frame: pd.DataFrame, known: pd.Series | None) -> dict[str, Measured]:
        said = predicted(frame, self.columns, self.task)
        usable = frame[said.notna()]
        if not self.loss_models or len(usable) < 2:
            return {}
        inputs, errors = self.encoded(usable), np.full(len(usable), np.nan)
        if known is not None:
            errors = (
                (pd.to_numeric(known[usable.index], errors="coerce") - said[usable.index]).abs().to_numpy(dtype=float)
            )
        there, weight = np.isfinite(errors), _weight(usable, self.columns)
        absolute, squared = (
            mean(
                np.where(there, errors**power, estimation.expected_loss(model, inputs)),
                weight,
                np.where(there, 0.0, noise),
            )
            for power, (model, noise) in enumerate(self.loss_models, 1)
        )
        root = float(np.sqrt(squared.value))
        error = None if squared.error is None or root == 0 else squared.error / (2 * root)
        return {"estimated_mae": absolute, "estimated_rmse": Measured(root, error)}

    def _absolute_errors(self, frame: pd.DataFrame) -> pd.Series:
        assert self.columns.label is not None
        errors: pd.Series = (
            pd.to_numeric(frame[self.columns.label], errors="coerce") - predicted(frame, self.columns, "regression")
        ).abs()
        return errors

    def _importance(self, metric: str) -> dict[str, float]:
        """Permutation importance on a surrogate of the model (Breiman, 2001), in units of the metric's loss."""
        names = [name for name in self.features if self.sorts[name] in ("numerical", "categorical", "boolean")]
        if not names or self.task == "multiclass":
            return {}
        label = self.columns.label
        assert label is not None
        said = (
            self.frame[self.columns.probabilities[""]]
            if self.columns.probabilities
            else predicted(self.frame, self.columns, self.task)
        )
        rows = self.frame[self.frame[label].notna() & said.notna()]
        if len(rows) > _IMPORTANCE_ROWS:
            rows = rows.sample(_IMPORTANCE_ROWS, random_state=self.seed)
        score = said[rows.index].to_numpy(dtype=float)
        data = outcomes(rows, self.columns, self.task)
        inputs = estimation.encode(rows[names], self.summary["codes"])
        surrogate = estimation.gradient_boosting(inputs, score, self.seed)
        usual = surrogate.predict(inputs)
        before = measure(data)[metric].value
        random = np.random.default_rng(self.seed)
        result = {}
        for index, name in enumerate(names):
            shuffled = inputs.copy()
            shuffled[:, index] = random.permutation(shuffled[:, index])
            after = measure(self._answering(data, score + surrogate.predict(shuffled) - usual))[metric].value
            result[name] = max(loss(metric, before, after), 0.0)
        return result

    def _answering(self, data: Outcomes, score: np.ndarray) -> Outcomes:
        """The same rows, had the model answered with `score`."""
        if self.task == "regression":
            return Outcomes(data.task, data.label, score, None)
        probability = np.clip(score, 0, 1)
        said = (probability >= self.columns.decision_threshold).astype(float)
        return Outcomes(data.task, data.label, said, probability if self.columns.probabilities else None)


def _off(realised: dict[str, Measured], expected: dict[str, Measured]) -> dict[str, tuple[float, float]]:
    """By the estimate's name, how far realised metrics are from the expected ones, and the error of that; of losses their logarithms."""
    found = {}
    for name, usual in expected.items():
        metric = name.removeprefix("estimated_")
        real = realised.get(metric)
        if real is not None and real.error and min(real.value, usual.value) > 0:
            if metric in HIGHER_IS_BETTER:
                found[name] = (real.value - usual.value, real.error)
            else:
                found[name] = (float(np.log(real.value / usual.value)), real.error / real.value)
    return found


def _correction(name: str, plain: Measured, told: list[tuple[float, float, float]], at: float) -> Measured:
    """What is to be added to an estimate, by what is told of stretches of late, and how doubtful that is. at: its time, in days."""
    change, doubt = correction.forecast(np.array(told), at)
    if name.removeprefix("estimated_") in HIGHER_IS_BETTER:
        return Measured(float(np.clip(plain.value + change, 0.0, 1.0)) - plain.value, doubt)
    return Measured(plain.value * float(np.expm1(change)), doubt * plain.value * float(np.exp(change)))


def _corrected(plain: Measured, by: Measured) -> Measured:
    return Measured(
        plain.value + by.value, None if plain.error is None else float(np.hypot(plain.error, by.error or 0.0))
    )


def infer_task(frame: pd.DataFrame, columns: Columns) -> str:
    """The task that columns and labels speak of. Raises UsageError if they do not tell."""
    if isinstance(columns.probability, dict):
        return "multiclass"
    if columns.probability is not None:
        return "binary"
    column = columns.label if columns.label is not None and columns.label in frame else columns.prediction
    if column is None or column not in frame:
        raise UsageError("the task cannot be told: name it, or the label or prediction column")
    values = frame[column].dropna()
    if sort_of(values) == "numerical" and values.nunique() > 10:
        return "regression"
    return "binary" if values.nunique() <= 2 else "multiclass"


def _weight(frame: pd.DataFrame, columns: Columns) -> np.ndarray | None:
    weights = weights_of(frame, columns)
    return None if weights is None else weights.to_numpy()


def _check_columns(frame: pd.DataFrame, columns: Columns, what: str) -> None:
    if len(frame) == 0:
        raise DataError(f"{what} has no rows")
    needed = [
        name
        for name in (columns.prediction, *columns.probabilities.values(), *(columns.features or ()), *columns.segments)
        if name is not None
    ]
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise DataError(
            f"{what} has no column {', '.join(map(repr, absent))}; its columns are: {', '.join(map(str, frame.columns))}"
        )
    if columns.prediction is None and not columns.probabilities:
        raise DataError(
            f"{what} has neither a prediction nor a probability column; its columns are: {', '.join(map(str, frame.columns))}"
        )


def _kept(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """The columns that the analysis looks at: no ids, no times."""
    roles = [columns.prediction, *columns.probabilities.values(), columns.label, *columns.segments]
    wanted = [
        *columns.feature_names([str(name) for name in frame.columns]),
        *(name for name in roles if name is not None),
    ]
    return [name for name in dict.fromkeys(wanted) if name in frame.columns]


def _longest_run(values: pd.Series) -> int:
    """How many rows in a row, in the order of time, hold the same value: a month is the same for weeks."""
    present = values.dropna()
    return int((present != present.shift()).cumsum().value_counts().max()) if len(present) else 0


def _version(frame: pd.DataFrame, healthy: pd.DataFrame | None, columns: Columns, task: str, seed: int) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([columns.to_dict(), task, seed, ANALYSIS_VERSION], sort_keys=True, default=str).encode())
    for each in (frame, healthy):
        if each is not None:
            digest.update(_arrow(each, None))
    return digest.hexdigest()[:32]


def _arrow(frame: pd.DataFrame, compression: str | None) -> bytes:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        table = pa.Table.from_pandas(
            pd.DataFrame(
                {name: canonical_text(frame[name]) if frame[name].dtype == object else frame[name] for name in frame}
            ),
            preserve_index=False,
        )
    sink = io.BytesIO()
    with ipc.new_file(
        sink, table.schema.remove_metadata(), options=ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_table(table.replace_schema_metadata(None))
    return sink.getvalue()
