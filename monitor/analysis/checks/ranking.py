"""What a ranking puts on top: how much of the catalogue, and how novel it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pandas as pd

from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check
from monitor.analysis.performance import MIN_LABELLED
from monitor.analysis.question import Question
from monitor.analysis.ranking import top_rows
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Verdict

Floats = np.ndarray


class _OfTopItems(BaseCheck):
    """A number of the items at the top of the window's lists. It pages by a limit of the user alone."""

    kind: ClassVar[Kind] = Kind.DRIFT

    def applies_to(self, question: Question) -> bool:
        """For rankings."""
        return super().applies_to(question) and question.reference.task == "ranking"

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        columns = question.reference.columns
        if columns.item is None or columns.item not in question.window.frame:
            reason = "columns.item is not set" if columns.item is None else f"the column '{columns.item}' is gone"
            yield could_not_check(self, None, reason=reason)
            return
        lists = top_rows(question.window.frame, columns)
        number = lists["query"].nunique()
        if number < MIN_LABELLED:
            reason = f"{number} lists; {MIN_LABELLED} are needed"
            yield Answer(Finding(self.name, kind=self.kind, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
            return
        value, usual = self.value(lists, question.reference.top_items), self.usual(question, number)
        text = phrases.of_top_items(self.name, value, usual)
        yield Answer(
            Finding(
                self.name, value=value, kind=self.kind, rows=number, cause="other items at the top", explanation=text
            )
        )

    def value(self, lists: pd.DataFrame, usual: pd.Series) -> float:
        """The number. lists: `query` and `item`, a row each item at the top of a list; usual: by item, the lists of the
        reference that had it at their top.
        """
        raise NotImplementedError

    def usual(self, question: Question, number: int) -> float:
        """The same of as many lists of the reference."""
        lists = question.reference.top_lists
        chosen = np.random.default_rng(question.reference.seed).permutation(lists["query"].unique())[:number]
        return self.value(lists[lists["query"].isin(chosen)], question.reference.top_items)


class ItemCoverage(_OfTopItems):
    """The share of the items that the reference had at the top of any list which come at the top in the window."""

    name = "item_coverage"

    def value(self, lists: pd.DataFrame, usual: pd.Series) -> float:
        """0 to 1. More lists cover more items: it is compared with as many lists of the reference."""
        return float(usual.index.isin(lists["item"]).mean()) if len(usual) else 0.0


class Novelty(_OfTopItems):
    """How rare the items at the top are: the mean self-information, in bits, of an item's share of the reference's
    lists (Vargas and Castells, 2011). Items that the reference did not have at the top are left out.
    """

    name = "novelty"

    def value(self, lists: pd.DataFrame, usual: pd.Series) -> float:
        """0 or more; a mean over lists of means over their items."""
        bits = -np.log2(lists["item"].map(usual / max(float(usual.attrs["lists"]), 1.0)))
        means = bits.groupby(lists["query"]).mean().dropna()
        return float(means.mean()) if len(means) else 0.0
