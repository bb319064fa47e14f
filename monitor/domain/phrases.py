"""The sentences that people read about a window: one function a kind of finding, one fact a sentence, in the words of
the field.

Names and values of the log come in as data and are quoted. Shares are between 0 and 1. docs/reference/glossary.md
explains the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from monitor.domain.text import listed, quoted, shown

# Metrics as people write them; the others are written as they are in the configuration.
METRIC_NAMES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "log_loss": "log loss",
    "brier_score": "Brier score",
    "calibration_error": "calibration error",
    "tnr": "true negative rate",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE",
    "mean_error": "mean error",
    "r2_score": "R²",
    "abs_max_error": "largest absolute error",
    "ndcg": "NDCG",
    "map": "mean average precision",
    "mrr": "mean reciprocal rank",
    "hit_rate": "hit rate",
    "recall_at_k": "recall at k",
    "precision_at_k": "precision at k",
    "mase": "MASE",
    "interval_coverage": "coverage of the prediction intervals",
    "coverage_error": "coverage of the prediction intervals, above or below what was promised",
    "revision": "mean revision of a forecast",
    "item_coverage": "share of the usual items at the top",
    "novelty": "novelty of the items at the top",
    "weak_segment": "loss of the weakest segment",
    "row_count": "number of rows",
    "volume_share": "share of the usual rows",
    "duplicate_id_share": "share of repeated ids",
    "null_id_share": "share of rows without an id",
    "unmatched_label_share": "share of labels without a prediction",
    "early_label_share": "share of labels before their prediction",
    "labelled_share": "share of predictions with a label",
    "unreadable_label_share": "share of labels that cannot be read",
    "missing_share": "share of missing values",
    "type_mismatch_share": "share of values of another type",
    "infinite_share": "share of infinite values",
    "out_of_range_share": "share of values out of range",
    "new_category_share": "share of new categories",
    "unique_count": "number of different values",
    "unusable_prediction_share": "share of unusable predictions",
}
# Metrics in the unit of the label: their change is also written in percent.
_IN_UNITS = ("mae", "rmse")


def sentence(text: str) -> str:
    """A clause as a sentence: a capital first, a full stop last."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '…')) else '.'}" if text else ""


def sentences(*texts: str) -> str:
    """Clauses as sentences, those that are empty left out."""
    return " ".join(sentence(text) for text in texts if text)


def first_sentence(text: str) -> str:
    """The first sentence without its full stop. Full stops within quotes end none."""
    return _until(text, ". ")


def first_clause(text: str) -> str:
    """The first sentence without what follows a semicolon or stands in brackets, and what is in quotes as it is."""
    return _until(text, ". ", "; ", " (")


def before_colon(text: str) -> str:
    """The text before its first colon, and what is in quotes as it is."""
    return _until(text, ": ")


def _until(text: str, *stops: str) -> str:
    """The text before the first of these that stands outside of quotes, without a full stop at its end."""
    inside = False
    for place, character in enumerate(text):
        if character == "'" and (place == 0 or inside or not text[place - 1].isalnum()):
            inside = not inside
        if place and not inside and text.startswith(stops, place):
            return text[:place]
    return text if inside or text == "." else text.removesuffix(".")


def of_top_items(metric: str, value: float, usual: float) -> str:
    """A number of the items at the top of a ranking's lists, beside that of as many lists of the reference."""
    return f"The {metric_name(metric)} is {value:.3g}; in the reference it is {usual:.3g}"


def revisions(value: float, usual: float) -> str:
    """How far forecasts are from those that were issued before them, beside the reference."""
    return f"Forecasts are revised by {number(value)} on average; in the reference by {number(usual)}"


def metric_name(metric: str) -> str:
    """A metric as people write it."""
    base = metric.removeprefix("estimated_")
    name = METRIC_NAMES.get(base, base.replace("_", " "))
    return name if base == metric else f"estimated {name}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share:.1%}"


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, written out: 12,300 and 0.0123."""
    return f"{float(f'{value:.{digits}g}'):,.12g}"


def counted(number: int, noun: str) -> str:
    """How many there are: 1 row, 2 rows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def amount(cost: float, metric: str) -> str:
    """So much of a metric."""
    return f"{number(cost, 2)} {metric_name(metric)}"


