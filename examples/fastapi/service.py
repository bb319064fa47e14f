"""A service that says who will not come to an appointment. It logs what it received and answered as JSON lines.

    uvicorn service:app --port 8000

Each evening the clinic's calendar sends tomorrow's appointments to /predictions, and later, who did not come, to
/outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, Field

app, model = FastAPI(), joblib.load("model.joblib")


class Appointment(BaseModel):
    """What the model reads of an appointment; what is not sent is missing to it. asked_at: now, unless old traffic is
    sent again.
    """

    id: str
    asked_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    days_ahead: int | None = None
    age: int | None = None
    previous_no_shows: int | None = None
    reminded: bool | None = None
    distance_km: float | None = None


class Outcome(BaseModel):
    """What became of an appointment."""

    id: str
    no_show: bool
    known_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))


@app.post("/predictions")
def predict(appointments: list[Appointment]) -> list[float]:
    """The probability that each patient does not come."""
    inputs = pd.DataFrame([appointment.model_dump() for appointment in appointments])[list(model.feature_names_in_)]
    answers = model.predict_proba(inputs.astype(float))[:, 1].round(4).tolist()
    # `asked_at` has a default, and is logged as well; what the caller did not send is not.
    received = (
        {
            **appointment.model_dump(mode="json", include={"id", "asked_at"}),
            **appointment.model_dump(mode="json", exclude_unset=True),
        }
        for appointment in appointments
    )
    append("predictions.jsonl", ({**row, "probability": answer} for row, answer in zip(received, answers, strict=True)))
    return answers


@app.post("/outcomes")
def learn(outcomes: list[Outcome]) -> None:
    """What turned out to be true."""
    append("outcomes.jsonl", (outcome.model_dump(mode="json") for outcome in outcomes))


def append(file: str, rows: Iterable[dict[str, Any]]) -> None:
    """Add a line a row to a file, all at once."""
    with Path(file).open("a") as log:
        log.write("".join(json.dumps(row) + "\n" for row in rows))
