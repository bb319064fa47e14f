"""All of these may start workers."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _warm(fork_server: None) -> None:
    """Workers come from a fork server that has imported what they need."""