def from_to(before: str, after: str, *, rose: bool) -> str:
    """How a value moved."""
    return f"{'rose' if rose else 'fell'} from {before} to {after}"


# -- checks --------------------------------------------------------------------------------------------------------


def check_name(metric: str, column: str = "", segment: str = "", model_version: str = "") -> str:
    """What a check is of. segment: COLUMN=VALUE; '' for what there is none of."""
    name = metric_name(metric) + (f": {quoted(column)}" if column else "")
    return _of_segment(name, segment) + (f" (model version {shown(model_version)})" if model_version else "")


def checked(
    value: float,
    interval: tuple[float, float] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    p_value: float | None = None,
) -> str:
    """The value of a check, its interval, its lower and upper limit, and its p-value."""
    chance = "" if interval is None else f" (allowing for chance, {number(interval[0], 4)} to {number(interval[1], 4)})"
    parts = [f"the value is {number(value, 4)}{chance}"]
    if None not in limits:
        parts.append(f"the limits are {' and '.join(number(limit, 4) for limit in limits if limit is not None)}")
    parts += [
        f"the {side} limit is {number(limit, 4)}"
        for side, limit in zip(("lower", "upper"), limits, strict=True)
        if limit is not None and None in limits
    ]
    if p_value is not None:
        parts.append(f"the p-value is {'below 0.001' if p_value < 0.001 else number(p_value, 2)}")
    return "; ".join(parts)


def undecided(verdict: str, reason: str) -> str:
    """That a check has no answer, and why."""
    words = "could not be checked" if verdict == "could_not_check" else "too little data"
    return f"{words}: {reason}" if reason else words


# -- performance ---------------------------------------------------------------------------------------------------


def performance(metric: str, segment: str | None, value: float, before: float) -> str:
    """A metric of the model beside the reference's. segment: COLUMN=VALUE."""
    name = _of_segment(metric_name(metric), segment or "")
    change = value - before
    if abs(change) < 0.0005 * max(abs(before), abs(value), 1e-12):
        return f"{name} is {number(value)}, as in the reference"
    share = ""
    if metric.removeprefix("estimated_") in _IN_UNITS and before:
        share = f" ({abs(change / before):.0%})"
    return (
        f"{name} is {number(value)}, {'up' if change > 0 else 'down'} {number(abs(change), 2)}{share} from"
        f" {number(before)} in the reference"
    )


def _of_segment(name: str, segment: str) -> str:
    return f"{name} where {segment.replace('=', ' = ', 1)}" if segment else name


def uncertainty(lowest: float, highest: float, limit: float | None) -> str:
    """The range of the true loss, and the loss from which on somebody is notified. Losses above zero are worse."""
    if lowest >= 0:
        between = f"it is worse by {number(lowest, 2)} to {number(highest, 2)}"
    elif highest <= 0:
        between = f"it is better by {number(-highest, 2)} to {number(-lowest, 2)}"
    else:
        between = f"it lies between {number(-lowest, 2)} better and {number(highest, 2)} worse"
    return f"allowing for chance, {between}{allowed(limit)}"


def weak_segment(rule: str, share: float, share_of_loss: float | None) -> str:
    """That a part of the rows carries a loss. rule: the conditions of these rows. share: of the rows; share_of_loss:
    their part of what all rows lose; None where all rows together lose nothing.
    """
    if share_of_loss is None:
        return f"the model is worse where {rule}, {percent(share)} of the rows; in all rows together it is not"
    return f"{share_of_loss:.0%} of the loss is where {rule}, {percent(share)} of the rows"


def weak_segment_loss(metric: str, value: float, expected: float, lowest: float, highest: float) -> str:
    """How bad the rows of a segment are beside what the reference expects of such rows."""
    text = (
        f"the {metric_name(metric)} there is {number(value)}; in the reference these rows have about {number(expected)}"
    )
    return sentences(text, uncertainty(lowest, highest, None))


def segment_harms(parts: Iterable[tuple[float, str]]) -> str:
    """What a segment costs the whole model: amount and metric of each."""
    return f"it costs the model {' and '.join(amount(cost, metric) for cost, metric in parts)}"


