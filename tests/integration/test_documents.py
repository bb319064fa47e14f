"""Documents are true: reference pages are made from the code, the README's examples run, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pandas as pd
import pytest
import typer
import yaml

from monitor import errors
from monitor.cli import app
from monitor.config.load import load
from monitor.config.model import AnyChannel, Configuration
from monitor.domain.checks import Verdict
from monitor.domain.monitor_state import MonitorState
from monitor.errors import MonitorError
from tests.commands import run_here
from tests.conftest import Project, logged

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_pages_are_those_of_the_code() -> None:
    made = maker()
    pages = {
        "configuration.md": made.configuration_page(),
        "command-line.md": made.command_page(),
        "openapi.json": made.openapi_page(),
    }
    for name, page in pages.items():
        assert (ROOT / "docs" / "reference" / name).read_text() == page, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_code_and_the_tests_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    paths = set(re.findall(r"`((?:monitor|tests|migrations)/[^`\s]*)`", text))
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in tests] == []


def texts(node: ast.AST) -> str | None:
    """A text of the code, with `…` for each value that is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{\d\}", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (texts(node.left) or "…") + (texts(node.right) or "…")
    return None


def quoted_messages() -> list[str]:
    """The messages of the tables of the page on troubleshooting."""
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    tables = re.split(r"^## ", text, flags=re.MULTILINE)
    rows = [
        row for table in tables if "| message |" in table for row in re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    ]
    assert len(rows) > 60
    return rows


def test_each_message_of_the_page_on_troubleshooting_is_one_of_the_code() -> None:
    code = [ast.parse(path.read_text()) for path in (ROOT / "monitor").rglob("*.py")]
    code_texts = "\n".join(text.replace("`", "") for tree in code for node in ast.walk(tree) if (text := texts(node)))
    for message in quoted_messages():
        assert max(len(part) for part in message.split("…")) >= 8, message
        pattern = "[^\n]*".join(map(re.escape, message.split("…")))
        assert re.search(pattern, code_texts), message


def test_the_page_on_troubleshooting_has_every_state_verdict_and_exit_code() -> None:
    text = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
    states, codes = text.split("## States and verdicts")[1].split("## Exit codes")
    assert set(re.findall(r"`(\w+)`(?=[^|]*\| a (?:monitor|check))", states)) == {*MonitorState, *Verdict}
    of_errors = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, MonitorError)
    }
    assert {int(code) for code in re.findall(r"^\| (\d) \|", codes, re.MULTILINE)} == {0, 4, 5} | of_errors


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "monitor.yaml").write_text(block[1])
    assert list(load(tmp_path / "monitor.yaml", check_secrets=False).configuration.monitors) == ["churn"]


def test_the_channels_of_the_pages_are_valid(tmp_path: Path) -> None:
    """Each block of the page on notifications, completed with the fields of a monitor that the page leaves out."""
    usual = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "x"},
        "reference": {"path": "y"},
        "columns": {"event_time": "t", "prediction": "p"},
    }
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/how-to/be-told.md").read_text(), re.DOTALL)
    types = set()
    for number, block in enumerate(blocks):
        values = yaml.safe_load(block)
        values["monitors"] = {"features": usual} | {
            name: usual | entry for name, entry in values.get("monitors", {}).items()
        }
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(values))
        types |= {channel.type for channel in load(file, check_secrets=False).configuration.channels.values()}
    assert types == {get_args(channel_type.model_fields["type"].annotation)[0] for channel_type in get_args(AnyChannel)}


def test_the_readmes_python_runs_and_finds_the_harm(project: Project) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    frame = logged()
    frame.to_parquet(project.folder / "window.parquet", index=False)
    done = subprocess.run(
        [sys.executable, "-c", block[1]], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("none", "info"))
    frame.assign(label=1 - frame["label"]).to_parquet(project.folder / "window.parquet", index=False)
    done = subprocess.run(
        [sys.executable, "-c", block[1]], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert "critical: ROC AUC is 0" in done.stderr


def test_compose_and_unit_have_the_form_of_their_kind() -> None:
    import configparser

    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert set(compose["services"]) == {"database", "monitor", "prometheus", "grafana"}
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / "monitor.service")
    assert unit["Service"]["ExecStart"].endswith("monitor serve --log-format json")
    service = unit["Service"]
    for key in ("ProtectHome", "PrivateDevices", "RestrictAddressFamilies", "SystemCallFilter", "MemoryMax"):
        assert service[key]
    assert (service["ProtectSystem"], service["UMask"]) == ("strict", "0077")
    assert "ReadWritePaths" not in service  # its state folder alone, in which there is no code
    assert os.path.basename(
        re.findall(r"COPY (?:--\S+ )?.*?(constraints\.txt)", (ROOT / "deploy" / "Dockerfile").read_text())[0]
    )


