"""`make bench`: what a window costs, as ratios against a named peer measured in the same run; writes
docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest

from monitor.services.workers import WorkerPool
from tests import replay_projects, servers
from tests.benchmarks.peers import before_and_after, evidently_definition, production_frame

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "performance.md"
pytestmark = pytest.mark.timeout(1800)
ROWS: list[tuple[str, str, str, str, str]] = []


def run(name: str, rows: int, columns: int, rounds: int = 5, python: str = sys.executable) -> dict[str, Any]:
    """One peer in a process of its own."""
    command = [python, "-m", "tests.benchmarks.peers", name, str(rows), str(columns), str(rounds)]
    process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.strip().splitlines()[-1])


def spread(measurement: dict[str, Any]) -> str:
    seconds = measurement["seconds"]
    return f"{median(seconds):.3g} s ({min(seconds):.3g} to {max(seconds):.3g})"


def note(what: str, ours: str, theirs: str, ratio: str, goal: str) -> None:
    ROWS.append((what, ours, theirs, ratio, goal))
    print(f"\n{what}: {ours}, against {theirs}: {ratio} (goal {goal})", flush=True)


def times(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    return float(median(theirs["seconds"]) / median(ours["seconds"]))


WINDOW = "50 columns x 200,000 rows, a fifth shifted"
CLEAN = "numbers of which nothing changes, without times and ids"


def test_drift_against_evidently() -> None:
    theirs = run("preset_drift", 200_000, 50, 2)
    drift, everything = run("our_drift", 200_000, 50), run("our_checks", 200_000, 50)
    preset = f"DataDriftPreset {spread(theirs)}"
    note(f"{WINDOW}: drift alone", spread(drift), preset, f"1/{times(drift, theirs):.0f}", "1/100")
    memory = f"1/{theirs['megabytes'] / max(drift['megabytes'], 1):.1f}"
    note(f"{WINDOW}: memory of it", f"{drift['megabytes']:.0f} MB", f"{theirs['megabytes']:.0f} MB", memory, "1/3")
    note(f"{WINDOW}: all checks", spread(everything), preset, f"1/{times(everything, theirs):.0f}", "1/30")


def test_drift_of_clean_frames_against_evidently() -> None:
    ours, theirs = run("our_drift_clean", 200_000, 50), run("preset_drift_clean", 200_000, 50, 1)
    preset = f"DataDriftPreset {spread(theirs)}"
    note(f"drift alone, {CLEAN}", spread(ours), preset, f"1/{times(ours, theirs):.0f}", "1/100")


def test_a_window_against_the_presets() -> None:
    ours, theirs = run("our_checks", 20_000, 20), run("three_presets", 20_000, 20, 3)
    note(
        "20 columns x 20,000 rows, a fifth shifted: all checks and the report",
        spread(ours),
        f"three presets {spread(theirs)}",
        f"1/{times(ours, theirs):.0f}",
        "1/30",
    )


def test_a_window_with_labels_of_earlier_ones() -> None:
    ours = run("our_checks", 5_000, 20)
    note(
        "20 columns x 5,000 rows, 20,000 labelled rows before them: all checks and the report",
        spread(ours),
        "",
        "",
        "0.5 s",
    )


def test_fitting() -> None:
    whole, half = run("our_fit", 200_000, 50, 3), run("our_fit", 200_000, 25, 3)
    text = f"25 columns {spread(half)}"
    note(
        "fitting a reference of 200,000 x 50",
        spread(whole),
        text,
        f"{1 / times(whole, half):.1f} x",
        "5 s, linear: 2 x",
    )
    wide = run("our_fit_and_checks", 3_000, 384, 3)
    note("384 columns x 3,000 rows, a fifth shifted: fitting and all checks", spread(wide), "", "", "15 s")


@pytest.mark.parametrize(("rows", "goal"), [(200_000, 4), (1_000_000, 3)])
@pytest.mark.parametrize(
    ("kind", "data"), [("", "text ids, a fifth shifted"), ("_clean", "clean numbers, whole-number ids")]
)
def test_from_the_file_to_the_scores(kind: str, data: str, rows: int, goal: int) -> None:
    ours, limit = run(f"file_to_scores{kind}", rows, 50), run(f"scan{kind}", rows, 50)
    note(
        f"Parquet file of {rows:,} x 50 to drift scores, {data}",
        spread(ours),
        f"pyarrow reads it in {spread(limit)}",
        f"{1 / times(ours, limit):.1f} x",
        f"{goal} x",
    )


def test_drift_against_nannyml(nannyml_python: str) -> None:
    ours, theirs = run("our_drift", 200_000, 50), run("nannyml_drift", 200_000, 50, python=nannyml_python)
    note(
        f"{WINDOW}: drift alone, beside NannyML",
        spread(ours),
        f"NannyML's calculate {spread(theirs)}",
        f"1/{times(ours, theirs):.1f}",
        "1/3",
    )


def test_a_report_stored_and_shown() -> None:
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    from monitor import Columns, Reference, evaluate
    from monitor.analysis.snapshot.store import pack, to_html, unpack

    warnings.simplefilter("ignore")
    before, after = before_and_after(10_000, 50)
    definition = evidently_definition(before, 50)
    sides = [Dataset.from_pandas(side, definition) for side in (after, before)]
    theirs = Report([DataDriftPreset()]).run(*sides)
    parts = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")
    reference = Reference.fit(before, parts, "binary")
    stored = pack(evaluate(reference, after).snapshot)
    shown: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(5):
        for name, draw in (
            ("ours", lambda: to_html(unpack(stored))),
            ("theirs", lambda: theirs.get_html_str(as_iframe=False)),
        ):
            began = time.perf_counter()
            page = draw()
            shown[name].append(time.perf_counter() - began)
    ours, peer = ({"seconds": shown[name]} for name in ("ours", "theirs"))
    note(
        "HTML from the stored snapshot, 50 columns, a fifth shifted",
        spread(ours),
        f"Evidently's get_html_str {spread(peer)}",
        f"{1 / times(ours, peer):.2f} x",
        "no slower",
    )
    note(
        "stored bytes of a report of 50 columns, a fifth shifted",
        f"{len(stored):,}",
        f"Evidently's HTML {len(page):,}",
        f"1/{len(page) / len(stored):.0f}",
        "1/200",
    )


def test_windows_a_minute(tmp_path: Path) -> None:
    """Monitors of 20 columns x 5,000 rows, shifted in every second window, through `monitor run`, results stored;
    against a loop over the presets.
    """
    number = int(os.environ.get("MONITOR_BENCH_MONITORS", "200"))
    half, whole = (windows_a_minute(tmp_path / str(monitors), monitors) for monitors in (number // 2, number))
    theirs = run("three_presets", 5_000, 20, 3)
    peer = 60 / median(theirs["seconds"])
    what = f"windows a minute, {number} monitors x 20 columns x 5,000 rows, stored, a fifth shifted in one of two"
    note(what, f"{whole:.0f}", f"a loop over three presets {peer:.1f}", f"{whole / peer:.0f} x", "60 x")
    note(
        "the same with half as many monitors",
        f"{half:.0f}",
        f"{number} monitors {whole:.0f}",
        f"{whole / half:.2f} x",
        "linear: 1 x",
    )


def windows_a_minute(folder: Path, number: int) -> float:
    """How many windows of so many monitors, two each, end within a minute."""
    from monitor.daemon import Daemon
    from tests.conftest import Project

    rows = 5_000
    folder.mkdir()
    production_frame(rows, 20, 0, day=-30).to_parquet(folder / "reference.parquet", index=False)
    days = [production_frame(rows, 20, 1 + day, day=day, shifted=day == 1) for day in (0, 1)]
    pd.concat(days).drop(columns="label").to_parquet(folder / "log.parquet", index=False)
    entry = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "log.parquet"},
        "reference": {"path": "reference.parquet"},
        "columns": {
            "id": "id",
            "event_time": "event_time",
            "prediction": "prediction",
            "probability": "probability",
            "label": "label",
        },
        "windows": {"length": "1d", "start": "2025-01-01"},
    }
    project = Project(folder, {"monitors": {f"m{index}": entry for index in range(number)}})
    with Daemon(project.loaded()) as daemon:
        daemon.ready()
        began = time.perf_counter()
        outcome = daemon.run_until_idle()
        return outcome.finished / (time.perf_counter() - began) * 60


@pytest.fixture(scope="session")
def nannyml_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has NannyML: it wants other libraries than we do, and gets an environment of its own."""
    folder = tmp_path_factory.mktemp("nannyml")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run(
        [f"{folder}/bin/python", "-m", "pip", "install", "-q", "nannyml", "statsmodels"], check=False
    ).returncode:
        pytest.skip("NannyML cannot be installed")
    return f"{folder}/bin/python"


