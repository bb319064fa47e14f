"""`make replay-compare BASE=<commit>`: the sets of ../shared/data replayed by a commit and by the working tree, and
every row of what they left compared.

Both sides run `monitor run --replay` in processes of their own, from copies of their code, with the same libraries,
data and configuration.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from threading import Event
from typing import Any

from tests import history_difference, replay_projects
from tests.history_difference import TableDifference
from tests.replay_projects import DATA, SETS

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".replay-compare"
# Of each set so many windows are replayed: three to four minutes for both sides on two free cores, most of it for
# starting and fitting references.
WINDOWS = 8
SHOWN = 10
# One replay a core; each has one worker process, which works while its daemon waits.
AT_ONCE = 2
# Seen by every Python process of a side, the forkserver and its workers, too: the package comes from that side's copy
# or not at all.
GUARD = """
import os
import sys
from importlib.machinery import PathFinder


class OnlyFromHere:
    def find_spec(self, name, path=None, target=None):
        if name != "monitor":
            return None
        spec = PathFinder.find_spec(name, path)
        expected = os.path.join(os.environ["REPLAY_COMPARE_CODE"], "monitor", "__init__.py")
        assert spec is not None and os.path.realpath(spec.origin) == os.path.realpath(expected), (spec, expected)
        with open(os.environ["REPLAY_COMPARE_IMPORTS"], "a") as imports:
            imports.write(f"{os.getpid()}\\n")
        return spec