def test_systemd_itself_finds_the_unit_well_confined() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("needs systemd-analyze")
    command = [tool, "security", "--offline=true", "--threshold=25", str(ROOT / "deploy" / "monitor.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown" not in done.stderr


def test_the_model_server_of_the_pages_runs_and_is_watched(project: Project) -> None:
    from fastapi.testclient import TestClient

    from tests.web import served

    block = re.search(r"```python\n(from fastapi.*?)```", (ROOT / "docs/how-to/look.md").read_text(), re.DOTALL)
    assert block is not None
    project.monitor["source"] = {"path": "sent/*.parquet", "ingest": True}
    del project.monitor["columns"]["prediction"]
    with served(project) as site:
        names: dict[str, object] = {"model": lambda features: 0.25, "__name__": "server"}
        exec(block[1].replace("http://127.0.0.1:8400", site.url), names)
        answer = TestClient(names["app"]).post("/predict", json={"id": "a-17", "income": 41.5})
        assert answer.json() == {"id": "a-17", "income": 41.5, "probability": 0.25}
        again = names["watched"].predictions("churn", answer.json())  # type: ignore[attr-defined]
        assert (again.accepted, again.duplicates) == (0, 1)


COMPARISON = ROOT / "docs" / "explanation" / "comparison.md"


def blocks_of(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_comparisons_python_gives_a_workspace_of_evidently_a_report(project: Project) -> None:
    (block,) = blocks_of(COMPARISON, "python")
    logged().to_parquet(project.folder / "window.parquet", index=False)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list((project.folder / "workspace").rglob("*.json"))


def test_the_files_of_a_nannyml_configuration_become_a_monitor(tmp_path: Path) -> None:
    log = pd.read_csv(ROOT / "tests" / "data" / "logs" / "nannyml.csv")
    log[:120].to_csv(tmp_path / "reference.csv", index=False)
    log[120:].drop(columns="y_true").to_csv(tmp_path / "analysis.csv", index=False)
    log[120:][["id", "y_true"]].to_csv(tmp_path / "analysis_gt.csv", index=False)
    (block,) = blocks_of(COMPARISON, "sh")
    for line in block.splitlines():
        done = run_here(*shlex.split(line)[1:], cwd=tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert done.returncode == 0, done.stdout + done.stderr
    assert "runs finished" in done.stdout


def test_the_comparisons_configurations_are_valid(project: Project) -> None:
    for block in blocks_of(COMPARISON, "yaml"):
        for key, value in yaml.safe_load(block).items():
            before = project.monitor.get(key)
            project.monitor[key] = {**before, **value} if isinstance(before, dict) and key == "windows" else value
        done = run_here("validate", cwd=project.write().parent)
        assert done.returncode == 0, done.stdout + done.stderr


def commands_of(text: str) -> list[str]:
    """The commands of `monitor` that a page names: in its blocks, and between backticks."""
    blocks = "\n".join(re.findall(r"^ *```\w*[^\n]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE))
    in_blocks = re.findall(r"^\s*(?:\$ )?(monitor [a-z].*)$", blocks, re.MULTILINE)
    return [re.sub(r"\s+#.*$", "", command) for command in [*re.findall(r"`(monitor [a-z][^`\n]*)`", text), *in_blocks]]


def mistakes_of(command: str) -> list[str]:
    """The parts of a command that do not exist: the command itself, or its options."""
    click_command: Any = typer.main.get_command(app)
    words = shlex.split(command.replace("'", "")) if command.count("'") % 2 else shlex.split(command)
    for word in words[1:]:
        below = getattr(click_command, "commands", None)
        if below is None:
            break
        if any(name not in below for name in word.split("|")):
            return [word]
        click_command = below[word.split("|")[0]]
    options = {name for parameter in click_command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help",
        "-h",
    }
    return [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_and_options_of_the_pages_exist(page: Path) -> None:
    assert {command: wrong for command in commands_of(page.read_text()) if (wrong := mistakes_of(command))} == {}


def test_a_command_or_option_that_does_not_exist_is_seen() -> None:
    text = "`monitor runs shwo ID` and\n\n```\nmonitor run churn --agian   # once more\nmonitor status --json\n```\n"
    assert [mistakes_of(command) for command in commands_of(text)] == [["shwo"], ["--agian"], []]


CONFIGURED = [page for page in PAGES if blocks_of(page, "yaml")]


@pytest.mark.parametrize("page", CONFIGURED, ids=lambda page: page.name)
def test_the_configurations_of_the_pages_are_valid(page: Path, project: Project) -> None:
    """Parts of a configuration are tried within a whole one, with channels and launchers of blocks before; places of
    files and secrets are not looked at.
    """
    usual = project.monitor
    others: dict[str, Any] = {}
    for block in blocks_of(page, "yaml"):
        given = yaml.safe_load(block)
        if set(given) & set(Configuration.model_fields):
            entries = given.pop("monitors", {})
            for key, value in given.items():
                others[key] = {**others.get(key, {}), **value} if isinstance(value, dict) else value
        else:
            entries = {"churn": given}
        monitors = {name: {**usual, **entry} for name, entry in entries.items()}
        values = {**project.values, **others, "monitors": {"churn": usual, "features": usual, **monitors}}
        path = project.folder / "page.yaml"
        path.write_text(yaml.safe_dump(values))
        load(path, check_secrets=False)
