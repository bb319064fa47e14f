"""Metrics of the user's own, and what the model's mistakes cost in money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from monitor.domain.metrics import METRICS, REGRESSIONS, TASKS
from monitor.domain.text import quoted
from monitor.errors import UsageError

# The metric that `checks.cost` adds, and how much more it is than on the reference.
COST, COST_EXCESS = "cost", "cost_excess"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_KEYS = ("sql", "python", "direction", "task")
# What a cost may be given for, by task, as a condition (or a factor) on one row.
_CASES = {
    "binary": {
        "false_negative": "label = 1 and prediction = 0",
        "false_positive": "label = 0 and prediction = 1",
        "true_positive": "label = 1 and prediction = 1",
        "true_negative": "label = 0 and prediction = 0",
    },
    "multiclass": {"error": "label <> prediction"},
    **{task: {"absolute_error": "abs(prediction - label)"} for task in REGRESSIONS},
}


@dataclass(frozen=True)
class OwnMetric:
    """A metric that the user has defined: an SQL aggregate over the labelled rows, or a Python function of them.

    python: `package.module:function`; it takes the rows as a DataFrame and returns a number. task: the only task that
        it is for; None: any.
    """

    name: str
    sql: str = ""
    python: str = ""
    higher_is_better: bool = False
    task: str | None = None

    @classmethod
    def of(cls, name: str, value: Any) -> OwnMetric:
        """From a mapping with `sql` or `python`, `direction` and `task`, as the configuration writes it. Raises
        UsageError for anything else.
        """
        if isinstance(value, OwnMetric):
            return value
        if not isinstance(value, Mapping) or set(value) - set(_KEYS):
            raise UsageError(f"the metric {quoted(name)} is a mapping with {', '.join(_KEYS)}, not {value}")
        sql, python = str(value.get("sql") or "").strip(), str(value.get("python") or "").strip()
        if bool(sql) == bool(python):
            raise UsageError(f"the metric {quoted(name)} needs `sql` or `python`, and not both")
        if python and not _FUNCTION.fullmatch(python):
            raise UsageError(f"the metric {quoted(name)}: `python` is written package.module:function")
        direction, task = value.get("direction", "lower"), value.get("task")
        if direction not in ("lower", "higher"):
            raise UsageError(f"the metric {quoted(name)}: `direction` says which is better, `lower` or `higher`")
        if task is not None and task not in TASKS:
            raise UsageError(f"the metric {quoted(name)}: the tasks are {', '.join(TASKS)}")
        _check_name(name)
        return cls(name, sql, python, direction == "higher", task)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > 60:
        raise UsageError(f"a metric's name is made of lower-case letters, digits and _, not {quoted(name)}")
    if name in METRICS or name in (COST, COST_EXCESS) or name.startswith("estimated_"):
        raise UsageError(f"{quoted(name)} is a metric of Monitor's own: choose another name")


@dataclass(frozen=True)
class Cost:
    """What mistakes cost: an amount, or the name of a column that holds it, by kind of mistake."""

    amounts: Mapping[str, float | str]
    currency: str = ""

    @classmethod
    def of(cls, value: Any) -> Cost:
        """From a mapping such as `{false_negative: 400, false_positive: amount, currency: EUR}`. Raises UsageError."""
        if isinstance(value, Cost):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(f"a cost is a mapping such as {{false_negative: 400, false_positive: 5}}, not {value}")
        amounts = {str(case): amount for case, amount in value.items() if case != "currency"}
        cases = list(dict.fromkeys(case for task_cases in _CASES.values() for case in task_cases))
        unknown = [case for case in amounts if case not in cases]
        if unknown or not amounts:
            raise UsageError(f"a cost is given for {', '.join(cases)}, not for {', '.join(unknown) or 'nothing'}")
        for case, amount in amounts.items():
            if isinstance(amount, bool) or not isinstance(amount, Real | str):
                raise UsageError(f"the cost of {case} is a number or the name of a column, not {amount}")
        return cls(amounts, str(value.get("currency") or ""))

    def why_not(self, task: str | None) -> str:
        """Why it cannot be worked out in a task; '' if it can."""
        if task == "ranking":
            return "mistakes of a ranking have no cost of their own: write it as a metric in `checks.metrics`"
        cases = _CASES.get(task or "", {})
        wrong = [case for case in self.amounts if cases and case not in cases]
        return f"{', '.join(wrong)} cannot be given for {task}; for it there is: {', '.join(cases)}" if wrong else ""

    def metric(self, task: str) -> OwnMetric:
        """The metric `cost`: the sum over rows, of one task."""
        terms = []
        for case, condition in _CASES[task].items():
            if case in self.amounts:
                amount = self.amounts[case]
                factor = '"' + amount.replace('"', '""') + '"' if isinstance(amount, str) else repr(float(amount))
                times = condition if task in REGRESSIONS else f"(case when {condition} then 1 else 0 end)"
                terms.append(f"({factor}) * {times}")
        return OwnMetric(COST, f"sum({' + '.join(terms)})", task=task)
