"""Documents are true: reference pages are made from the code, the README's examples run, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import yaml

from monitor.config.load import load
from monitor.config.model import AnyChannel
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
        "configuration.md": made.configuration_page(), "command-line.md": made.command_page(), "openapi.json": made.openapi_page(),
    }  # fmt: skip
    for name, page in pages.items():
        assert (ROOT / "docs" / "reference" / name).read_text() == page, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "monitor.yaml").write_text(block[1])
    assert list(load(tmp_path / "monitor.yaml", check_secrets=False).configuration.monitors) == ["churn"]


def test_the_channels_of_the_pages_are_valid(tmp_path: Path) -> None:
    """Each block of how to be told, with what the page leaves out of a monitor."""
    usual = {"task": "binary", "model": {"name": "m"}, "source": {"path": "x"}, "reference": {"path": "y"}, "columns": {"event_time": "t", "prediction": "p"}}  # fmt: skip
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/how-to/be-told.md").read_text(), re.DOTALL)
    types = set()
    for number, block in enumerate(blocks):
        values = yaml.safe_load(block)
        values["monitors"] = {"features": usual} | {name: usual | entry for name, entry in values.get("monitors", {}).items()}  # fmt: skip
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(values))
        types |= {each.type for each in load(file, check_secrets=False).configuration.channels.values()}
    assert types == {get_args(each.model_fields["type"].annotation)[0] for each in get_args(AnyChannel)}


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
