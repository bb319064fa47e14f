"""Which column of a log plays which part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from monitor.domain.representation import set_fields
from monitor.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

# The neighbours' words for each part, by which columns are guessed and errors explained.
KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "event_time": (
        "event_time",
        "timestamp",
        "prediction_time",
        "prediction_timestamp",
        "predicted_at",
        "scored_at",
        "scoring_time",
        "inference_time",
        "inference_timestamp",
        "sagemaker_inference_time",
        "request_time",
        "request_timestamp",
        "logging_time",
        "log_timestamp",
        "log_time",
        "occurrence_time",
        "event_timestamp",
        "timestamp_utc",
        "timestamp_ms",
        "event_ts",
        "ts_ms",
        "ts",
        "datetime",
        "date_time",
        "time",
        "date",
        "created_at",
        "created",
        "logged_time",
        "recorded_at",
        "anchor_timestamp",
        "unix_time",
        "epoch",
        "epoch_ms",
    ),
    "id": (
        "id",
        "prediction_id",
        "inference_id",
        "sagemaker_inference_id",
        "request_id",
        "row_id",
        "record_id",
        "uuid",
        "event_id",
        "log_id",
        "transaction_id",
        "databricks_request_id",
        "prediction_uuid",
    ),
    "prediction": (
        "prediction",
        "y_pred",
        "pred",
        "predicted",
        "predict",
        "predicted_label",
        "prediction_label",
        "pred_label",
        "score_label",
        "predicted_class",
        "pred_class",
        "predicted_value",
        "y_hat",
        "yhat",
        "decision",
        "forecast",
        "model_output",
        "target_pred",
    ),
    "probability": (
        "probability",
        "y_pred_proba",
        "proba",
        "score",
        "prediction_proba",
        "prediction_probas",
        "prediction_probability",
        "predicted_proba",
        "y_score",
        "prob",
        "y_prob",
        "y_proba",
        "predicted_probability",
        "model_score",
        "prediction_score",
        "risk_score",
        "propensity",
        "true_prob",
    ),
    "label": (
        "label",
        "target",
        "y_true",
        "ground_truth",
        "actual",
        "actuals",
        "actual_value",
        "actual_label",
        "true_label",
        "outcome",
        "observed",
        "y",
        "truth",
        "clf_target",
    ),
    "label_time": (
        "label_time",
        "labeled_at",
        "labelled_at",
        "label_timestamp",
        "target_time",
        "outcome_time",
        "observed_at",
    ),
    "model_version": ("model_version", "version", "deployed_model_id", "served_entity_id"),
}
# Of rankings: the query whose items are ordered together, and the item. Looked for where rows are lists.
QUERY_NAMES = ("query_id", "qid", "search_id", "srch_id", "list_id", "search")
# Of forecasts: when one was made, and the time that it is of.
ISSUE_NAMES = (
    "issued_at",
    "issue_time",
    "forecast_issued_at",
    "forecast_made_at",
    "forecast_origin",
    "origin_time",
    "made_at",
    "cutoff",
    "init_time",
)
TARGET_NAMES = ("target_time", "valid_time", "forecast_for", "target_date", "ds", "event_time", "timestamp", "date")
LOWER_NAMES = ("lower", "low", "yhat_lower", "prediction_lower", "lower_bound", "p05", "q05", "p10", "q10")
UPPER_NAMES = ("upper", "high", "yhat_upper", "prediction_upper", "upper_bound", "p95", "q95", "p90", "q90")
SERIES_NAMES = ("series", "series_id", "unique_id", "store_id", "sku", "station", "site_id", "shop")
ITEM_NAMES = ("item_id", "doc_id", "document_id", "product_id", "prop_id", "movie_id", "candidate_id", "item")


# `fraud_probability`, `churn_score`: where there is one such column of fractions, it is the probability.
_SCORE = re.compile(r"_(probability|proba|prob|score)$")
# `predicted_price`, `price_pred`, and what it came to.
_PREDICTED = re.compile(r"^(predicted|pred|prediction)_|_(pred|predicted|prediction|forecast|yhat)$")
_ACTUAL = re.compile(r"^(actual|true|observed)_|_(actual|label|true|outcome)$")
# Objects that hold what went into a model, and what came out.
_INPUTS = re.compile(r"(?i)(^|[._])(inputs?|features?|instances?|request|payload|x)$")
_OUTPUTS = re.compile(r"(?i)(^|[._])(outputs?|predictions?|response|results?|y)$")
# How many rows each row stands for, where classes were sampled separately.
WEIGHT = "monitor_weight"
# Of forecasts: hours from issue to target; the target time in days; the error of the naive forecast of a row's series.
HORIZON, TARGET, SCALE = "horizon_hours", "monitor_target", "monitor_scale"


@dataclass(frozen=True, repr=False)
class Columns:
    """Names the columns of a frame: one row a prediction.

    prediction: the predicted class or value. May be absent beside a probability, then `decision_threshold` decides.
    probability: the column with the probability of `positive`, or for multiclass a mapping of class to column.
    positive: the class that `probability` speaks of; needs no name where labels are a known pair
        (`domain.positive.certain_positive`).
    embeddings: columns that each hold one number of a vector, by the name under which the vector is a feature.
    features: the model's inputs; every column without another part if not given.
    query, item: of a ranking, the column whose rows are one list, and the column that names what is listed. The
        prediction is the score: the highest comes first. top: how many items at the top count, 10 if not given.
    issued_at: of a forecast, the column that says when it was made; `event_time` is then the time that it is of.
        series: the column that names what is forecast. lower, upper: the columns of the prediction interval, which
        `coverage` of the actual values should lie in (0.9 if not given). season: how long one is, such as `7d`; found
        by the best naive forecast if not given. A feature `horizon_hours` is made of both times.
    segments: columns whose values are looked at one by one.
    attributions: the columns of logged attributions (such as SHAP values): by feature, or a pattern such as
        `shap_{feature}`. They are no features.
    ignore, sensitive: columns left out; columns whose values are replaced by keyed hashes right after reading.
    """

    prediction: str | None = None
    probability: str | Mapping[str, str] | None = None
    positive: Any = None
    decision_threshold: float = 0.5
    label: str | None = None
    event_time: str | None = None
    id: str | None = None
    label_time: str | None = None
    logged_at: str | None = None
    model_version: str | None = None
    weight: str | None = None
    query: str | None = None
    item: str | None = None
    top: int | None = None
    issued_at: str | None = None
    series: str | None = None
    lower: str | None = None
    upper: str | None = None
    coverage: float | None = None
    season: str | None = None
    segments: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    embeddings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributions: str | Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return set_fields(self)

    def __post_init__(self) -> None:
        for name in ("segments", "ignore", "sensitive", "features"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise UsageError(f"Columns.{name} takes a list of column names, not the text '{value}'")
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        if isinstance(self.attributions, str) and self.attributions.count("{feature}") != 1:
            raise UsageError(f"Columns.attributions: '{self.attributions}' does not hold {{feature}} once")
        object.__setattr__(self, "embeddings", {name: tuple(parts) for name, parts in self.embeddings.items()})

    @property
    def top_items(self) -> int:
        """How many items at the top of a list count."""
        return 10 if self.top is None else self.top

    @property
    def nominal_coverage(self) -> float:
        """The share of actual values that should lie in the prediction interval."""
        return 0.9 if self.coverage is None else self.coverage

    @property
    def season_days(self) -> float | None:
        """How long a season is, in days; None if it is to be found. Raises UsageError for a text that is no length."""
        if self.season is None:
            return None
        number = re.fullmatch(r"(\d+(?:\.\d+)?)(h|d|w)", self.season)
        if number is None:
            raise UsageError(f"'{self.season}' is no season: write it as 24h, 7d or 52w")
        return float(number[1]) * {"h": 1 / 24, "d": 1.0, "w": 7.0}[number[2]]

    @property
    def made(self) -> tuple[str, ...]:
        """The columns that are worked out of others, and are no features: of a forecast its time and scale."""
        return () if self.issued_at is None else (TARGET, SCALE)

    @property
    def weights(self) -> tuple[str, ...]:
        """The columns by which rows are weighted: the user's own, and that of sampling by class."""
        return (WEIGHT,) if self.weight is None else (self.weight, WEIGHT)

    @property
    def probabilities(self) -> dict[str, str]:
        """The probability columns by class; for a binary model one entry under ''."""
        if self.probability is None:
            return {}
        return {"": self.probability} if isinstance(self.probability, str) else dict(self.probability)

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns that play a part of their own and so are no features."""
        single = (
            self.prediction,
            self.label,
            self.event_time,
            self.id,
            self.label_time,
            self.logged_at,
            self.model_version,
            self.weight,
            self.query,
            self.item,
            self.issued_at,
            self.lower,
            self.upper,
        )
        return (*(name for name in single if name is not None), *self.probabilities.values(), *self.ignore, *self.made)

    @property
    def vector_parts(self) -> tuple[str, ...]:
        """The columns that hold one number of a vector each."""
        return tuple(part for parts in self.embeddings.values() for part in parts)

    def attribution_columns(self, names: Iterable[str]) -> dict[str, str]:
        """The columns of attributions among `names`, by feature."""
        names = list(names)
        if self.attributions is None:
            return {}
        if not isinstance(self.attributions, str):
            return {feature: name for feature, name in self.attributions.items() if name in names}
        before, after = self.attributions.split("{feature}")
        inner = {name[len(before) : len(name) - len(after)]: name for name in names if self._is_attribution(name)}
        return {feature: name for feature, name in inner.items() if feature in names}

    def _is_attribution(self, name: str) -> bool:
        if self.attributions is None:
            return False
        if not isinstance(self.attributions, str):
            return name in self.attributions.values()
        before, after = self.attributions.split("{feature}")
        return name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every column that is named, whatever its part."""
        return (
            *self.parts,
            *self.segments,
            *self.sensitive,
            *(self.features or ()),
            *self.embeddings,
            *self.vector_parts,
        )

    def feature_names(self, names: list[str]) -> list[str]:
        """The features among `names`, in their order there (or as given in `features`)."""
        horizon = [] if self.issued_at is None else [HORIZON]
        if self.features is not None:
            return list(dict.fromkeys([*self.features, *horizon]))
        other_parts = {*self.parts, *self.vector_parts, *self.attribution_columns(names).values()}
        return [name for name in dict.fromkeys([*names, *self.embeddings, *horizon]) if name not in other_parts]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without what is not set."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value not in (None, (), {})
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Columns:
        """The inverse of `to_dict`."""
        return cls(**{parameter.name: values[parameter.name] for parameter in fields(cls) if parameter.name in values})

    @classmethod
    def infer(cls, frame: pd.DataFrame) -> Columns:
        """Guess the parts from names and types, by this field's usual words; `describe()` shows the result."""
        return guess_columns({str(name): str(kind) for name, kind in frame.dtypes.items()})

    def describe(self) -> str:
        """What plays which part, in one line."""
        parts = [f"{part}={getattr(self, part)}" for part in KNOWN_NAMES if getattr(self, part) is not None]
        return ", ".join(parts) or "no part was recognised"


