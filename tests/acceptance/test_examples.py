"""Each example does what its README says. Its commands are run unchanged, and end with the alert that it shows."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/monitor.yaml"))
# Packages of the examples that are no dependencies. CI has no wheels of the two big ones.
NEEDS = {"fastapi": "fastapi", "keras": "tensorflow", "pytorch": "torch", "xgboost": "xgboost"}
BIG = ("keras", "pytorch")


def block(folder: Path, language: str) -> str:
    """The first block of a README in a language."""
    match = re.search(rf"```{language}\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert match is not None, f"{folder} has no block of {language}"
    return match.group(1)


def words(text: str) -> str:
    """A text in one line without its numbers, which may differ slightly between machines."""
    return re.sub(r"\d+([.,:-]\d+)*", "#", " ".join(re.sub(r"\b[0-9a-f]{8}\b", "#", text).split()))


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a shell, with the programs of this Python. All processes that it started are ended with it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env=environment,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(script, process.returncode, output)


def copied(name: str, tmp_path: Path) -> Path:
    """A copy of an example's folder as it is in the repository."""
    left_out = shutil.ignore_patterns("__pycache__", "*.db", "*.csv", "*.parquet", "*.jsonl", "*.joblib", "log")
    return Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=left_out))


def says_what_to_install(folder: Path) -> None:
    """An example without its framework ends with a message that names the package to install."""
    done = shell("python train_and_log.py", folder)
    assert done.returncode == 1, done.stdout
    assert re.fullmatch(r"this example needs [\w ]+: pip install [\w-]+( \(or \w+\))?\n", done.stdout), done.stdout


def require(name: str, folder: Path) -> None:
    """Skip if a framework is not installed. Check the message of the big two; in CI only these may be missing."""
    if name not in NEEDS or find_spec(NEEDS[name]) is not None:
        return
    if name in BIG:
        says_what_to_install(folder)
        if os.environ.get("CI"):
            return
    elif os.environ.get("CI"):
        pytest.fail(f"{NEEDS[name]} is not installed")
    pytest.skip(f"needs {NEEDS[name]}: examples/{name}/README.md says how to install it")


def trained_and_logged(folder: Path) -> None:
    """Run the lines of a README before its commands of `monitor`. A service listens on a free port."""
    lines = block(folder, "shell").split("monitor ")[0]
    done = shell(lines.replace("8000", str(free_port())), folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_example_ends_with_the_alert_that_its_readme_shows(
    name: str, tmp_path: Path, monitor_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(name, tmp_path)
    require(name, folder)
    if name in BIG and find_spec(NEEDS[name]) is None:
        return
    monkeypatch.setenv("COLUMNS", "100")
    trained_and_logged(folder)
    outputs = {}
    for command in re.findall("^monitor (.*)", block(folder, "shell"), re.MULTILINE):
        done = monitor_command(*shlex.split(command), cwd=folder)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command] = done.stdout
    assert list(outputs)[:3] == ["validate", "run", "alerts list"]
    for alert in block(folder, "text").split("\n\n"):
        assert words(alert) in words(outputs["alerts list"]), outputs["alerts list"]
    [shown] = [text for command, text in outputs.items() if command.startswith("alerts show")]
    assert ", firing, critical;" in shown
    config = yaml.safe_load((folder / "monitor.yaml").read_text())
    [monitor] = config["monitors"]
    assert re.search(rf"severity +critical\s+monitor +{monitor}\n", block(folder, "text"))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_examples_configuration_is_what_init_writes(
    name: str, tmp_path: Path, monitor_command: Callable[..., Any]
) -> None:
    folder = copied(name, tmp_path)
    require(name, folder)
    if name in BIG and find_spec(NEEDS[name]) is None:
        return
    text = (folder / "monitor.yaml").read_text()
    trained_and_logged(folder)
    command = shlex.split(text.splitlines()[0].removeprefix("# monitor "))
    made = monitor_command(*command, "--file", "made.yaml", cwd=folder)
    assert made.returncode == 0, made.stderr
    written, trimmed = yaml.safe_load((folder / "made.yaml").read_text()), yaml.safe_load(text)
    del written["monitors"][command[1]]["alerts"]
    trimmed["monitors"][command[1]]["columns"].pop("embeddings", None)
    assert trimmed == written


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fastapi" and name in NEEDS])
def test_an_example_without_its_framework_says_what_to_install(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    (folder / f"{NEEDS[name]}.py").write_text("raise ImportError")
    says_what_to_install(folder)


def test_the_notebook_tells_of_the_decay_that_its_readme_shows() -> None:
    cells = [
        cell
        for cell in json.loads((EXAMPLES / "notebook/kiosks.ipynb").read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    scope: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        for cell in cells:
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "cell", "exec"), scope)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
                if value is not None:
                    print(repr(value))
    for line in block(EXAMPLES / "notebook", "text").splitlines():
        assert words(line) in words(output.getvalue()), output.getvalue()


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"^\| \[[\w-]+\]\(([\w-]+)/\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.parent.name for path in EXAMPLES.glob("*/README.md")} == {*NAMES, "notebook"}
