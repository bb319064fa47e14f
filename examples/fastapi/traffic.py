"""Eight weeks of a clinic's traffic, sent to the service; from 9 February on its booking app no longer sends a
field.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import requests
from train import FEATURES, appointments

START, DAYS, APPOINTMENTS_A_DAY = pd.Timestamp("2026-01-05 18:00", tz="UTC"), 56, 120
FIELD, IS_GONE = "previous_no_shows", pd.Timestamp("2026-02-11", tz="UTC")


def wait_for(url: str, seconds: float = 30) -> None:
    """Return once the service answers; raises ConnectionError where it never does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            requests.get(f"{url}/docs", timeout=5)
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main(url: str) -> None:
    wait_for(url)
    random, session = np.random.default_rng(1), requests.Session()
    for day in range(DAYS):
        evening = START + pd.Timedelta(days=day)
        booked = appointments(APPOINTMENTS_A_DAY, random)
        booked["id"] = [f"a{day:02}-{number:03}" for number in range(len(booked))]
        sent = booked[["id", *FEATURES]].assign(asked_at=evening.isoformat())
        if evening >= IS_GONE:
            sent = sent.drop(columns=FIELD)
        session.post(f"{url}/predictions", json=sent.to_dict("records"), timeout=30).raise_for_status()
        outcomes = booked[["id", "no_show"]].assign(known_at=(evening + pd.Timedelta(days=1)).isoformat())
        session.post(f"{url}/outcomes", json=outcomes.to_dict("records"), timeout=30).raise_for_status()
    print(f"{DAYS * APPOINTMENTS_A_DAY} predictions and outcomes sent; from {IS_GONE:%d %B} on without {FIELD}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