def no_weak_segment(rule: str) -> str:
    """That no segment is worse for certain."""
    return f"no segment is worse than in the reference by more than chance; the most likely one is where {rule}"


def allowed(limit: float | None) -> str:
    """The loss from which on somebody is notified."""
    return "" if limit is None else f"; the limit is {number(limit, 2)}"


def function_version(source: str) -> str:
    """Which function a metric of the user's own is, and its version; '' where it is none."""
    return f"it is worked out by {source}" if source else ""


def money(value: float, currency: str) -> str:
    """An amount of money, about."""
    return f"{number(value, 3)} {shown(currency) if currency else ''}".strip()


def money_of_window(excess: float, limits: tuple[float | None, float | None], currency: str) -> str:
    """What the model's mistakes cost in a window, beside the same number of rows of the reference."""
    what = "more" if excess >= 0 else "less"
    text = f"in money: about {money(abs(excess), currency)} {what} in this window than in the reference"
    low, high = limits
    return text if low is None or high is None else f"{text} ({number(low, 3)} to {number(high, 3)})"


def money_lost(
    value: float,
    limits: tuple[float, float],
    a_week: float,
    currency: str,
    since: datetime,
    *,
    estimated: bool,
) -> str:
    """What mistakes have cost since a time, more than on the reference, and what a week of waiting costs."""
    between = f"({number(limits[0], 3)} to {number(limits[1], 3)})"
    labels = "; some of it is estimated, as labels have not come" if estimated else ""
    if value <= 0:
        return (
            f"about {money(-value, currency)} less lost than in the reference since {since:%Y-%m-%d} {between}{labels}"
        )
    waiting = f"waiting a week costs about {money(a_week, currency)}"
    return f"about {money(value, currency)} lost since {since:%Y-%m-%d} {between}; {waiting}{labels}"


def no_reference(metric: str, value: float) -> str:
    """A metric that the reference has no value of."""
    return f"{metric_name(metric)} is {number(value)}; the reference has no value to compare it with"


def corrected(by: float, *, doubtful: bool) -> str:
    """An estimate that recent labels have corrected."""
    text = f"the estimate includes a correction of {by:+.2g} from recent labels"
    return f"{text}, which varies so much that it is not reliable" if doubtful else text


def doubtful_estimate(error: float, limit: float) -> str:
    """Why an estimate that recent labels contradict is not reported."""
    return (
        f"recent labels differed from the estimate by changing amounts: it may be wrong by {number(error, 2)} either"
        f" way, and the limit is {number(limit, 2)}; wait for labels"
    )


def worse_together(metric: str, windows: int) -> str:
    """That several windows show a loss together, though each alone is uncertain."""
    return (
        f"{metric_name(metric)} was worse in the last {windows} windows, on average by more than the limit. Each window"
        " alone is uncertain; together they are not"
    )


def faults_explain(columns: Sequence[str], lost: float, *, rest_is_allowed: bool = False) -> str:
    """That faults in columns are behind a loss, or a part of it."""
    rest = "; the rest is below the limit" if rest_is_allowed else ""
    return f"faults in {listed(columns)} probably explain up to {number(lost, 2)} of the loss{rest}"


def harder_rows() -> str:
    """That a loss was to be seen in the rows themselves."""
    return "likely cause: these rows are harder to predict, and the estimate without labels expected the loss"


def answers_out_of_reach(share: float, low: float, high: float) -> str:
    """That an estimate knows nothing of such predictions."""
    return (
        f"{percent(share)} of the predictions are outside the range of the reference ({number(low)} to {number(high)}),"
        " so without labels their errors cannot be estimated"
    )


def concept_drift(share: float | None) -> str:
    """That a loss was not to be seen in the rows. share: the part of it that was; None for none."""
    expected = "none" if share is None else f"only {share:.0%}"
    return (
        "likely cause: concept drift. The same inputs now have other outcomes; the estimate without labels expected"
        f" {expected} of the loss"
    )


def too_little_left() -> str:
    """That faults of the data hide whether there is concept drift."""
    return "too little of it is left to tell whether there is concept drift"


