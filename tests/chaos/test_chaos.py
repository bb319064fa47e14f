"""The fault campaign: `make test-long` runs twenty kills, `make chaos` the whole campaign; MONITOR_CHAOS_SEED replays
one that failed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import servers
from tests.chaos.campaign import Campaign

LONG = "MONITOR_LONG" in os.environ


@pytest.mark.long
@pytest.mark.timeout(4 * 3600 if LONG else 600)
def test_daemons_killed_stopped_and_cut_off_at_random_leave_what_undisturbed_work_leaves(
    tmp_path: Path, shared_data: Path
) -> None:
    servers.require(servers.PostgreSQL)
    servers.require(servers.MariaDB)
    seed = os.environ.get("MONITOR_CHAOS_SEED")
    monitors, windows, kills = (12, 10, 200) if LONG else (2, 4, 20)
    Campaign(
        tmp_path,
        shared_data,
        monitors=monitors,
        windows=windows,
        kills=kills,
        outages=[600, 60, 10] if LONG else [],
        seed=None if seed is None else int(seed),
    ).run()
