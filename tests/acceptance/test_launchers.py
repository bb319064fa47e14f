"""Launchers against servers that answer like the published APIs (docs/reference/launchers.md names the pages), and a
real Python function.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy.orm import Session

from monitor.config.model import AirflowLauncher, DatabricksLauncher, GitHubLauncher
from monitor.retraining.launchers import open_remote
from monitor.retraining.launchers.remote import follow
from monitor.retraining.request import LaunchError
from monitor.services.context import Context
from monitor.services.launch_retraining import Launcher
from monitor.services.workers import WorkerPool
from monitor.storage import monitors, retraining
from monitor.storage.database import Database
from tests.acceptance.test_retraining import decayed
from tests.alerting import NOW, Service
from tests.conftest import Project

REQUEST = {"id": "3f2a7c1e-0000-5000-8000-000000000001", "model": "churn", "reason": "it decays"}


class ReceivedRequest(NamedTuple):
    """A request that a server received; the names of its headers are in lower case."""

    method: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


class Api:
    """A server with runs by their id. A run ends after two requests for its state. `answer` makes the answers."""

    def __init__(self, answer: Callable[[Api, str, str, dict[str, Any]], tuple[int, Any]]) -> None:
        self.runs: dict[str, int] = {}
        self.received: list[ReceivedRequest] = []
        self.ends_well = True
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
                headers = {name.lower(): value for name, value in self.headers.items()}
                api.received.append(ReceivedRequest(self.command, self.path, body, headers))
                status, content = answer(api, self.command, self.path, body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode() if content is not None else b"")

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def has_ended(self, run: str) -> bool:
        self.runs[run] += 1
        return self.runs[run] > 2


def airflow(api: Api, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    if method == "POST":
        if body["dag_run_id"] in api.runs:
            return 409, {"detail": "DAGRun already exists", "status": 409, "title": "Conflict"}
        api.runs[body["dag_run_id"]] = 0
        return 200, {"dag_run_id": body["dag_run_id"], "state": "queued", "conf": body["conf"]}
    if path.endswith("/xcomEntries/return_value"):
        return 200, {"key": "return_value", "value": json.dumps({"status": "succeeded", "model_version": "5"})}
    run = path.rsplit("/", 1)[1]
    state = ("success" if api.ends_well else "failed") if api.has_ended(run) else "running"
    return 200, {"dag_run_id": run, "state": state}


def databricks(api: Api, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    if method == "POST":
        api.runs.setdefault("455644833", 0)
        return 200, {"run_id": 455644833, "number_in_job": 455644833}
    run = parse_qs(urlsplit(path).query)["run_id"][0]
    if "get-output" in path:
        return 200, {"notebook_output": {"result": '{"status": "succeeded", "model_version": "5"}', "truncated": False}}
    if not api.has_ended(run):
        return 200, {"run_id": 455644833, "state": {"life_cycle_state": "RUNNING", "state_message": "In run"}}
    result = "SUCCESS" if api.ends_well else "FAILED"
    return 200, {
        "run_id": 455644833,
        "state": {"life_cycle_state": "TERMINATED", "result_state": result, "state_message": ""},
        "tasks": [{"run_id": 455644833}],
    }


def github(api: Api, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    if method == "POST":
        if "client_payload" not in body:
            api.runs[body["inputs"]["request_id"]] = 0
        return 204, None
    runs = []
    for run in api.runs:
        ended = api.has_ended(run)
        runs.append(
            {
                "display_title": f"retrain {run}",
                "status": "completed" if ended else "in_progress",
                "conclusion": ("success" if api.ends_well else "failure") if ended else None,
                "html_url": "https://github.com/o/r/actions/runs/1",
            }
        )
    return 200, {"total_count": len(runs), "workflow_runs": runs}


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Api]]:
    made: list[Api] = []

    def start(answer: Any) -> Api:
        made.append(Api(answer))
        return made[-1]

    yield start
    for api in made:
        api.server.shutdown()
        api.server.server_close()


def configured(kind: str, url: str) -> Any:
    if kind == "airflow":
        return AirflowLauncher(
            type="airflow", url=url, dag="retrain", token="t", result_task="train", allow_private=True
        )
    if kind == "databricks":
        return DatabricksLauncher(type="databricks", host=url, job_id=11223344, token="t", allow_private=True)
    return GitHubLauncher(
        type="github", repository="o/r", token="t", workflow="retrain.yml", api=url, allow_private=True
    )


@pytest.mark.parametrize(("kind", "answer"), [("airflow", airflow), ("databricks", databricks), ("github", github)])
@pytest.mark.parametrize("ends_well", [True, False])
def test_a_training_elsewhere_is_started_once_and_asked_until_it_has_ended(
    serve: Callable[[Any], Api], kind: str, answer: Any, ends_well: bool
) -> None:
    api = serve(answer)
    api.ends_well = ends_well
    remote = open_remote(configured(kind, api.url))
    remote.start(REQUEST)  # a daemon that died after its launch
    outcome, _ = follow(remote, REQUEST, 60, 0.01, Event())
    assert outcome is not None
    assert outcome.succeeded is ends_well
    assert len(api.runs) == 1
    assert outcome.model_version == ("5" if ends_well and kind != "github" else "")
    post = next(request for request in api.received if request.method == "POST")
    assert post.headers["authorization"] == "Bearer t"
    expected = {
        "airflow": (
            "/api/v2/dags/retrain/dagRuns",
            {"dag_run_id": REQUEST["id"], "conf": {"request": REQUEST}, "logical_date": None},
        ),
        "databricks": (
            "/api/2.1/jobs/run-now",
            {
                "job_id": 11223344,
                "idempotency_token": REQUEST["id"],
                "job_parameters": {"request": json.dumps(REQUEST)},
            },
        ),
        "github": (
            "/repos/o/r/actions/workflows/retrain.yml/dispatches",
            {"ref": "main", "inputs": {"request_id": REQUEST["id"], "request": json.dumps(REQUEST)}},
        ),
    }[kind]
    assert (post.path, post.body) == expected


def test_airflow_2_has_another_address_and_a_password(serve: Callable[[Any], Api]) -> None:
    api = serve(airflow)
    config = AirflowLauncher(
        type="airflow", url=api.url, dag="retrain", user="u", password="p", api_version=1, allow_private=True
    )
    assert follow(open_remote(config), REQUEST, 60, 0.01, Event())[0].succeeded  # type: ignore[union-attr]
    first = api.received[0]
    assert (first.path, first.headers["authorization"]) == ("/api/v1/dags/retrain/dagRuns", "Basic dTpw")
    assert "logical_date" not in first.body


def test_a_repository_dispatch_can_be_asked_nothing(serve: Callable[[Any], Api]) -> None:
    api = serve(github)
    config = GitHubLauncher(
        type="github", repository="o/r", token="t", event_type="retrain", api=api.url, allow_private=True
    )
    outcome, why = follow(open_remote(config), REQUEST, 60, 0.01, Event())
    assert (outcome, why) == (None, "started; `monitor retraining complete` ends it")
    assert (api.received[0].path, api.received[0].body) == (
        "/repos/o/r/dispatches",
        {"event_type": "retrain", "client_payload": {"request": REQUEST}},
    )


def test_what_cannot_be_started_says_so_and_what_takes_too_long_has_failed(serve: Callable[[Any], Api]) -> None:
    down = serve(lambda *_: (503, {"error": "try later"}))
    with pytest.raises(LaunchError, match="answered 503"):
        follow(open_remote(configured("airflow", down.url)), REQUEST, 60, 0.01, Event())
    api = serve(airflow)
    api.has_ended = lambda run: False  # type: ignore[method-assign]
    outcome, _ = follow(open_remote(configured("airflow", api.url)), REQUEST, 0.05, 0.01, Event())
    assert outcome is not None
    assert "did not end within" in outcome.text


@pytest.mark.long
def test_a_python_function_retrains_a_real_model(project: Project) -> None:
    (project.folder / "training.py").write_text("""