def costs(parts: Iterable[tuple[float, str]], *, if_fault: bool = False) -> str:
    """What a fault costs the model: amount and metric of each."""
    amounts = " and ".join(amount(cost, metric) for cost, metric in parts)
    return f"{'if it is a fault, it' if if_fault else 'it'} probably costs the model {amounts}"


def joint_cost(columns: Sequence[str], cost: float, metric: str) -> str:
    """What faults of several columns cost together."""
    return (
        f"faults in {len(columns)} columns at once ({listed(columns)}) together probably cost the model up to"
        f" {amount(cost, metric)}"
    )


def repair_gives_back(*, certain: bool, others: Sequence[str] = ()) -> str:
    """That a repair gives the loss back, where it needs that of others with them."""
    what = f"repairing it together with {listed(others)}" if others else "repairing it"
    return f"{what} gives that back" if certain else f"{what} would probably give that back"


def repair_gives_nothing(cost: float, metric: str) -> str:
    """That a repair is of little use."""
    return f"repairing it would gain almost nothing ({amount(cost, metric)})"


def cannot_be_repaired() -> str:
    """That the values are lost."""
    return "the original values cannot be restored"


def rough_cost(explained: float) -> str:
    """That a cost is uncertain."""
    return f"this is a rough figure: the features explain only {explained:.0%} of the predictions"


def known_as_harmless(seen: datetime) -> str:
    """That labels have shown a change to do no harm."""
    return f"the same was seen on {seen:%Y-%m-%d}, and labels then showed no harm to the model"


def unseen_performance(share: float) -> str:
    """That drift counts for more where performance is unknown."""
    return f"the columns that drifted carry {share:.0%} of the feature importance, and performance is unknown"


def origin(name: str) -> str:
    """Where a change comes from: pipeline, world or unknown."""
    return {
        "pipeline": "likely origin: the data pipeline",
        "world": "likely origin: a real change, not the pipeline",
        "unknown": "it may be a fault of the pipeline, but there is too little evidence",
    }[name]


def limit_broken(metric: str, value: float, limit: float, *, over: bool) -> str:
    """That a limit of the user's is broken."""
    return f"the value of {metric} is {number(value)}, {'above' if over else 'below'} your limit {limit:g}"


def _where(segment: tuple[str, str] | None) -> str:
    return "" if segment is None else f" where {shown(segment[0])} = {shown(segment[1])}"


# -- what changed in a column --------------------------------------------------------------------------------------


def attribution(column: str, before: float, after: float) -> str:
    """That the model relies on a feature more or less than before. before, after: its share of all attributions."""
    return (
        f"the model relies {'more' if after > before else 'less'} on {quoted(column)}: its share of the attributions"
        f" {from_to(percent(before), percent(after), rose=after > before)}"
    )


def attribution_order(column: str, place: int, ndcg: float) -> str:
    """That the order of features by attribution is another. column: the first one; place: where it was, from 1."""
    was = "in the reference, too" if place == 1 else f"in the reference it was number {place}"
    return f"the model now relies most on {quoted(column)}; {was}. The NDCG of the order of features is {number(ndcg)}"


def drifted(column: str, segment: tuple[str, str] | None = None) -> str:
    """That a column drifted. segment: the column and value of the rows that are meant."""
    return f"{quoted(column)} drifted{_where(segment)}"


def of_cause(text: str, cause: str) -> str:
    """What a column's finding says, with how the column changed. text: a clause, or sentences."""
    head = first_sentence(text)
    return sentences(f"{head}: {cause}", text[len(head) :].lstrip(". "))


def since(moment: datetime) -> str:
    """When a change began."""
    return f"it began at {moment:%Y-%m-%d %H:%M} UTC"


def together(rows: str) -> str:
    """Which rows are affected."""
    return f"only rows with {rows} are affected"


def in_period(share: float, began: datetime, ended: datetime, text: str) -> str:
    """A change in some rows that follow one another."""
    return f"in {percent(share)} of the rows, from {began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M} UTC, {text}"


def unit_change(factor: float, share: float) -> str:
    """Values in another unit."""
    size = f"{factor:g} times as large as" if factor > 1 else f"{1 / factor:g} times smaller than"
    return f"{percent(share)} of the values are {size} before, as after a change of unit"


