"""GitHub Actions (https://docs.github.com/en/rest/actions/workflows,
https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event).

A workflow is given the request's id as the input `request_id`; if its `run-name` holds that input its runs can be
found, so that none is started twice and its end is seen. A repository dispatch can be asked nothing: it is tried once,
and `monitor retraining complete` ends it.
"""

from __future__ import annotations

import json
from typing import Any, Unpack

from monitor import outgoing
from monitor.retraining.request import TrainingOutcome


class GitHub:
    """A workflow of a repository, or with `workflow` '' the event `event_type`."""

    def __init__(
        self,
        api: str,
        repository: str,
        token: str,
        workflow: str,
        ref: str,
        event_type: str,
        **rules: Unpack[outgoing.Rules],
    ) -> None:
        self._base, self._workflow, self._ref, self._event_type = (
            f"{api.rstrip('/')}/repos/{repository}",
            workflow,
            ref,
            event_type,
        )
        self._rules = rules
        self._headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": "2022-11-28",
            "content-type": "application/json",
            "user-agent": "production-monitor/1",
        }

    def start(self, request: dict[str, Any]) -> str:
        """Dispatch, unless a run of this request is there."""
        if not self._workflow:
            self._post("dispatches", {"event_type": self._event_type, "client_payload": {"request": request}})
            return ""
        if self._run(request["id"]) is None:
            inputs = {"request_id": request["id"], "request": json.dumps(request)}
            self._post(f"actions/workflows/{self._workflow}/dispatches", {"ref": self._ref, "inputs": inputs})
        return str(request["id"])

    def ask(self, handle: str) -> TrainingOutcome | None:
        """The conclusion of the run whose name holds the request's id."""
        run = self._run(handle)
        if run is None or run.get("status") != "completed":
            return None
        return TrainingOutcome(
            run.get("conclusion") == "success", f"{run.get('html_url', 'the run')} ended {run.get('conclusion')}"
        )

    def _run(self, request_id: str) -> dict[str, Any] | None:
        url = f"{self._base}/actions/workflows/{self._workflow}/runs?event=workflow_dispatch&per_page=100"
        runs = outgoing.get(url, self._headers, **self._rules).json().get("workflow_runs", [])
        return next((run for run in runs if request_id in str(run.get("display_title", ""))), None)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        outgoing.send("POST", f"{self._base}/{path}", json.dumps(body).encode(), self._headers, **self._rules)