sys.meta_path.insert(0, OnlyFromHere())
"""


class ReplayError(Exception):
    """A replay did not come to its end."""


@dataclass(frozen=True)
class Replays:
    """Runs replays in folders of their own below `folder`, where `guard` lies, until `stopping` is set."""

    folder: Path
    windows: int | None
    stopping: Event

    def replay(self, side: str, code: Path, name: str) -> Path:
        """Replay a set with the code of a side. Returns its report database; raises ReplayError if there is none."""
        project = self.folder / "projects" / side / name
        replay_projects.write(name, project, self.windows)
        imports = project / "imports"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MONITOR_"))}
        environment |= {
            "PYTHONPATH": f"{self.folder / 'guard'}{os.pathsep}{code}",
            "PYTHONSAFEPATH": "1",
            "REPLAY_COMPARE_CODE": str(code),
            "REPLAY_COMPARE_IMPORTS": str(imports),
            "XDG_CACHE_HOME": str(project / "cache"),
        }
        command = [sys.executable, "-m", "monitor", "run", "--replay", "--log-level", "warning"]
        with (
            (project / "output").open("wb") as output,
            # A session of its own: Ctrl-C would end it early, as if all had been done.
            subprocess.Popen(
                command, cwd=project, env=environment, stdout=output, stderr=output, start_new_session=True
            ) as process,
        ):
            while process.poll() is None:
                if self.stopping.wait(0.2):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if self.stopping.is_set():
            raise ReplayError(f"{side}, {name}: stopped")
        output_end = (project / "output").read_text()[-2000:]
        if process.returncode:
            raise ReplayError(f"{side}, {name}: `monitor run --replay` ended with {process.returncode}:\n{output_end}")
        if len(set(imports.read_text().split())) < 2:
            raise ReplayError(f"{side}, {name}: only one process imported `monitor`, so not all workers were checked")
        return project / "monitor.db"


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A git worktree of a commit, removed afterwards."""
    _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def copy_of_the_working_tree(folder: Path) -> Path:
    """The code as it is now: it may be edited while it is replayed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("monitor", "migrations"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    return folder


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def cached(commit: str, name: str, windows: int | None) -> Path:
    """Where the history of a commit is kept: named by all that it depends on."""
    parts = [commit, sys.version, replay_projects.settings(name, windows)]
    parts += [Path(file).read_text() for file in (__file__, replay_projects.__file__)]
    parts += sorted(f"{package.name} {package.version}" for package in distributions())
    parts += [f"{path.name} {path.stat().st_size}" for path in sorted((DATA / name).iterdir())]
    return CACHE / f"{commit[:12]}-{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.db"


def keep(database: Path, place: Path) -> None:
    """Keep what is compared of a report database, without reports and references."""
    place.parent.mkdir(exist_ok=True)
    part = place.with_suffix(f".{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("DELETE FROM snapshots")
        connection.execute("UPDATE reference_versions SET archive = x''")
        connection.execute("VACUUM")
    part.replace(place)


def compared(options: argparse.Namespace, folder: Path, stopping: Event) -> dict[str, dict[str, TableDifference]]:
    """Replay what is not cached, two sets at a time, and compare."""
    windows = None if options.whole else options.windows
    commit = _git("rev-parse", "--verify", f"{options.base}^{{commit}}")
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    now = copy_of_the_working_tree(folder / "now")
    replays = Replays(folder, windows, stopping)
    with checked_out(commit, folder / "base") as base, ThreadPoolExecutor(AT_ONCE) as pool:

        def before(name: str) -> Path:
            place = cached(commit, name, windows)
            if options.no_cache or not place.exists():
                keep(replays.replay("before", base, name), place)
            return place

        futures: dict[tuple[str, str], Future[Path]] = {}
        for name in options.sets:
            futures["before", name] = pool.submit(timed, f"{name}, {options.base}", before, name)
            futures["after", name] = pool.submit(timed, f"{name}, working tree", replays.replay, "after", now, name)
        try:
            return {
                name: history_difference.compare(
                    *(history_difference.read(futures[side, name].result()) for side in ("before", "after")),
                    options.tolerance,
                )
                for name in options.sets
            }
        except BaseException:
            stopping.set()
            pool.shutdown(cancel_futures=True)
            raise


def timed(what: str, function: Any, *arguments: Any) -> Any:
    """Call a function and say how long it took."""
    began = time.monotonic()
    result = function(*arguments)
    print(f"  {what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return result


def tell(name: str, tables: dict[str, TableDifference]) -> None:
    """Print how the histories of a set differ."""
    print(f"\n{name}")
    print(f"  {'':20} {'before':>7} {'after':>7} {'equal':>7} {'changed':>8} {'only before':>12} {'only after':>11}")
    for table, result in tables.items():
        numbers = (
            f"{result.rows_before:7} {result.rows_after:7} {result.equal:7} {len(result.changed):8}"
            f" {len(result.only_before):12} {len(result.only_after):11}"
        )
        print(f"  {table:20} {numbers}")
    for table, result in tables.items():
        for when, columns in (("before", result.columns_before), ("after", result.columns_after)):
            if columns:
                print(f"  {table}: only the schema {when} has {', '.join(columns)}; not compared")
        if result.differences:
            print(
                f"  {table}, the first {min(SHOWN, len(result.differences))} of {len(result.differences)} that differ:"
            )
        for difference in result.differences[:SHOWN]:
            print("\n".join(f"    {line}" for line in history_difference.lines(difference)))


def write_all(path: Path, results: dict[str, dict[str, TableDifference]]) -> None:
    """Write all differences, one a line."""
    with path.open("w") as file:
        for name, tables in results.items():
            for table, result in tables.items():
                for difference in result.differences:
                    line = {
                        "set": name,
                        "table": table,
                        "key": difference.key,
                        "before": difference.before,
                        "after": difference.after,
                    }
                    file.write(json.dumps(line) + "\n")


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.replay_compare", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("base", help="The commit that the working tree is compared with.")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--windows", type=int, default=WINDOWS, help=f"So many windows of each set ({WINDOWS}).")
    parser.add_argument("--whole", action="store_true", help="All windows of each set.")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="Numbers may differ by this share; texts never (0: not at all)."
    )
    parser.add_argument("--output", type=Path, help="Write all differences to this file, as lines of JSON.")
    parser.add_argument("--no-cache", action="store_true", help="Replay BASE again, even if its history is cached.")
    return parser.parse_args(arguments)


def _exit(*_: object) -> None:
    """Exit in order, so that the worktree is removed; a second signal must not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(2)


def main(arguments: list[str]) -> int:
    """Exit status: 0 where both histories are the same, 1 where they differ, 2 where a replay failed."""
    options = parsed(arguments)
    if not DATA.is_dir():
        print(f"needs the data sets in {DATA}, which are not part of the project", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _exit)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="replay-compare-") as folder:
        try:
            results = compared(options, Path(folder), Event())
        except (ReplayError, subprocess.CalledProcessError) as error:
            print(error, getattr(error, "stderr", ""), file=sys.stderr)
            return 2
    for name, tables in results.items():
        tell(name, tables)
    if options.output is not None:
        write_all(options.output, results)
    differ = {
        name: sum(len(difference.differences) for difference in tables.values()) for name, tables in results.items()
    }
    rows = sum(difference.rows_after for tables in results.values() for difference in tables.values())
    equal = all(difference.is_equal for tables in results.values() for difference in tables.values())
    verdict = (
        "equal" if equal else "DIFFERENT: " + ", ".join(f"{name} {number}" for name, number in differ.items() if number)
    )
    print(
        f"\n{options.base} and the working tree, {rows:,} rows of {len(results)} sets, {time.monotonic() - began:.0f}"
        f" s: {verdict}"
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