@pytest.mark.skipif(not replay_projects.DATA.is_dir(), reason=f"needs the data sets in {replay_projects.DATA}")
@pytest.mark.parametrize("name", replay_projects.SETS)
def test_whole_runs_over_real_data(name: str, tmp_path: Path, nannyml_python: str) -> None:
    """All windows of a set, from files to stored results, by two workers; the same windows by Evidently's presets and
    by NannyML, each within one process.
    """
    ours, presets = (_real_runs(what, name, tmp_path / what) for what in ("ours", "evidently"))
    script = Path(__file__).with_name("nannyml_estimates.py")
    command = [nannyml_python, str(script), str(replay_projects.DATA), str(tmp_path / "estimates.parquet"), name]
    subprocess.run(command, check=True, env=os.environ | {"NML_DISABLE_USAGE_LOGGING": "1"})
    theirs = float(pd.read_parquet(tmp_path / "estimates.parquet")["cpu"].mean())
    rate = {state: 60 * ours[state]["runs"] / ours[state]["seconds"] for state in ("cold", "warm")}
    cpu, loop = ours["warm"]["cpu"] / ours["warm"]["runs"], presets["cpu"] / presets["runs"]
    note(
        f"{name}: runs a minute, of files to stored results, two workers, cold / warm",
        f"{rate['cold']:.0f} / {rate['warm']:.0f}",
        f"a loop over three presets {60 * presets['runs'] / presets['seconds']:.1f}",
        f"{rate['warm'] / (60 * presets['runs'] / presets['seconds']):.0f} x",
        "300",
    )
    note(
        f"{name}: CPU seconds a run, warm, children included",
        f"{cpu:.2f}",
        f"three presets {loop:.2f}; NannyML's drift and estimate {theirs:.2f}",
        f"1/{loop / cpu:.0f}; 1/{theirs / cpu:.1f}",
        "1/30",
    )
    shares = ours["shares"]
    text = ", ".join(f"{stage} {seconds / sum(shares.values()):.0%}" for stage, seconds in shares.items())
    judged = sum(shares[stage] for stage in ("statistics", "causes", "estimate"))
    note(f"{name}: where it goes", text, "", f"causes {shares['causes'] / judged:.0%} of evaluating", "half at most")