def other_scale(before: str, after: str, share: float) -> str:
    """Temperatures on another scale."""
    return f"{percent(share)} of the values are as in {after}, before as in {before}, as after a change of unit"


def stuck(value: str, share: float) -> str:
    """One value in place of others."""
    return f"the value {value} took the place of others in {percent(share)} of the rows"


def placeholder(value: str, share: float) -> str:
    """A value that stands for none."""
    return f"{percent(share)} of the values are {value}, which looks like a placeholder"


def renamed(less: str, more: str, share: float) -> str:
    """A category under another name."""
    return f"{quoted(less)} is gone, and {quoted(more)} is new with the same share ({percent(share)} of the rows)"


def new_value(value: str, share: float) -> str:
    """A category that is new."""
    return f"{quoted(value)} is a new value, in {percent(share)} of the rows"


def swapped_values(first: str, second: str, *, by_others: bool = False) -> str:
    """Two categories in each other's place."""
    return (
        f"{quoted(first)} and {quoted(second)} changed"
        f" places{', as the other columns of their rows show' if by_others else ''}"
    )


def became(less: str, more: str, share: float) -> str:
    """A category that took the place of another one."""
    return f"{quoted(less)} became {quoted(more)} in {percent(share)} of the rows"


def gone(value: str, share: float) -> str:
    """A category that is no longer there."""
    return f"{quoted(value)} is gone; it was in {percent(share)} of the rows"


def shares(rises: tuple[str, float, float], falls: tuple[str, float, float]) -> str:
    """The category that grew most and the one that shrank most: name, share before, share now."""
    parts = [
        f"{quoted(name)} {from_to(percent(before), percent(after), rose=rose)}"
        for rose, (name, before, after) in ((True, rises), (False, falls))
    ]
    return f"{parts[0]} of the rows, {parts[1]}"


def level(
    before: tuple[float, float, float],
    after: tuple[float, float, float],
    middle_half: tuple[float, float] | None = None,
) -> str:
    """Where numbers lie: median, 5th and 95th percentile, before and after. middle_half: the interquartile range before
    and after, of values that spread.
    """
    now, usual = (f"between {number(low, 4)} and {number(high, 4)}" for _, low, high in (after, before))
    ranges = f"90% of the values are {now}, {'as before' if now == usual else f'before {usual}'}"
    if middle_half is not None:
        narrow, wide = middle_half
        return (
            f"the interquartile range {from_to(f'{number(narrow, 4)}', f'{number(wide, 4)}', rose=wide > narrow)};"
            f" {ranges}"
        )
    if f"{number(before[0], 4)}" == f"{number(after[0], 4)}":
        return f"the median is still {number(after[0], 4)}; {ranges}"
    return (
        f"the median {from_to(f'{number(before[0], 4)}', f'{number(after[0], 4)}', rose=after[0] > before[0])};"
        f" {ranges}"
    )


def more_of(column: str, value: str, before: float, after: float) -> str:
    """Rows of a kind of which there are more now."""
    return (
        f"rows with {shown(column)} = {shown(value)} {from_to(percent(before), percent(after), rose=True)}, which"
        " explains most of it"
    )


def swapped_columns(twin: str) -> str:
    """Two columns in each other's place."""
    return (
        f"it now looks as {quoted(twin)} did before, and {quoted(twin)} looks as it did: the two columns seem to be"
        " swapped"
    )


def fewer_decimals() -> str:
    """Numbers that were rounded."""
    return "its numbers have fewer decimals than before"


def more_decimals(share: float | None = None) -> str:
    """Numbers that were worked out anew."""
    return (
        "its numbers have more decimals than before"
        if share is None
        else f"{percent(share)} of its numbers have more decimals than any before"
    )


def other_decimals(column: str) -> str:
    """Numbers that are written in another way."""
    return f"the number of decimals in {quoted(column)} changed"


def calendar(field: str) -> str:
    """A column that follows the calendar."""
    return f"it is the {field}, and follows the calendar"


