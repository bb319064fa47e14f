"""The work of worker processes with lists of wanted labels: which rows are on them, when their labels came, and whether
a window is judged by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from monitor.analysis.listed_labels import NEEDED_SHARE, LabelLists
from monitor.analysis.schema import canonical_text
from monitor.cache_folder import cache_folder
from monitor.domain.hidden import hide
from monitor.services.specs import LabelledWindow, RunSpec
from monitor.sources.log import Log
from monitor.sources.recent import labelled
from monitor.sources.sample import KEY

Floats = np.ndarray


@dataclass(frozen=True)
class WindowLists:
    """All lists of a window. chances, listed: as of `LabelLists`, by the window's index; columns are lists."""

    chances: pd.DataFrame
    listed: pd.DataFrame


def key_of(identity: object, hash_key: str) -> str:
    """What a list holds in place of a row's id: its keyed hash, so that no id is stored."""
    return hide(identity, f"{hash_key}:label_list").split()[0]


def keys_of(ids: pd.Series, hash_key: str) -> pd.Series:
    """The same of many ids; missing where an id is."""
    return ids.astype(object).map(lambda identity: key_of(identity, hash_key), na_action="ignore")


def used_lists(frame: pd.DataFrame, spec: RunSpec, number: int) -> WindowLists | None:
    """The lists that a performance run judges by; None where it judges by all labels. number: of labelled rows.

    Lists are used until so many labels have come by any way that all of them are judged. When revisions end, a list
    whose labels did not come is not waited for any longer.
    """
    if spec.kind != "performance" or not spec.lists or frame.empty:
        return None
    if number >= spec.judge_from * spec.expected * len(frame):
        return None
    lists = rows_of_lists(frame, spec)
    is_final = spec.revise_until is not None and spec.as_of >= spec.revise_until
    if is_final:
        has_label = frame["monitor_label_time"].notna().to_numpy()
        came = int(lists.listed.to_numpy()[has_label].sum())
        if came < NEEDED_SHARE * sum(len(entry.chances) for entry in spec.lists):
            return None
    return lists


def rows_of_lists(frame: pd.DataFrame, spec: RunSpec) -> WindowLists:
    """Which rows of a window each list holds, and with which probability each was drawn.

    Rows whose label was known when a list was drawn, and those of the lists before it, were certain for it.
    """
    keys = keys_of(frame[KEY], spec.log.hash_key)
    times = pd.to_datetime(frame["monitor_label_time"], utc=True)
    chances, listed = {}, {}
    before = pd.Series(data=False, index=frame.index)
    for place, entry in enumerate(spec.lists):
        chance = keys.map(entry.chances).astype(float)
        on_list = chance.notna()
        certain = (before | (times <= pd.Timestamp(entry.created))) & ~on_list
        chances[place], listed[place] = chance.mask(certain, 1.0), on_list
        before |= on_list
    return WindowLists(pd.DataFrame(chances), pd.DataFrame(listed))


def recent_of_lists(log: Log, spec: RunSpec) -> pd.DataFrame | None:
    """Labelled rows of earlier windows as they were known when the newest list was drawn, the label named as in the
    log.
    """
    if spec.lists_recent is None:
        return None
    return recent_rows(log, spec, max(entry.created for entry in spec.lists))


def recent_rows(log: Log, spec: RunSpec, as_of: datetime) -> pd.DataFrame | None:
    """The same as of any time."""
    assert spec.log.labels is not None
    if spec.lists_recent is None:
        return None
    rows = labelled(log, spec.lists_recent, as_of, cache_folder() / "samples")
    return rows if spec.columns.label is None else rows.rename(columns={spec.log.labels.label: spec.columns.label})


def lists_of_part(
    lists: WindowLists, part: pd.DataFrame, recent: pd.DataFrame | None, spec: RunSpec, version: str
) -> LabelLists:
    """The lists of one version's rows. version: of the model."""
    places = [place for place, entry in enumerate(spec.lists) if entry.model_version == version]
    chances, listed = (table.loc[part.index, places].to_numpy() for table in (lists.chances, lists.listed))
    return LabelLists(chances, listed.astype(bool), recent_of_version(recent, spec, version))


def recent_of_version(recent: pd.DataFrame | None, spec: RunSpec, version: str) -> pd.DataFrame | None:
    """The rows that one version of the model answered."""
    column = spec.columns.model_version
    if recent is None or column is None or column not in recent:
        return recent
    return recent[canonical_text(recent[column]).fillna("") == version]


def complete_lists(log: Log, window: LabelledWindow) -> dict[str, datetime]:
    """When enough labels of a window's lists had come, by the list's id; lists that still wait are left out."""
    times = log.label_times_by_id(window.window)
    keyed = pd.Series(times.to_numpy(), keys_of(pd.Series(times.index, dtype=object), log.spec.hash_key))
    moments = {}
    for entry in window.lists:
        came = pd.to_datetime(keyed[keyed.index.isin(list(entry.chances))], utc=True).dropna().sort_values()
        needed = math.ceil(NEEDED_SHARE * len(entry.chances))
        if needed and len(came) >= needed:
            moments[entry.uuid] = came.iloc[needed - 1].to_pydatetime()
    return moments