def _real_runs(what: str, name: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    process = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.real_runs", what, name, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")},
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.strip().splitlines()[-1])


def test_the_sample_of_many_rows(tmp_path: Path) -> None:
    """The sample by integer id against the engine's own `order by random() limit n`."""
    import duckdb
    import psycopg

    from monitor.domain.grid import Window
    from monitor.sources.log import Log
    from monitor.sources.spec import LogSpec, Place

    rows, sample_rows = int(float(os.environ.get("MONITOR_BENCH_ROWS", "1e7"))), 10_000
    query = (
        "SELECT range AS id, TIMESTAMP '2025-01-01' + range * INTERVAL 1 MILLISECOND AS event_time, random() AS x FROM"
        f" range({rows})"
    )
    link = duckdb.connect()
    link.execute(f"COPY ({query}) TO '{tmp_path}/log.parquet'")
    server = servers.PostgreSQL() if servers.PostgreSQL.is_installed() else None
    places = {"Parquet": Place("log", str(tmp_path / "log.parquet"))}
    with sqlite3.connect(tmp_path / "log.db") as lite:
        lite.execute("CREATE TABLE log (id INTEGER, event_time TIMESTAMP, x REAL)")
        lite.execute(
            f"""WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < {rows - 1})
                INSERT INTO log
                SELECT n, strftime('%Y-%m-%d %H:%M:%f', '2025-01-01', '+' || (n / 1000.0) || ' seconds'), 0.5 FROM r"""
        )
    places["SQLite"] = Place("log", url=f"sqlite:///{tmp_path}/log.db", table="log")
    if server is not None:
        url = server.new_database()
        with psycopg.connect(url, autocommit=True) as pg:
            pg.execute(
                "CREATE TABLE log AS SELECT n::bigint AS id, TIMESTAMP '2025-01-01' + n * INTERVAL '1 millisecond' AS"
                f" event_time, random() AS x FROM generate_series(0, {rows - 1}) n"
            )
            pg.execute("ANALYZE")
        places["PostgreSQL"] = Place("log", url=url, table="log")
    chosen = []
    year = Window(
        pd.Timestamp("2025-01-01", tz="UTC").to_pydatetime(), pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
    )
    for name, place in places.items():
        log = Log(LogSpec(place, "event_time", "id", sample_rows=sample_rows))
        ours: dict[str, list[float]] = {"seconds": []}
        theirs: dict[str, list[float]] = {"seconds": []}
        table = f"'{tmp_path}/log.parquet'" if name == "Parquet" else "log"
        query = f"SELECT * FROM {table} ORDER BY random() LIMIT {sample_rows}"
        for _ in range(3):
            began = time.perf_counter()
            frame = log.sample(year, None, rows)
            ours["seconds"].append(time.perf_counter() - began)
            began = time.perf_counter()
            if name == "PostgreSQL":
                log.engine.connection.sql(query).to_pyarrow()
            else:
                log.engine.connection.con.execute(query).fetchall()
            theirs["seconds"].append(time.perf_counter() - began)
        chosen.append(frame["id"].tolist())
        note(
            f"the sample of {rows:,} rows by integer id, {name}",
            spread(ours),
            f"order by random() {spread(theirs)}",
            f"{1 / times(ours, theirs):.1f} x",
            "2 x",
        )
    assert all(ids == chosen[0] for ids in chosen)
    if server is not None:
        server.stop()


