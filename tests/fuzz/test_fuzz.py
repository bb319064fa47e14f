"""`make fuzz`: the API, the pages and ingestion of a service in a process of its own, sent what nobody thought of; any
5xx is a fault, and so is memory that grows.

MONITOR_FUZZ_MINUTES says for how long, MONITOR_FUZZ_SEED repeats one that failed.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import openapi

from tests import nasty
from tests.conftest import Project
from tests.processes import wait_until
from tests.web import answers
from tests.widened import known_things, widened

MINUTES = float(os.environ.get("MONITOR_FUZZ_MINUTES", "0.5"))
SEED = int(os.environ.get("MONITOR_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
MOST_GROWTH_MB = 200
EXAMPLES = 25
FORMS = {"json": "application/json", "ndjson": "application/x-ndjson", "arrow": "application/vnd.apache.arrow.stream"}
PAGES = (
    "/",
    "/monitors/churn",
    "/alerts",
    "/silences",
    "/notifications",
    "/retraining",
    "/settings",
    "/login",
    "/runs/{id}",
    "/alerts/{id}",
    "/retraining/{id}",
    "/references/{id}/{id}",
)


@dataclass
class Target:
    """A service in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    answers: Counter[int] = field(default_factory=Counter)

    @property
    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024

    def note(self, response: Any, sent: object) -> None:
        self.answers[response.status_code] += 1
        log_end = (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-3:]) if response.status_code >= 500 else ""
        )
        assert response.status_code < 500, (response.request.method, response.url, sent, response.text[:500], log_end)


@contextmanager
def serving(project: Project) -> Iterator[Target]:
    """`monitor serve --web-only` of a service with a history, and two models that send what they predict: into files,
    and into a table.
    """
    for name, source, labels in (
        ("files", {"path": "sent/rows/*.parquet"}, {"path": "sent/truth/*.parquet"}),
        (
            "tables",
            {"url": f"sqlite:///{project.folder}/sent.db", "table": "rows"},
            {"url": f"sqlite:///{project.folder}/sent.db", "table": "truth"},
        ),
    ):
        project.values["monitors"][name] = project.monitor | {
            "model": {"name": name},
            "source": source | {"ingest": True},
            "labels": labels | {"ingest": True, "delay": "1d"},
            "retraining": None,
        }
    project.values["web"] = {"port": 0, "requests_per_minute": 1_000_000}
    project.write()
    log = project.folder / "serve.log"
    with open(log, "wb") as file:
        command = [str(Path(sys.executable).parent / "monitor"), "serve", "--web-only", "--log-format", "json"]
        process = subprocess.Popen(command, cwd=project.folder, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "web_started" in log.read_text() or process.poll() is not None, 60)
        address = re.search(r'"address": "([^"]+)"', log.read_text())
        assert address is not None, log.read_text()
        wait_until(lambda: answers(address[1]), 20)
        yield Target(address[1], process, log)
    finally:
        process.terminate()
        process.wait(30)


def examples() -> Any:
    return settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


def fuzz_api(target: Target, number: int) -> None:
    """Every operation of the API, with what its document describes and with what it does not."""
    known_values = known_things(target.url)
    for result in openapi.from_url(f"{target.url}/api/v1/schema/openapi.json").get_all_operations():
        operation = result.ok()

        @seed(number)
        @examples()
        @given(case=operation.as_strategy(), data=st.data())
        def ask(case: Any, data: Any) -> None:
            more = widened(case, data, known_values)
            target.note(case.call(timeout=60, **more), more or case.body)

        ask()


def fuzz_ingestion(target: Target, number: int) -> None:
    """Rows of every kind and form."""
    address = st.sampled_from(
        [f"/api/v1/{what}?monitor={name}" for what in ("predictions", "labels") for name in ("files", "tables")]
    )

    def send(where: str, form: str, body: bytes, **headers: str) -> None:
        headers = {"content-type": FORMS[form], **{name.replace("_", "-"): text for name, text in headers.items()}}
        target.note(requests.post(target.url + where, data=body, headers=headers, timeout=60), body[:2000])

    @seed(number)
    @examples()
    @given(where=address, rows=nasty.json_rows())
    def of_json(where: str, rows: list[dict[str, Any]]) -> None:
        send(where, "json", json.dumps(rows).encode())
        send(where, "ndjson", "\n".join(map(json.dumps, rows)).encode())

    @seed(number)
    @examples()
    @given(where=address, body=nasty.arrow_bodies())
    def of_arrow(where: str, body: bytes) -> None:
        send(where, "arrow", body)

    @seed(number)
    @examples()
    @given(
        where=address,
        form=st.sampled_from(sorted(FORMS)),
        body=st.binary(max_size=300),
        encoding=st.sampled_from(("identity", "gzip", "zstd", "br", "ü")),
    )
    def of_anything(where: str, form: str, body: bytes, encoding: str) -> None:
        send(where, form, body, content_encoding=encoding)

    of_json()
    of_arrow()
    of_anything()


def fuzz_pages(target: Target, number: int) -> None:
    """The pages, with any parameters and ids."""
    names = (
        "start",
        "end",
        "segment",
        "metric",
        "q",
        "health",
        "sort",
        "shown",
        "monitor",
        "status",
        "lasts",
        "comment",
        "everything",
        "next",
        "download",
    )
    parameters = st.dictionaries(st.sampled_from(names), st.text(max_size=5), max_size=3)

    @seed(number)
    @examples()
    @given(where=st.sampled_from(PAGES), given_=parameters, data=st.data())
    def ask(where: str, given_: dict[str, str], data: Any) -> None:
        query = {name: data.draw(nasty.parameter(name)) for name in given_}
        where = where.replace("{id}", requests.utils.quote(data.draw(nasty.texts), safe="")[:500])
        target.note(requests.get(target.url + where, params=query, timeout=60, allow_redirects=False), query)

    ask()


@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + 600)
def test_nothing_that_is_sent_is_answered_with_a_fault_and_memory_does_not_grow(own_history: Project) -> None:
    with serving(own_history) as target:
        until, number, first, most = time.monotonic() + MINUTES * 60, SEED, 0.0, 0.0
        while time.monotonic() < until or number == SEED:
            print(f"MONITOR_FUZZ_SEED={number}: {target.memory_mb:.0f} MB, answers {dict(target.answers)}", flush=True)
            for fuzz in (fuzz_ingestion, fuzz_pages, fuzz_api):
                fuzz(target, number)
                most = max(most, target.memory_mb)
            first = first or target.memory_mb  # after one round all that is loaded once is there
            assert most - first < MOST_GROWTH_MB, f"{first:.0f} MB after the first round, {most:.0f} MB now"
            number += 1
        print(
            f"{number - SEED} rounds, memory {first:.0f} MB after the first, {most:.0f} MB at most;"
            f" {dict(target.answers)}"
        )
        assert {200, 202, 400, 404, 422} <= set(target.answers)
