"""How the outcome of a training is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from monitor.errors import MonitorError


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended. model_version and reference (a path): what is promoted, where it succeeded.

    candidate: a path to what the new model says of labelled rows (by the log's id column); where it is given the new
        model must prove better first.
    """

    succeeded: bool
    text: str = ""
    model_version: str = ""
    reference: str = ""
    candidate: str = ""


class LaunchError(MonitorError):
    """The training could not be started."""


def parse_outcome(output: str) -> TrainingOutcome:
    """The last line of a successful command, if it is a JSON object; nothing is promoted without one."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    try:
        result: Any = json.loads(lines[-1]) if lines else {}
    except json.JSONDecodeError:
        result = {}
    if not isinstance(result, dict):
        result = {}
    status = str(result.get("status", "succeeded"))
    return TrainingOutcome(
        status == "succeeded",
        str(result.get("text", "")),
        str(result.get("model_version", "")),
        str(result.get("reference", "")),
        str(result.get("candidate", "")),
    )
