"""The wheel holds what an installation needs, and the source holds nothing that it should not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_migrations_types_and_the_demos_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("production_monitor-*.whl"))).namelist())
    assert {
        "monitor/py.typed",
        "monitor/_migrations/env.py",
        "monitor/_migrations/versions/0001_first_tables.py",
    } <= names
    assert {"monitor/web/templates/fleet.html", "monitor/web/static/style.css", "monitor/web/static/plots.js"} <= names
    assert {"monitor/demo/data/bike_sharing.parquet", "monitor/demo/data/SOURCE.md"} <= names
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


def test_the_pins_have_hashes_and_no_address() -> None:
    for name in ("constraints.txt", "constraints-dev.txt", "constraints-docs.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, monitor.cli; print([name for name in ('pandas', 'evidently', 'sqlalchemy', 'ibis', 'sklearn') if"
        " name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_daemons_own_process_imports_nothing_heavy_not_for_its_page_either() -> None:
    heavy = ("evidently", "duckdb", "pandas", "pyarrow", "numpy", "matplotlib")
    code = f"import sys, monitor.daemon, monitor.web.server; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