import pandas as pd
from sklearn.linear_model import LogisticRegression

def train(request):
    log = pd.read_parquet("log.parquet").merge(pd.read_parquet("labels.parquet"), on="id")
    rows = log[log["event_time"].between(request["data_start"][:19], request["data_end"][:19])]
    model = LogisticRegression().fit(rows[["income"]], rows["label"])
    log["probability"] = model.predict_proba(log[["income"]])[:, 1]
    log["prediction"] = (log["probability"] >= 0.5).astype(int)
    log.drop(columns="label_time").tail(1000).to_parquet("next.parquet")
    text = f"trained on {len(rows)} rows"
    return {"status": "succeeded", "model_version": "2", "reference": "next.parquet", "text": text}
""")
    decayed(project, {"type": "python", "function": "training:train"})
    project.replay()
    (outcome,) = project.query("SELECT outcome FROM retraining_requests WHERE state = 'succeeded'")[0]
    assert "version 2 is trained" in outcome


class Killed(BaseException):
    """The process was killed."""


class Mortal:
    """Counts the steps of a daemon, and kills it at one of them. The start and the end of each use of the database,
    request and command is a step.
    """

    def __init__(self, dies_at: int) -> None:
        self.steps, self.dies_at = 0, dies_at

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.dies_at:
            raise Killed

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = function(*args, **kwargs)
            self.step()
            return result

        return mortal


LAUNCHERS = {
    "airflow": (airflow, {"type": "airflow", "dag": "retrain", "token": "t"}, "once"),
    "databricks": (databricks, {"type": "databricks", "job_id": 1, "token": "t"}, "once"),
    "github workflow": (github, {"type": "github", "repository": "o/r", "token": "t", "workflow": "w.yml"}, "once"),
    "webhook": (lambda *_: (200, {}), {"type": "webhook"}, "once"),
    "github event": (github, {"type": "github", "repository": "o/r", "token": "t", "event_type": "e"}, "at most once"),
    "command": (github, {"type": "command"}, "at most once"),
}
ADDRESS = {"airflow": "url", "databricks": "host", "github": "api", "webhook": "url"}


@pytest.mark.long
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_daemon_that_is_killed_between_any_two_steps_of_a_launch_starts_nothing_twice(
    project: Project, serve: Callable[[Any], Api], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answer, entry, promise = LAUNCHERS[name]
    launcher: dict[str, Any] = dict(entry)
    if launcher["type"] == "command":
        launcher["command"] = [sys.executable, "-c", "open('started', 'a').write('x')"]
    else:
        launcher |= {"allow_private": True, ADDRESS[launcher["type"]]: "${LAUNCHER_URL}"}
        launcher |= {} if launcher["type"] == "webhook" else {"poll_every": "1s"}
    policy = {"when": ["performance"], "launcher": "train"}
    monkeypatch.setenv("LAUNCHER_URL", "http://127.0.0.1:1")
    service = Service(project, {"churn": {"alerts": {}, "retraining": policy}}, launchers={"train": launcher})
    monkeypatch.setattr("monitor.services.launch_retraining.follow", lambda *given: follow(*given[:3], 0.01, given[4]))
    ends: dict[str, int] = {}
    kills = 0
    for dies_at in range(1, 100):
        api = serve(answer)
        monkeypatch.setenv("LAUNCHER_URL", api.url)
        (project.folder / "started").unlink(missing_ok=True)
        uuid = service.context.database.transact(requested, dies_at)
        mortal = Mortal(dies_at)
        if not _is_killed_by_launch(service, mortal, monkeypatch):
            break
        kills += 1
        for _ in range(3):  # the daemons after it
            _is_killed_by_launch(service, Mortal(10**6), monkeypatch)
        (request,) = service.context.database.read(retraining.find, uuid)
        posts = [(post.path, json.dumps(post.body)) for post in api.received if post.method == "POST"]
        if launcher["type"] == "command":
            started = len((project.folder / "started").read_text()) if (project.folder / "started").exists() else 0
        else:
            started = len(api.runs) or len(posts)
        if promise == "once":
            assert request.state in ("succeeded", "running"), (name, dies_at, request.state, request.outcome)
            assert len(set(posts)) == 1, "another request, or other bytes"
            assert name == "webhook" or started == 1
        else:
            assert request.state in ("succeeded", "unknown", "running"), (name, dies_at, request.state)
            assert started <= 1
        ends[request.state] = ends.get(request.state, 0) + 1
        service.context.database.transact(_end_request, uuid)
    assert kills >= 8
    print(f"{name}: killed at each of {kills} steps; started {promise}; ended as {ends}")


def requested(session: Session, number: int) -> str:
    row = monitors.by_name(session, "churn")
    assert row is not None
    start = NOW + timedelta(days=number)
    request = retraining.propose(
        session, row, (start, start), start, "train", "it decays", {"run": ""}, (start, start), "1", NOW
    )
    retraining.move(session, request, "open", "requested", NOW)
    return request.uuid


def _end_request(session: Session, uuid: str) -> None:
    (request,) = retraining.find(session, uuid)
    if request.state not in retraining.ENDED:
        retraining.move(session, request, "cancelled", "the test ends it", NOW)


def _is_killed_by_launch(service: Service, mortal: Mortal, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A new daemon recovers the launches of others, and launches. Returns whether it was killed."""
    database = Database(str(service.context.database.url))
    context = Context(service.context.loaded, database, service.clock)
    with monkeypatch.context() as patched:
        patched.setattr(database, "transact", mortal.around(database.transact))
        patched.setattr(database, "read", mortal.around(database.read))
        for place in ("outgoing.send", "outgoing.post_signed", "retraining.launchers.command.launch"):
            module, function = f"monitor.{place}".rsplit(".", 1)
            patched.setattr(f"monitor.{place}", mortal.around(getattr(sys.modules[module], function)))
        launcher = Launcher(context, WorkerPool(warm=False))
        deaths = []
        patched.setattr(launcher, "_go_on", _recording_death(launcher._go_on, deaths))
        try:
            launcher.recover({context.owner})
            launcher.launch()
        except Killed:
            deaths.append(1)
        launcher.close()
    return bool(deaths)


def _recording_death(function: Callable[..., None], deaths: list[int]) -> Callable[..., None]:
    def launch(*args: Any) -> None:
        try:
            function(*args)
        except Killed:
            deaths.append(1)

    return launch