def ordinary(share: float) -> str:
    """That such periods are usual."""
    return f"{share:.0%} of the earlier periods of this length looked like it"


def relation(column: str) -> str:
    """A column that the others no longer explain."""
    return f"{quoted(column)} no longer goes with the other columns as before"


def correlation(column: str, before: float, after: float) -> str:
    """The relation that changed most."""
    return f"its correlation with {quoted(column)} went from {before:.2f} to {after:.2f}"


# -- quality -------------------------------------------------------------------------------------------------------


def missing(column: str, share: float, before: float, segment: tuple[str, str] | None = None) -> str:
    """Missing values."""
    if share == 1:
        return f"{quoted(column)} is missing in every row{_where(segment)}"
    return (
        f"{quoted(column)} is missing in {percent(share)} of the rows{_where(segment)}; in the reference it was"
        f" {percent(before)}"
    )


def repeated_ids(number: int) -> str:
    """Rows that came before."""
    return f"{counted(number, 'row')} with the id of an earlier row"


def no_ids(number: int) -> str:
    """Rows without an id."""
    return f"{counted(number, 'row')} without an id"


def bad_records(number: int, share: float, example: str) -> str:
    """Records that could not be read."""
    return f"{counted(number, 'record')} could not be read ({share:.2%} of the window), such as: {shown(example)}"


def infinite(column: str, number: int) -> str:
    """Infinite values."""
    return f"{quoted(column)} has {counted(number, 'infinite value')}, counted as missing"


def _bounds(low: float, high: float) -> str:
    return f"{number(low, 4)} to {number(high, 4)}"


def _reach(present: tuple[float, float] | None) -> str:
    return "" if present is None else f"; now they reach from {_bounds(*present)}"


def out_of_range(column: str, share: float, usual: tuple[float, float], present: tuple[float, float] | None) -> str:
    """Numbers beyond the reference's. present: the smallest and largest now."""
    return (
        f"{percent(share)} of the values of {quoted(column)} are outside the range of the reference"
        f" ({_bounds(*usual)}){_reach(present)}"
    )


def new_categories(column: str, share: float, examples: Sequence[object]) -> str:
    """Categories that the reference does not have."""
    named = f": {', '.join(map(quoted, examples))}" if len(examples) else ""
    return f"{percent(share)} of the values of {quoted(column)} are categories that the reference does not have{named}"


def one_value(column: str, value: object) -> str:
    """A column with the same value in all rows."""
    return f"{quoted(column)} is {shown(value)} in every row, where it varied before"


def column_gone(column: str) -> str:
    """A column that is not in the log."""
    return f"column {quoted(column)} is missing from the log"


def columns_new(columns: Sequence[str]) -> str:
    """Columns that the reference does not have."""
    return (
        f"{listed(columns)} {'is a new column' if len(columns) == 1 else 'are new columns'}; the reference does not"
        f" have {'it' if len(columns) == 1 else 'them'}"
    )


def other_type(column: str, share: float, kind: str) -> str:
    """Values that are not of the column's type."""
    return f"{percent(share)} of the values of {quoted(column)} are not {kind}, as they are in the reference"


def same_values(column: str, twin: str) -> str:
    """Two columns that are equal."""
    return f"{quoted(column)} has the same values as {quoted(twin)} in every row; in the reference it does not"


def unusable_predictions(column: str, share: float, number: int, absent: int, examples: Sequence[object]) -> str:
    """Rows without a usable answer. number: of rows that have an answer which is of no use. absent: of rows without
    one.
    """
    parts = [f"{absent} missing"] if absent else []
    parts += [f"{number} such as {', '.join(map(quoted, examples))}"] if len(examples) else []
    return (
        f"the model gave no usable answer in {percent(share)} of the rows ({quoted(column)}:"
        f" {', '.join(parts) or 'none'})"
    )


# -- labels --------------------------------------------------------------------------------------------------------


def unmatched_labels(number: int) -> str:
    """Labels of nothing."""
    return f"{counted(number, 'label')} with an id that no prediction has"


def early_labels(number: int) -> str:
    """Leakage."""
    return f"{counted(number, 'label')} known before the prediction was made (leakage)"


