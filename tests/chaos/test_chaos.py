"""The fault campaign: `make test` runs a few faults, `make test-long` twenty kills, `make chaos` the whole campaign; MONITOR_CHAOS_SEED replays one that failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import servers
from tests.chaos.campaign import Campaign

LONG = "MONITOR_LONG" in os.environ


@pytest.mark.timeout(4 * 3600 if LONG else 600)
@pytest.mark.parametrize(
    "campaign",
    [(1, 3, 4), pytest.param((20, 20, 200) if LONG else (2, 4, 20), marks=pytest.mark.long)],
    ids=["few", "many"],
)
def test_daemons_killed_stopped_and_cut_off_at_random_leave_what_undisturbed_work_leaves(
    tmp_path: Path, shared_data: Path, campaign: tuple[int, int, int]
) -> None:
    servers.require(servers.PostgreSQL)
    servers.require(servers.MariaDB)
    seed = os.environ.get("MONITOR_CHAOS_SEED")
    monitors, windows, kills = campaign
    Campaign(
        tmp_path, shared_data, monitors=monitors, windows=windows, kills=kills, outages=[600, 60, 10] if LONG else [],
        seed=None if seed is None else int(seed),
    ).run()  # fmt: skip