def guess_columns(types: Mapping[str, str]) -> Columns:
    """Guess the parts from column names and type names (pandas' or SQL's). Case and punctuation do not count. Of
    `outputs.score` the last part alone is compared, too.
    """
    plain: dict[str, str] = {}
    for spelled in (
        {_plain(name): name for name in types},
        {word: name for name in types if (word := _last_part(name))},
    ):
        plain = spelled | plain
    names_by_part: dict[str, str] = {}
    for part, words in KNOWN_NAMES.items():
        for word in words:
            name = plain.get(_plain(word))
            if name is not None and name not in names_by_part.values():
                names_by_part[part] = name
                break
    if "probability" not in names_by_part:
        scores = [
            name
            for name, kind in types.items()
            if _SCORE.search(name.lower()) and _is_fraction(kind) and _last_part(name)
        ]
        scores = [name for name in scores if name not in names_by_part.values()]
        if len(scores) == 1:
            names_by_part["probability"] = scores[0]
    for part, pattern in (("prediction", _PREDICTED), ("label", _ACTUAL)):
        names = [
            name
            for name in types
            if pattern.search(name.lower()) and not _SCORE.search(name.lower()) and _last_part(name)
        ]
        names = [name for name in names if name not in names_by_part.values()]
        if part not in names_by_part and len(names) == 1:
            names_by_part[part] = names[0]
    if "label" not in names_by_part and "prediction" in names_by_part:  # `predicted_churn` is of `churn`
        target = _PREDICTED.sub("", names_by_part["prediction"].lower())
        name = plain.get(_plain(target))
        if target != names_by_part["prediction"].lower() and name is not None and name not in names_by_part.values():
            names_by_part["label"] = name
    if "event_time" not in names_by_part:
        times = [name for name, kind in types.items() if "time" in kind.lower() or kind.lower().startswith("date")]
        times = [name for name in times if name not in names_by_part.values()]
        if len(times) == 1:
            names_by_part["event_time"] = times[0]
    return Columns(**names_by_part)  # type: ignore[arg-type]