def labels_out_of_range(
    column: str, number: int, rows: int, usual: tuple[float, float], present: tuple[float, float] | None
) -> str:
    """Labels beyond the reference's."""
    return (
        f"{number} of {rows} labels in {quoted(column)} are outside the range of the reference"
        f" ({_bounds(*usual)}){_reach(present)}"
    )


def labels_of_new_classes(column: str, share: float, examples: Sequence[object]) -> str:
    """Classes that the reference does not have."""
    named = f": {', '.join(map(quoted, examples))}" if len(examples) else ""
    return f"{percent(share)} of the labels in {quoted(column)} are of classes that the reference does not have{named}"


def unreadable_labels(
    column: str, number: int, rows: int, examples: Sequence[object], expected: Sequence[object]
) -> str:
    """Labels that cannot be read."""
    usual = ", ".join(map(quoted, expected)) or "numbers"
    return (
        f"{number} of {rows} labels in {quoted(column)} cannot be read: they are {', '.join(map(quoted, examples))};"
        f" the reference has {usual}"
    )


def label_shift(column: str, text: str) -> str:
    """Labels that are distributed in another way."""
    return f"the labels in {quoted(column)} changed: {text}"


def positives(before: float, after: float) -> str:
    """The share of positive labels."""
    return f"positives {from_to(percent(before), percent(after), rose=after > before)}"


def few_labels(labelled: int, rows: int) -> str:
    """Labels that did not come."""
    return (
        f"{labelled or 'none'} of the {rows} predictions {'have' if labelled > 1 else 'has'} a label, though labels"
        " are due"
    )


# -- texts and vectors ---------------------------------------------------------------------------------------------


def texts_differ(column: str, area: float) -> str:
    """Texts that a classifier tells from the reference's."""
    return (
        f"the texts in {quoted(column)} differ from those of the reference (a classifier tells them apart with ROC AUC"
        f" {area:.2f})"
    )


def lengths(characters: tuple[float, float] | None, words: tuple[float, float]) -> str:
    """How long texts are, before and now."""
    in_characters = "" if characters is None else f"{characters[0]:.0f} characters before and {characters[1]:.0f} now, "
    return f"their median length is {in_characters}{words[0]:.0f} words before and {words[1]:.0f} now"


def unseen_words(before: float, after: float) -> str:
    """Words that were never seen."""
    return f"words never seen before {from_to(percent(before), percent(after), rose=after > before)} of all words"


def form_alone() -> str:
    """What is kept of sensitive texts."""
    return "only the form of the texts of a sensitive column is kept"


def vectors_differ(column: str, area: float, dimensions: int, moved: float) -> str:
    """Vectors that a classifier tells from the reference's."""
    return (
        f"the vectors in {quoted(column)} differ from those of the reference (a classifier tells them apart with ROC"
        f" AUC {area:.2f}). The mean of their {dimensions} dimensions moved by {moved:.2g} standard deviations (median)"
    )


# -- the window as a whole -----------------------------------------------------------------------------------------


def no_rows() -> str:
    """Nothing was logged."""
    return "the window has no rows: nothing was logged"


def few_rows(rows: int, expected: float, windows: int, least: float, most: float) -> str:
    """Fewer rows than usual."""
    return (
        f"{counted(rows, 'row')} came, where about {expected:.0f} were expected ({windows} comparable earlier windows"
        f" had {least:.0f} to {most:.0f})"
    )


def misdated(number: int, example: str) -> str:
    """Rows without a usable time."""
    return (
        f"{counted(number, 'row')} of the log without a time, or with one before 1971 or in the future, such as"
        f" {shown(example)}. No window holds them"
    )


def now(metric: str, column: str, segment: str, value: float) -> str:
    """What a metric is now. column, segment: '' for the whole."""
    written = percent(value) if metric.endswith("_share") else number(value)
    return f"{_of_segment(of_column(metric, column), segment)} is {written} now"


def still_there(metric: str, column: str, segment: str, value: float) -> str:
    """What a metric is now that is as different as before, and no longer a reason for an alert."""
    written = percent(value) if metric.endswith("_share") else number(value)
    return (
        f"the change is still there, but is not likely to do harm ({_of_segment(of_column(metric, column), segment)}:"
        f" {written})"
    )