def test_a_very_wide_window() -> None:
    rows, columns = int(float(os.environ.get("MONITOR_BENCH_WIDE", "3e6"))), 1_000
    ours = run("wide", rows, columns, 1)
    note(
        f"{rows:,} rows x {columns:,} columns of float32, whole run",
        spread(ours),
        "a user's report: 6 h",
        f"{ours['megabytes']:.0f} MB",
        "3 min, 2 GB",
    )


def test_a_window_of_very_many_rows() -> None:
    rows = int(float(os.environ.get("MONITOR_BENCH_MANY", "1e8")))
    ours = run("many", rows, 1, 1)
    note(f"a folder of {rows:,} rows, whole run", spread(ours), "", f"{ours['megabytes']:.0f} MB", "1 GB")


def test_an_hour_of_very_many_rows_by_spark() -> None:
    pytest.importorskip("pyspark")
    rows = int(float(os.environ.get("MONITOR_BENCH_MANY", "1e8")))
    ours, spark = run("hour_of_many", rows, 1, 3), run("hour_of_many_by_spark", rows, 1, 3)
    note(
        f"counts and sample of an hour of a folder of {rows:,} rows: Spark, local[2]",
        spread(spark),
        f"the same files read here {spread(ours)}",
        f"{times(ours, spark):.1f} x",
        "pruned",
    )


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a window costs with one, two and eight workers at once, whatever the number of cores."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    spent = {}
    for number in (1, 2, 8):
        workers = WorkerPool(at_once=number)
        works = [workers.start("tests.benchmarks.peers:windows_in_a_worker", 16) for _ in range(number)]
        spent[number] = [work.wait() for work in works]
        workers.close()
    alone = median(spent[1])
    for number in (2, 8):
        note(
            f"CPU seconds a window of 20 columns x 5,000 rows, {number} workers at once",
            f"{median(spent[number]):.3g} s ({min(spent[number]):.3g} to {max(spent[number]):.3g})",
            f"one worker {alone:.3g} s",
            f"{median(spent[number]) / alone:.2f} x",
            "no more than alone",
        )


def test_growth() -> None:
    base = run("our_checks", 20_000, 20)
    wide, long = run("our_checks", 20_000, 40), run("our_checks", 40_000, 20)
    note(
        "growth of all checks, a fifth shifted",
        f"2 x columns {1 / times(wide, base):.2f} x",
        f"2 x rows {1 / times(long, base):.2f} x",
        "",
        "linear, linear",
    )
    below, cap, beyond = (run("file_to_scores", rows, 20) for rows in (10_000, 20_000, 200_000))
    note(
        "growth from file to scores, 20 columns, text ids, a fifth shifted",
        f"10,000 to 20,000 rows (the cap) {1 / times(cap, below):.2f} x",
        f"20,000 to 200,000 rows {1 / times(beyond, cap):.2f} x",
        "",
        "linear, then flat but for the scan",
    )


def test_growth_of_planning(tmp_path: Path) -> None:
    """One new window each of many monitors, and the same with ten times the history."""
    measurements = {}
    for monitors, history in ((500, 10), (1_000, 10), (1_000, 100)):
        measurements[monitors, history] = {
            "seconds": [planning(tmp_path / f"{monitors}-{history}-{index}", monitors, history) for index in range(3)]
        }
    half, full, long_history = measurements.values()
    note(
        "planning 1,000 monitors, one new window each",
        spread(full),
        f"500 monitors {spread(half)}",
        f"{1 / times(full, half):.1f} x",
        "under 1 s, linear",
    )
    note(
        "the same with 100 windows behind each",
        spread(long_history),
        f"10 windows {spread(full)}",
        f"{1 / times(long_history, full):.1f} x",
        "flat",
    )


