"""Access over HTTP: roles, tokens, sessions, and attacks."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
import requests
import zstandard

from monitor.services.apply_configuration import apply_configuration
from monitor.services.dispatch_alerts import DispatchCycle
from monitor.storage import alerts, people, silences
from tests.alerting import Service
from tests.conftest import Project, logged
from tests.unit.test_matchers import SLOW
from tests.web import PASSWORD, SECRET, From, Served, served


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    """A service that asks for a login."""
    with served(history, users=("viewer", "operator", "admin"), login=True, requests_per_minute=100_000) as service:
        yield service


@pytest.fixture(scope="module")
def own(history: Project) -> Iterator[Served]:
    """A service on a loopback address, as it is by default."""
    with served(history, requests_per_minute=100_000) as service:
        yield service


class Route(NamedTuple):
    """A route of the service: its method, its path with real ids, and the role that it requires."""

    method: str
    path: str
    role: str


def routes(site: Served) -> list[Route]:
    """All routes of the service."""
    ids = site.ids()
    parameters = {
        "name": "churn",
        "metric": "roc_auc",
        "alert": ids["alert"],
        "run": ids["run"],
        "request_id": ids["request"],
        "notification": ids["notification"],
        "silence": "00000000",
        "action": "acknowledge",
        "one_version": "0",
        "other": "1",
    }
    schema = site.get("/api/v1/schema/openapi.json", headers=site.token("viewer")).json()

    def with_ids(path: str) -> str:
        return re.sub(r"{(\w+)}", lambda match: parameters[match[1]], path)

    served_routes = []
    for path, methods in schema["paths"].items():
        for method in methods:
            role = (
                "ingest" if path.endswith(("/predictions", "/labels")) else "viewer" if method == "get" else "operator"
            )
            served_routes.append(Route(method.upper(), with_ids(path), role))
    pages = [
        "/",
        "/monitors/churn",
        "/runs/{run}",
        "/alerts",
        "/alerts/{alert}",
        "/silences",
        "/notifications",
        "/retraining",
        "/retraining/{request_id}",
        "/settings",
        "/metrics",
    ]
    served_routes += [Route("GET", with_ids(path), "viewer") for path in pages]
    forms = [
        "/alerts/{alert}/acknowledge",
        "/silences",
        "/silences/0/expire",
        "/notifications/{notification}/retry",
        "/retraining/{request_id}/approve",
        "/retraining/{request_id}/cancel",
    ]
    served_routes += [Route("POST", with_ids(path), "operator") for path in forms]
    assert len(served_routes) > 40
    return served_routes


def test_each_route_with_each_role_and_none(site: Served) -> None:
    tokens = {role: site.token(role) for role in ("viewer", "operator", "admin")}
    sender = site.token("ingest", ["churn"])
    for method, path, required_role in routes(site):
        without = requests.request(method, site.url + path, allow_redirects=False, timeout=60)
        if path.startswith(("/api/", "/metrics")):
            assert without.status_code == 401, (method, path)
            assert without.headers["content-type"] == "application/problem+json"
        else:
            assert (without.status_code, without.headers["location"].split("?")[0]) == (303, "/login"), (method, path)
        if required_role != "viewer":
            refused = requests.request(method, site.url + path, headers=tokens["viewer"], json={}, timeout=60)
            assert refused.status_code == 403, (method, path, refused.text)
        if required_role != "ingest":
            refused = requests.request(method, site.url + path, headers=sender, json={}, timeout=60)
            assert refused.status_code == 403, (method, path, refused.text)
        if method == "GET":
            for role in tokens:
                answer = requests.get(site.url + path, headers=tokens[role], timeout=60)
                assert answer.status_code in (200, 404), (path, role, answer.text)


def test_a_model_server_sends_rows_of_its_monitors_and_does_nothing_else(project: Project) -> None:
    project.monitor["source"] = {"path": "sent/*.parquet", "ingest": True}
    rows = logged(50).drop(columns="label").assign(event_time=lambda frame: frame["event_time"].astype(str))
    body = rows.to_dict("records")
    with served(project, users=("admin",), login=True) as site:
        apply_configuration(site.context)
        for monitors, status in ((["churn"], 202), (["fraud", "chu*"], 202), (["churn2", "Churn"], 403)):
            header = site.token("ingest", monitors)
            answer = site.post("/api/v1/predictions", params={"monitor": "churn"}, json=body, headers=header)
            assert answer.status_code == status, answer.text
            unknown = site.post("/api/v1/predictions", params={"monitor": "other"}, json=body, headers=header)
            assert unknown.status_code == 403  # the answer does not reveal whether the monitor exists
        assert (
            site.post(
                "/api/v1/predictions", params={"monitor": "churn"}, json=body, headers=site.token("viewer")
            ).status_code
            == 403
        )
        assert (
            site.post(
                "/api/v1/predictions", params={"monitor": "churn"}, json=body, headers=site.token("operator")
            ).status_code
            == 202
        )


def test_tokens_that_are_unknown_revoked_or_old_open_nothing(site: Served) -> None:
    now = datetime.now(UTC)
    row, token = site.database.transact(people.create_token, "gone", "admin", now, now + timedelta(hours=1))
    header = {"authorization": f"Bearer {token}"}
    assert site.get("/api/v1/monitors", headers=header).status_code == 200
    site.database.transact(lambda session: setattr(people.find_token(session, row.uuid)[0], "revoked_at", now))
    assert site.get("/api/v1/monitors", headers=header).status_code == 401
    _, old = site.database.transact(people.create_token, "old", "admin", now, now - timedelta(seconds=1))
    for given in (f"Bearer {old}", "Bearer ", "Bearer mon_x", "Basic dTpw", f"bearer{token}"):
        assert site.get("/api/v1/monitors", headers={"authorization": given}).status_code == 401, given
    assert token not in str(site.database.read(lambda session: [vars(stored) for stored in people.tokens(session)]))


def test_a_session_has_safe_cookies_and_ends_with_its_user(site: Served) -> None:
    client = requests.Session()
    form = client.get(f"{site.url}/login", timeout=60)
    token = re.search(r'name="token" value="(\w+)"', form.text)
    assert token is not None
    data = {"token": token[1], "name": "admin", "password": PASSWORD, "next": "//evil.example/"}
    entered = client.post(f"{site.url}/login", data=data, allow_redirects=False, timeout=60)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=lax"} <= {attribute.strip() for attribute in entered.headers["set-cookie"].split(";")}
    assert client.get(f"{site.url}/settings", timeout=60).status_code == 200
    site.database.transact(people.remove_user, "admin")
    assert client.get(f"{site.url}/settings", allow_redirects=False, timeout=60).status_code == 303


def test_a_login_leads_to_no_other_site(site: Served) -> None:
    outside = [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "/\r\n/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "/\x00/evil.example",
        "/a\\..\\evil",
        "evil.example",
        "",
    ]
    for wanted in outside:
        form = site.get("/login", params={"next": wanted})
        assert 'name="next" value="/"' in form.text, wanted
    for wanted in ("/alerts", "/runs/1?download=true", "/monitors/grün"):
        client = requests.Session()
        form = client.get(f"{site.url}/login", params={"next": wanted}, timeout=60)
        token = re.search(r'name="token" value="(\w+)"', form.text)
        assert token is not None
        data = {"token": token[1], "name": "viewer", "password": PASSWORD, "next": wanted}
        entered = client.post(f"{site.url}/login", data=data, allow_redirects=False, timeout=60)
        assert (entered.status_code, unquote(entered.headers["location"])) == (303, wanted)


def test_a_messages_links_lead_through_the_login_to_pages_that_ask_and_change_nothing(project: Project) -> None:
    service = Service(
        project, {"churn": {}}, channels={"ops": {"type": "file", "path": "told.jsonl"}}, grouping={"group_wait": "0s"}
    )
    name = service.event("churn", "performance")
    service.after(seconds=1)
    message = json.loads((project.folder / "told.jsonl").read_text())
    links = {link["title"]: link["url"] for section in message["sections"] for link in section["links"]}
    with served(project, users=("operator",), login=True) as site:
        paths = {title: urlsplit(url)._replace(scheme="", netloc="").geturl() for title, url in links.items()}
        assert paths["Acknowledge"] == f"/alerts/{name}#acknowledge"
        sent = site.get(paths["Silence for 4 h"])
        assert sent.status_code == 303
        client = requests.Session()
        form = client.get(site.url + sent.headers["location"], timeout=60)
        token = re.search(r'name="token" value="(\w+)"', form.text)
        wanted = re.search(r'name="next" value="([^"]+)"', form.text)
        assert token is not None
        assert wanted is not None
        data = {"token": token[1], "name": "operator", "password": PASSWORD, "next": unescape(wanted[1])}
        silence = client.post(f"{site.url}/login", data=data, timeout=60)
        assert urlsplit(silence.url).path == "/silences"
        assert 'alertname="ModelPerformance"\nmodel="churn"\nmodel_monitor="churn"' in unescape(silence.text)
        assert f"{name[:8]} (performance of churn)" in silence.text
        assert "Silence for 4h</button>" in silence.text
        assert 'id="acknowledge"' in client.get(site.url + paths["Acknowledge"], timeout=60).text
        assert site.database.read(lambda session: silences.listed(session, None)) == []
        assert not site.database.read(
            lambda session: alerts.is_acknowledged(session, alerts.find(session, name)[0], datetime.now(UTC))
        )


def test_a_password_is_guessed_no_faster_from_many_addresses(site: Served) -> None:
    def login_status(name: str, password: str, number: int) -> int:
        with requests.Session() as client:
            client.mount("http://", From(f"127.0.1.{number}"))
            form = client.get(f"{site.url}/login", timeout=60)
            token = re.search(r'name="token" value="(\w+)"', form.text)
            assert token is not None
            data = {"token": token[1], "name": name, "password": password, "next": "/"}
            return client.post(f"{site.url}/login", data=data, allow_redirects=False, timeout=60).status_code

    for name in ("operator", "nobody"):
        assert [login_status(name, "wrong", number) for number in range(1, 13)] == [401] * 10 + [429] * 2
    assert login_status("operator", PASSWORD, 20) == 429
    assert login_status("viewer", PASSWORD, 21) == 303


@pytest.mark.parametrize(("prefix", "begins"), [("", "__Host-"), ("/monitor", "__Secure-")])
def test_cookies_are_bound_to_this_host_where_the_page_came_by_tls(history: Project, prefix: str, begins: str) -> None:
    with served(history, users=("viewer",), login=True, trusted_proxies=["127.0.0.1"], root_path=prefix) as site:
        tls = {"x-forwarded-proto": "https"}
        form = site.get("/login", headers=tls)
        cookie = form.headers["set-cookie"]
        assert cookie.startswith(f"{begins}monitor_form=")
        assert {"Secure", "HttpOnly", f"Path={prefix or '/'}"} <= {attribute.strip() for attribute in cookie.split(";")}
        assert "domain" not in cookie.lower()
        token = re.search(r'name="token" value="(\w+)"', form.text)
        assert token is not None
        secret = {"cookie": cookie.split(";")[0]}
        data = {"token": token[1], "name": "viewer", "password": PASSWORD, "next": "/"}
        entered = site.post("/login", data=data, headers=tls | secret)
        assert entered.status_code == 303
        session = entered.headers["set-cookie"].split(";")[0]
        assert session.startswith(f"{begins}monitor_session=")
        assert site.get("/alerts", headers=tls | {"cookie": session}).status_code == 200
        # A cookie without the prefix may come from a neighbouring host or plain HTTP, and is ignored.
        assert site.get("/alerts", headers=tls | {"cookie": session.removeprefix(begins)}).status_code == 303
        left = site.post(
            "/logout", data={"token": token[1]}, headers=tls | {"cookie": f"{secret['cookie']}; {session}"}
        )
        assert all(
            "Secure" in set_cookie for set_cookie in re.findall(r"__\w+-monitor_\w+=[^,]*", left.headers["set-cookie"])
        )
        assert site.get("/alerts", headers=tls | {"cookie": session}).status_code == 303


def test_an_id_that_is_a_pattern_finds_nothing(own: Served) -> None:
    ids = own.ids()
    for kind, page in (("run", "runs"), ("alert", "alerts"), ("request", "retraining")):
        assert own.get(f"/{page}/{ids[kind][:12]}").status_code == 200
        for pattern in ("%25", "_", "%25%25", f"{ids[kind][:3]}%25", f"{ids[kind][:11]}_"):
            assert own.get(f"/{page}/{pattern}").status_code == 404, (page, pattern)


def test_forms_and_requests_of_other_sites_are_refused(own: Served) -> None:
    alert = own.ids()["alert"]
    path = f"/alerts/{alert}/acknowledge"
    assert own.post(path, data={"note": "x"}).status_code == 403
    assert own.post(path, data={"note": "x", "token": "0" * 64}, cookies={"monitor_form": "x"}).status_code == 403
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = own.post(f"/api/v1/alerts/{alert}/acknowledge", json={}, headers=headers)
        assert answer.status_code == 403, headers
        assert "another site" in answer.json()["detail"]
    for host in ("evil.example", "evil.example:8400", "", "[", "localhost.evil.example"):
        assert own.get("/api/v1/monitors", headers={"host": host}).status_code == 400, host
    for host in ("localhost:1", "localhost", "127.0.0.1", "[::1]", "[::1]:8400"):
        assert own.get("/api/v1/monitors", headers={"host": host}).status_code == 200, host


def test_no_page_of_another_site_makes_the_service_work_and_links_to_it_open(own: Served) -> None:
    for site in ("cross-site", "same-site"):
        for mode, destination in (
            ("no-cors", "image"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("no-cors", "script"),
        ):
            headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": destination}
            for path in ("/", "/silences", "/api/v1/monitors", "/metrics"):
                assert own.get(path, headers=headers).status_code == 403, (path, headers)
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert own.get("/alerts", headers=link).status_code == 200
        assert own.post("/silences", data={}, headers=link).status_code == 403
    assert own.get("/api/v1/monitors", headers={"origin": "https://evil.example"}).status_code == 403
    assert own.get("/", headers={"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}).status_code == 200


def test_no_matcher_keeps_the_service_from_answering(own: Served) -> None:
    started = time.monotonic()
    for matcher in SLOW:
        answer = own.get("/silences", params={"matchers": matcher})
        assert answer.status_code in (200, 400), matcher
        assert own.get("/healthz").status_code == 200
    assert time.monotonic() - started < 10
    many = "\n".join(['model="x"'] * 51)
    assert own.get("/silences", params={"matchers": many}).status_code == 400
    silence = {"matchers": [f'model=~"{"x" * 2000}"'], "duration": "2h"}
    assert own.post("/api/v1/silences", json=silence).status_code == 400


def test_a_silence_of_an_older_version_that_cannot_be_read_stops_nothing(project: Project) -> None:
    now = datetime.now(UTC)
    with served(project) as site:
        site.database.transact(
            lambda session: silences.add(session, ['model=~"(?=x)"'], now, now + timedelta(hours=1), "", "ann", now)
        )
        site.database.read(DispatchCycle, site.context)
        assert site.get("/silences").status_code == 200


def test_every_answer_carries_the_headers_that_keep_it_safe(own: Served) -> None:
    for path in ("/", "/nothing", "/login", "/api/v1/monitors", "/api/v1/nothing", "/healthz", "/static/style.css"):
        headers = own.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_sensitive_values_are_in_no_answer(own: Served) -> None:
    for route in routes(own):
        if route.method == "GET":
            assert SECRET not in own.get(route.path).text, route.path


def test_tricks_with_paths_find_nothing(own: Served) -> None:
    inside = own.context.loaded.path.name
    for path in (
        f"/static/../{inside}",
        f"/static/%2e%2e/{inside}",
        f"/static/..%2f..%2f{inside}",
        "/static/plotly/../../../../etc/passwd",
        "/runs/..%2f..%2fetc%2fpasswd/report",
        "/runs/%00/report",
        "/runs/'%20OR%201=1/report",
        "/api/v1/runs/%25/report",
        "/api/v1/runs/_/report",
        "//etc/passwd",
    ):
        with requests.Session() as client:
            prepared = requests.Request("GET", own.url).prepare()
            prepared.url = own.url + path
            answer = client.send(prepared, timeout=60, allow_redirects=False)
        assert answer.status_code in (400, 404), (path, answer.status_code)
        assert "root:" not in answer.text
        assert "monitors:" not in answer.text


@pytest.mark.long
def test_bodies_that_are_broken_too_large_or_bombs_are_refused_in_words(own: Served) -> None:
    silences = "/api/v1/silences"
    json_type = {"content-type": "application/json"}
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"matchers": 1}',
        b"\xff\xfe",
        b'{"matchers": ["x"], "duration": "2h"}',
        b'{"matchers": [], "duration": "2h"}',
        b"[" * 100_000,
    ):
        answer = own.post(silences, data=body, headers=json_type)
        assert answer.status_code == 400, (body[:40], answer.status_code)
        assert answer.json()["detail"]
    large = own.post("/api/v1/predictions?monitor=churn", data=b"x" * (33 * 2**20), headers=json_type)
    assert large.status_code == 413
    zeros = b"[" + b" " * (2**30)
    for encoding, packed in (("gzip", gzip.compress(zeros, 9)), ("zstd", zstandard.compress(zeros, 19))):
        assert len(packed) < 2 * 2**20
        bomb = own.post(
            "/api/v1/predictions?monitor=churn", data=packed, headers=json_type | {"content-encoding": encoding}
        )
        assert (bomb.status_code, "once unpacked" in bomb.json()["detail"]) == (413, True), encoding
    assert (
        own.post(
            "/api/v1/predictions?monitor=churn", data=b"nonsense", headers={"content-encoding": "gzip"}
        ).status_code
        == 400
    )
    assert (
        own.post("/api/v1/predictions?monitor=churn", data=b"x", headers={"content-encoding": "br"}).status_code == 415
    )


def test_too_many_requests_are_told_to_wait(history: Project) -> None:
    with served(history, requests_per_minute=5) as site:
        answers = [site.get("/api/v1/monitors") for _ in range(12)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["title"] == "Too Many Requests"


def test_settings_show_no_secret(project: Project) -> None:
    project.values["channels"] = {
        "hook": {"type": "webhook", "url": "https://user:hunter2@example.org/abc-path", "secret": "whsec_abcdefgh"},
        "chat": "slack://TokenA/TokenB/TokenC",
    }
    project.values["database"] = f"sqlite:///{project.folder}/monitor.db"
    with served(project) as site:
        shown = site.get("/settings").text
    for secret in ("hunter2", "whsec_abcdefgh", "TokenB", "abc-path"):
        assert secret not in shown


def test_an_address_that_others_reach_takes_somebody_who_may_log_in(project: Project, monitor_command: Any) -> None:
    project.values["web"] = {"host": "0.0.0.0", "port": 0}
    project.write()
    refused = monitor_command("serve", cwd=project.folder)
    assert refused.returncode == 2
    assert "monitor users add" in refused.stderr


def test_people_and_tokens_are_managed_by_commands(project: Project, monitor_command: Any) -> None:
    project.write()
    command = ("users", "add", "ann", "--role", "admin")
    short = monitor_command(*command, cwd=project.folder, given="short\n")
    assert (short.returncode, "at least 12" in short.stderr) == (2, True)
    assert monitor_command(*command, cwd=project.folder, given=f"{PASSWORD}\n").returncode == 0
    assert json.loads(monitor_command("users", "list", "--json", cwd=project.folder).stdout)[0]["role"] == "admin"
    token = monitor_command("tokens", "create", "ci", "--for", "90d", cwd=project.folder).stdout.strip()
    assert token.startswith("mon_")
    (row,) = json.loads(monitor_command("tokens", "list", "--json", cwd=project.folder).stdout)
    assert (row["name"], row["role"], row["revoked"]) == ("ci", "operator", None)
    for wrong in (("--role", "ingest"), ("--role", "viewer", "--monitor", "churn")):
        refused = monitor_command("tokens", "create", "server", *wrong, cwd=project.folder)
        assert (refused.returncode, "--monitor" in refused.stderr) == (2, True)
    sender = ("tokens", "create", "server", "--role", "ingest", "--monitor", "churn", "--monitor", "fraud-*")
    assert monitor_command(*sender, cwd=project.folder).returncode == 0
    newest = json.loads(monitor_command("tokens", "list", "--json", cwd=project.folder).stdout)[0]
    assert (newest["role"], newest["monitors"]) == ("ingest", ["churn", "fraud-*"])
    assert "is revoked" in monitor_command("tokens", "revoke", row["id"][:8], cwd=project.folder).stdout
    assert project.query("SELECT action FROM audit_log ORDER BY id") == [
        ("user added",),
        ("token created",),
        ("token created",),
        ("token revoked",),
    ]
    assert not any(PASSWORD in str(user) for user in project.query("SELECT * FROM users"))


def test_behind_a_proxy_with_a_prefix_links_lead_back_through_it(history: Project) -> None:
    with served(history, root_path="/monitor") as site:
        base = site.url.removesuffix("/monitor")
        for prefix in ("", "/monitor"):  # a proxy that takes the prefix off, and one that leaves it
            page = requests.get(f"{base}{prefix}/alerts", timeout=60)
            assert page.status_code == 200
            assert 'href="/monitor/alerts"' in page.text
            assert 'href="/alerts"' not in page.text


@pytest.mark.long
def test_the_daemon_goes_on_without_its_page_and_the_page_comes_when_it_can(project: Project) -> None:
    import socket
    import subprocess
    import sys
    from pathlib import Path

    from tests.processes import wait_until

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        project.values["web"] = {"port": port}
        project.write()
        command = [str(Path(sys.executable).parent / "monitor"), "serve"]
        with open(project.folder / "log", "w") as log:
            daemon = subprocess.Popen(command, cwd=project.folder, stdout=log, stderr=log)
        log_path = project.folder / "log"
        try:
            wait_until(lambda: "web_failed" in log_path.read_text(), 30)
            wait_until(lambda: "run_done" in log_path.read_text(), 60)
            assert daemon.poll() is None
        finally:
            taken.close()
            if "run_done" not in log_path.read_text():
                daemon.kill()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/healthz", timeout=5).ok
        except requests.RequestException:
            return False

    wait_until(answers, 30)
    assert "alive" in requests.get(f"{url}/settings", timeout=60).text
    daemon.terminate()
    assert daemon.wait(30) == 0


@pytest.mark.long
def test_a_page_without_its_database_says_so_and_comes_back(project: Project) -> None:
    from tests import servers

    servers.require(servers.PostgreSQL)
    server = servers.PostgreSQL()
    project.values["database"] = server.new_database()
    try:
        with served(project) as site, served(project, users=("viewer",), login=True) as protected_site:
            token = protected_site.token("viewer")
            assert site.get("/").status_code == protected_site.get("/", headers=token).status_code == 200
            server.kill()
            assert site.get("/healthz").status_code == 200
            assert site.get("/readyz").status_code == 503
            page = site.get("/alerts")
            assert (page.status_code, "report database" in page.text) == (503, True)
            refused = protected_site.get("/api/v1/monitors", headers=token)
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            server.start()
            assert site.get("/readyz").status_code == 200
            assert site.get("/").status_code == protected_site.get("/", headers=token).status_code == 200
    finally:
        server.stop()