def of_column(metric: str, column: str) -> str:
    """A metric's name with its column, '' for the whole."""
    return f"{metric_name(metric)} of {quoted(column)}" if column else metric_name(metric)


# -- messages ------------------------------------------------------------------------------------------------------


def share_of_cost(share: float) -> str:
    """A column's part of what all changes cost."""
    return f"this is {share:.0%} of the likely cost"


_RECOVERIES = {
    "awaiting_deployment": "waits for its deployment",
    "recovering": "is deployed, and its effect is not known yet",
    "recovered": "helped",
    "no_gain": "gave no gain",
    "worse": "made it worse",
}


def recovery(state: str) -> str:
    """What became of a retraining, as a verb."""
    return _RECOVERIES[state]


def receipt(
    metric: str,
    gain: tuple[float | None, float, float, float, int] | None,
    version: str,
    share: float | None,
    *,
    is_live: bool | None,
) -> str:
    """What a retraining promised and what came.

    gain: what was promised (None: not known), what was got, both ends of its interval, and the number of windows; above
        zero is better. share: of the rows that the version answers, None where the log does not say. is_live: whether
        it is deployed, None where that cannot be known.
    """
    texts = []
    if gain is not None:
        promised, got, lower, upper, windows = gain
        unit = metric_name(metric)
        first = "" if promised is None else f"promised {number(promised)} better {unit}; "
        texts.append(
            f"{first}got {number(got)} better ({number(lower)} to {number(upper)}) in {counted(windows, 'window')}"
        )
    named = f"version {version}" if version else "the new model"
    if share is not None:
        texts.append(f"{named} answers {share:.0%} of the rows")
    elif is_live is None:
        texts.append(
            "the log does not say which version answers and no deployment is recorded, so it is not known whether"
            f" {named} is live"
        )
    else:
        texts.append(f"{named} is deployed" if is_live else f"no deployment of {named} is recorded")
    return "; ".join(texts)


def repair_first(broken: Sequence[tuple[str, str]]) -> str:
    """What is to be repaired before retraining: columns and causes."""
    return f"repair the data pipeline before retraining: {_with_causes(broken)}"


def check_first(unsure: Sequence[tuple[str, str]]) -> str:
    """What may be broken: columns and causes."""
    return f"check whether this is a fault of the data pipeline: {_with_causes(unsure)}"


def _with_causes(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{quoted(column)} ({cause})" for column, cause in columns)


def real_change() -> str:
    """That nothing is to be repaired."""
    return "nothing points to the data pipeline: this looks like a real change"


def retrain_from(since: str) -> str:
    """What to do about a real change. since: the day from which on it is there."""
    return f"if it stays, retrain on rows from {since} on"


def partly_pipeline(*, costs_known: bool) -> str:
    """That something is broken, but not what matters."""
    return (
        "some of the changes look like faults of the data"
        f" pipeline{', but not those that cost most' if costs_known else ''}. Check them before retraining"
    )


def firing_since(since: str, windows: int) -> str:
    """Since when an alert fires. since: the time as it is shown. windows: that were bad, 0 where none are counted."""
    bad = f", for {counted(windows, 'window')}" if windows else ""
    return f"it has been firing since {since}{bad}"


def lasted(since: str, length: str, windows: int) -> str:
    """How long an alert fired that has ended. length: with its unit."""
    bad = f" ({counted(windows, 'bad window')})" if windows else ""
    return f"it began at {since} and lasted {length}{bad}"


def reminder() -> str:
    """That a message was sent before."""
    return "this is a reminder"


def now_severe(severity: str) -> str:
    """That an alert's severity changed."""
    return f"it is now {severity}"


def look_first(kind: str) -> str:
    """What to do about an alert whose causes are not known. kind: the alert's."""
    return {
        "no_data": "check whether the model is in use, and whether its predictions are still logged",
        "no_labels": "check the job that delivers the labels",
        "blind": "add the labels or probabilities that are missing",
        "self": "monitor doctor looks for what is wrong with the service",
        "quality": "look at the rows of this window where they are logged",
    }.get(kind, "look at the segments and columns of this window for what changed")