def planning(folder: Path, number: int, history: int) -> float:
    """Seconds that planning takes when each of `number` monitors has one new window, `history` behind it."""
    from datetime import UTC, datetime, timedelta

    from sqlalchemy.orm import Session

    from monitor.domain.clock import ReplayClock
    from monitor.services.apply_configuration import BEGINNING, apply_configuration
    from monitor.services.context import Context, open_database
    from monitor.services.plan_runs import plan_runs
    from monitor.storage import monitors, references
    from tests.conftest import Project

    entry = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "log.parquet"},
        "reference": {"path": "reference.parquet"},
        "windows": {"length": "1h", "start": "2025-01-01", "recount_after": "1h"},
        "columns": {"id": "id", "event_time": "event_time", "prediction": "prediction", "label": "label"},
    }
    folder.mkdir()
    loaded = Project(folder, {"monitors": {f"m{index}": entry for index in range(number)}}).loaded()
    start = datetime(2025, 1, 1, tzinfo=UTC)
    context = Context(loaded, open_database(loaded), ReplayClock(start + timedelta(hours=history, minutes=30)))
    context.database.prepare()
    apply_configuration(context)

    def look(session: Session) -> None:
        now = context.clock.now()
        reference = references.store(session, "v" * 32, b"-", 1, "made", start)
        for row in monitors.active(session):
            references.put_in_force(session, row.id, "", BEGINNING, reference.id, "bench", "", start)
            monitors.store_look(session, row.id, now, start, now, None, "", live=False)

    context.database.transact(look)
    plan_runs(context)
    context.clock = ReplayClock(start + timedelta(hours=history + 1, minutes=30))
    context.database.transact(look)
    began = time.perf_counter()
    assert plan_runs(context).number == number
    return time.perf_counter() - began


def test_a_cold_start(tmp_path: Path) -> None:
    """From starting the daemon's process to its first finished run in the database, and the most memory that the
    process itself held.
    """
    seconds, megabytes = zip(*(cold_start(tmp_path / str(index)) for index in range(3)), strict=True)
    note("cold start of `monitor serve` to its first finished run", spread({"seconds": seconds}), "", "", "15 s")
    note("memory of the daemon's own process then", f"{max(megabytes):.0f} MB", "", "", "150 MB")


def cold_start(folder: Path) -> tuple[float, float]:
    from tests.conftest import Project, logged
    from tests.processes import wait_until

    folder.mkdir()
    logged().to_parquet(folder / "log.parquet", index=False)
    entry = {
        "task": "binary",
        "model": {"name": "m"},
        "source": {"path": "log.parquet"},
        "windows": {"length": "1d", "catch_up": "10000d"},
        "reference": {"start": "2025-01-01", "end": "2025-01-10"},
        "columns": {
            "id": "id",
            "event_time": "event_time",
            "prediction": "prediction",
            "probability": "probability",
            "label": "label",
        },
    }
    project = Project(folder, {"monitors": {"m": entry}})
    project.write()

    def is_done() -> bool:
        try:
            return bool(project.query("SELECT 1 FROM runs WHERE status = 'done'"))
        except sqlite3.OperationalError:  # the database is not made yet
            return False

    began = time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    with subprocess.Popen([sys.executable, "-m", "monitor", "serve"], cwd=folder, env=environment) as daemon:
        try:
            wait_until(is_done)
            took = time.perf_counter() - began
            status = Path(f"/proc/{daemon.pid}/status").read_text()
        finally:
            daemon.terminate()
    return took, int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1000  # type: ignore[index]


def test_write_the_page() -> None:
    """Last: what was measured, for docs/explanation/performance.md. Rows that were not measured this time stay, with
    their date.
    """
    if not ROWS:
        pytest.skip("nothing was measured")
    memory = next(
        int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    text, _, before = PAGE.read_text().partition("<!-- measured -->")
    table = [line.strip("| ").split(" | ") for line in before.splitlines() if line.startswith("| ")][1:]
    today = f"{date.today():%Y-%m-%d}"
    measured = {what: [*rest, today] for what, *rest in ROWS}
    measured |= {what: rest for what, *rest in table if what not in measured}
    lines = "\n".join(f"| {' | '.join([what, *rest])} |" for what, rest in measured.items())
    PAGE.write_text(
        f"{text}<!-- measured -->\n\nMeasured by `make bench`, each row on the day in its last column: {os.cpu_count()}"
        f" cores, {memory / 1e6:.0f} GB, Python {platform.python_version()}; medians, with the least and the most of"
        " the rounds.\n\n| what | here | peer, same run | ratio | goal | measured"
        f" |\n|---|---|---|---|---|---|\n{lines}\n"
    )
