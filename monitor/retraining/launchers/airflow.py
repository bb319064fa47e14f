"""Airflow's REST API: v1 of Airflow 2 (https://airflow.apache.org/docs/apache-airflow/2.10.5/stable-rest-api-ref.html),
v2 of Airflow 3 (/docs/apache-airflow/stable/).

The request's id is the DAG run's, so that the same one is never started twice: Airflow answers 409 to the second.
"""

from __future__ import annotations

import json
from typing import Any, Unpack

from monitor import outgoing
from monitor.retraining.request import TrainingOutcome, parse_outcome


class Airflow:
    """A DAG. result_task: the task whose return value is the outcome as JSON, '' for none."""

    def __init__(
        self,
        url: str,
        dag: str,
        headers: dict[str, str],
        version: int,
        result_task: str,
        **rules: Unpack[outgoing.Rules],
    ) -> None:
        self._runs = f"{url.rstrip('/')}/api/v{version}/dags/{dag}/dagRuns"
        self._version, self._result_task = version, result_task
        self._headers, self._rules = headers | {"content-type": "application/json"}, rules

    def start(self, request: dict[str, Any]) -> str:
        """Make a DAG run with the request as its `conf`; 409 says that it is there."""
        body: dict[str, Any] = {"dag_run_id": request["id"], "conf": {"request": request}}
        if self._version >= 2:
            body["logical_date"] = None
        outgoing.send(
            "POST",
            self._runs,
            json.dumps(body).encode(),
            self._headers,
            accepted=(409,),
            **self._rules,
        )
        return str(request["id"])

    def ask(self, handle: str) -> TrainingOutcome | None:
        """The run's state: success and failed are ends."""
        answer = outgoing.get(f"{self._runs}/{handle}", self._headers, **self._rules)
        state = answer.json().get("state")
        if state == "failed":
            return TrainingOutcome(False, f"the DAG run {handle} failed")
        return self._result(handle) if state == "success" else None

    def _result(self, handle: str) -> TrainingOutcome:
        if not self._result_task:
            return TrainingOutcome(True, f"the DAG run {handle} succeeded")
        url = f"{self._runs}/{handle}/taskInstances/{self._result_task}/xcomEntries/return_value"
        value = outgoing.get(url, self._headers, **self._rules).json().get("value")
        return parse_outcome(value if isinstance(value, str) else json.dumps(value))