def _last_part(name: str) -> str:
    """The plain name of a column without the name of its object: '' for an input of the model, `prediction` for a label
    that the model returned.
    """
    group, dot, last = name.rpartition(".")
    if not dot:
        return _plain(name)
    if _INPUTS.search(group):
        return ""
    word = _plain(last)
    is_answer = _OUTPUTS.search(group) is not None and word in {"label", "class", "target", "value"}
    return "prediction" if is_answer else word


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_fraction(kind: str) -> bool:
    return any(word in kind.lower() for word in ("float", "double", "decimal", "numeric", "real"))


def name_range(text: str) -> list[str]:
    """The names that `f0..f767` stands for, both ends among them; a name without `..` stands for itself. Raises
    UsageError for ends that do not fit.
    """
    first, dots, last = text.partition("..")
    if not dots:
        return [text]
    ends = [re.fullmatch(r"(.*?)(\d+)", end) for end in (first, last)]
    if ends[0] is None or ends[1] is None or ends[0][1] != ends[1][1] or int(ends[0][2]) > int(ends[1][2]):
        raise UsageError(f"'{text}' is no range of names: write it as f0..f767")
    width = len(ends[0][2]) if ends[0][2].startswith("0") else 0
    return [f"{ends[0][1]}{number:0{width}d}" for number in range(int(ends[0][2]), int(ends[1][2]) + 1)]
