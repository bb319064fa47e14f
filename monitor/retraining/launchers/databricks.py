"""Databricks' jobs API 2.1 (https://docs.databricks.com/api/workspace/jobs/runnow): the request's id is the idempotency
token, so a second start is the first one's run.
"""

from __future__ import annotations

import json
from typing import Any, Unpack

from monitor import outgoing
from monitor.retraining.request import TrainingOutcome, parse_outcome

_ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


class Databricks:
    """A job of a workspace. What its notebook returns by `dbutils.notebook.exit` is the outcome, if it is JSON."""

    def __init__(self, host: str, job_id: int, token: str, **rules: Unpack[outgoing.Rules]) -> None:
        self._api, self._job_id, self._rules = f"{host.rstrip('/')}/api/2.1/jobs", job_id, rules
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def start(self, request: dict[str, Any]) -> str:
        """Run the job now with the request as the parameter `request`."""
        body = {
            "job_id": self._job_id,
            "idempotency_token": request["id"],
            "job_parameters": {"request": json.dumps(request)},
        }
        answer = outgoing.send("POST", f"{self._api}/run-now", json.dumps(body).encode(), self._headers, **self._rules)
        return str(answer.json()["run_id"])

    def ask(self, handle: str) -> TrainingOutcome | None:
        """The run's life cycle and result."""
        run = self._get("get", handle)
        state = run.get("state", {})
        if state.get("life_cycle_state") not in _ENDED:
            return None
        if state.get("result_state") != "SUCCESS":
            return TrainingOutcome(
                False,
                f"run {handle} ended {state.get('result_state') or state['life_cycle_state']}:"
                f" {state.get('state_message', '')}",
            )
        tasks = run.get("tasks") or [{"run_id": handle}]
        result = self._get("get-output", str(tasks[-1]["run_id"])).get("notebook_output", {}).get("result") or ""
        outcome = parse_outcome(result)
        return (
            outcome
            if outcome.text or not outcome.succeeded
            else TrainingOutcome(**{**vars(outcome), "text": f"run {handle} succeeded"})
        )

    def _get(self, what: str, run: str) -> dict[str, Any]:
        answer: dict[str, Any] = outgoing.get(
            f"{self._api}/runs/{what}?run_id={run}", self._headers, **self._rules
        ).json()
        return answer
