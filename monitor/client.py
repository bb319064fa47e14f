"""A client of the API for model servers and pipelines: send predictions and labels, tell of deployments."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import requests

from monitor.domain.representation import described
from monitor.errors import MonitorError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    Rows: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | pd.DataFrame | pa.Table
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class ClientError(MonitorError):
    """The service could not be reached, or refused; `status` is its answer's, None where there was none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Ingested:
    """What became of rows that were sent: those that are new, and those that the service had already; and how many
    columns came for the first time that neither the configuration nor the reference names."""

    accepted: int
    duplicates: int
    new_columns: int = 0


class Client:
    """Talks to the API of a Monitor service; may be shared by threads.

    url: of the service, such as `http://127.0.0.1:8400`. token: of `monitor tokens create`, where one is needed.
        timeout_s: of one attempt, in seconds.
    retries: how often a request is sent again that was not answered, or with 429 or 5xx; every row is kept once, by its
        id, however often it is sent.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 10.0, retries: int = 3) -> None:
        self._base, self._timeout_s, self._retries = f"{url.rstrip('/')}/api/v1", timeout_s, retries
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc that somebody else has set
        self._session.headers["user-agent"] = "production-monitor-client/1"
        if token is not None:
            self._session.headers["authorization"] = f"Bearer {token}"

    def __repr__(self) -> str:
        return described(self, re.sub("//.*@", "//", self._base.removesuffix("/api/v1")))

    def predictions(self, monitor: str, rows: Rows) -> Ingested:
        """Send what a model received and predicted: one row, several, a DataFrame or an Arrow table; one row a
        prediction.

        The columns are those of the monitor's configuration: its id, the prediction or probability, the features; the
        event time, now if left out. Raises ClientError.
        """
        return self._send("predictions", monitor, rows)

    def labels(self, monitor: str, rows: Rows) -> Ingested:
        """Send what turned out to be true, by the predictions' ids; another label for the same id corrects it. Raises
        ClientError.
        """
        return self._send("labels", monitor, rows)

    def deployed(self, model: str, version: str, note: str = "", reference: str = "") -> None:
        """Tell that a version of a model goes into production now. reference: a file of the service's with its
        reference rows. Raises ClientError.
        """
        deployment = {"model": model, "version": version, "note": note, "reference": reference}
        # With its time, so that a call that is repeated because no answer came records the same deployment.
        self._post("deployments", {}, json={**deployment, "deployed_at": datetime.now(UTC).isoformat()})

    def _send(self, what: str, monitor: str, rows: Rows) -> Ingested:
        path = f"{what}?monitor={quote(monitor)}"
        if isinstance(rows, Mapping):
            answer = self._post(path, {}, json=[_plain(rows)])
        elif isinstance(rows, Sequence):
            answer = self._post(path, {}, json=[_plain(row) for row in rows])
        else:
            headers = {"content-type": "application/vnd.apache.arrow.stream", "content-encoding": "zstd"}
            answer = self._post(path, headers, data=_packed(rows))
        return Ingested(answer["accepted"], answer["duplicates"], answer.get("new_columns", 0))

    def _post(self, path: str, headers: Mapping[str, str], **content: Any) -> Any:
        problem, status = "", None
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(min(0.25 * 2**attempt, 5.0))
            try:
                answer = self._session.post(
                    f"{self._base}/{path}",
                    headers=dict(headers),
                    timeout=self._timeout_s,
                    allow_redirects=False,
                    **content,
                )
            except requests.RequestException as error:
                problem, status = f"{self._base} cannot be reached: {type(error).__name__}", None
                continue
            status = answer.status_code
            if 200 <= status < 300:
                return answer.json()
            problem = f"{self._base}/{path} answered {status}: {_detail(answer)}"
            if status not in _AGAIN:
                break
        raise ClientError(problem, status)


def _detail(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("detail", ""))
    except (ValueError, AttributeError):
        return answer.text[:200]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON holds it: times as ISO text, numbers of NumPy as Python's."""
    values = {}
    for name, value in row.items():
        if hasattr(value, "isoformat"):
            values[name] = value.isoformat()
        else:
            values[name] = value.item() if hasattr(value, "item") else value
    return values


def _packed(rows: pd.DataFrame | pa.Table) -> bytes:
    """A table as an Arrow stream, packed with zstd."""
    import pyarrow as pa
    import zstandard

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return zstandard.compress(bytes(sink.getvalue()), 3)
