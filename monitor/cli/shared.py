"""What commands share: finding the configuration, opening the database for reading, tables and JSON, short ids."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.domain.ids import one as one
from monitor.domain.text import printable, printable_json
from monitor.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from monitor.config.model import Loaded
    from monitor.domain.grid import Window
    from monitor.services.by_hand import Actor
    from monitor.storage.database import Database

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help=(
            "The configuration: a file, or a folder of files. Default: $MONITOR_CONFIG, then monitor.yaml or monitors/"
            " here or above."
        ),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LogFormatOption = Annotated[str, typer.Option("--log-format", envvar="MONITOR_LOG_FORMAT", help="console or json.")]
LogLevelOption = Annotated[
    str, typer.Option("--log-level", envvar="MONITOR_LOG_LEVEL", help="debug, info, warning or error.")
]


def load_configuration(given: str | None, *, check_secrets: bool = True) -> Loaded:
    """Find and read the configuration."""
    from monitor.config.load import find, load

    return load(find(Path.cwd(), given), check_secrets=check_secrets)


def open_existing(loaded: Loaded) -> Database:
    """The report database, for commands that only read: it is never created here."""
    from monitor.services.context import open_database

    database = open_database(loaded)
    database.require_current()
    return database


def monitor_id(session: Session, name: str | None) -> int | None:
    """The number of a monitor by its name. Raises UsageError for an unknown one."""
    from monitor.storage import monitors

    if name is None:
        return None
    row = monitors.by_name(session, name)
    if row is None:
        names = ", ".join(monitor.name for monitor in monitors.active(session)) or "none yet"
        raise UsageError(f"there is no monitor {name} in the database; there are: {names}")
    return row.id


def who() -> str:
    """The name of this account."""
    import getpass

    return getpass.getuser()


def person(name: str | None = None) -> Actor:
    """Who gives this command: the account, unless another name is given."""
    from monitor.services.by_hand import Actor

    return Actor(name or who(), datetime.now(UTC))


def moment(text: str) -> datetime:
    """A date or time, UTC unless it says otherwise. Raises UsageError for anything else."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is no time; write one such as 2025-04-01T06:00") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def window(text: str, what: str = "--window takes START/END, such as 2012-03-01/2012-03-02,") -> Window:
    """An interval START/END. Raises UsageError for anything else."""
    from monitor.domain.grid import Window

    start, slash, end = text.partition("/")
    try:
        span = (moment(start), moment(end)) if slash else None
    except UsageError:
        span = None
    if span is None:
        raise UsageError(f"{what} not {text}")
    if span[0] >= span[1]:
        raise UsageError(f"{text}: the start must lie before the end")
    return Window(*span)


def say(text: object, *, err: bool = False) -> None:
    """Print text, in which names and values of the log may stand, on standard output or error."""
    typer.echo(printable(str(text)), err=err)


def _drawn_on(text: str) -> Console | None:
    """The terminal of standard error, to draw on what is being done; None elsewhere, and where it cannot take back a
    line: there the text is one.
    """
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_dumb_terminal:
        return console
    say(f"{text} …", err=True)
    return None


@contextmanager
def doing(text: str) -> Iterator[None]:
    """Show what a command is doing, on a terminal's standard error; nothing elsewhere."""
    from rich.markup import escape

    console = _drawn_on(text)
    with nullcontext() if console is None else console.status(escape(printable(text))):
        yield


@contextmanager
def progress_bar(first: str) -> Iterator[Callable[[int, int, datetime], None] | None]:
    """A bar of runs on a terminal's standard error; elsewhere the log's lines tell the same. first: what is done before
    there are runs.
    """
    console = _drawn_on(first)
    if console is None:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, still_open, now: bar.update(
            task, completed=done, total=done + still_open, description=f"runs, {now:%Y-%m-%d}"
        )


# Columns whose cells are never wrapped; so wide others must be; and how wide a table is where there is no terminal.
_WHOLE = ("id", "since", "window", "as_of", "state", "severity", "kind")
_READABLE, _WIDE = 24, 200


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool, empty: str) -> None:
    """Print rows as JSON or as a table; where that is too wide for the terminal, each row as lines of its own."""
    if as_json:
        typer.echo(printable_json(json.dumps(list(rows), default=_plain, ensure_ascii=False, indent=2)))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=int(os.environ.get("COLUMNS") or _WIDE))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    headings = [_cell(name.replace("_", " ")) for name in columns]
    if sum(map(_needed, columns, zip(headings, *cells, strict=True))) + 3 * len(columns) <= console.width:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name, heading in zip(columns, headings, strict=True):
            table.add_column(heading, overflow="fold", no_wrap=name in _WHOLE)
        for row, line in zip(rows, cells, strict=True):
            table.add_row(*line, style=_style(row))
        console.print(table)
        return
    for row, line in zip(rows, cells, strict=True):  # a record of lines each
        record = Table(box=None, show_header=False, pad_edge=False)
        record.add_column(no_wrap=True, style="dim")
        record.add_column(overflow="fold")
        for heading, cell in zip(headings, line, strict=True):
            if cell:
                record.add_row(heading, cell, style=_style(row))
        console.print(record, "")


def _needed(name: str, cells: Sequence[str]) -> int:
    """How many characters wide a column of a table must be to be read: what is not wrapped whole, text so wide that
    words stay whole.
    """
    longest = max(map(len, cells))
    return longest if name in _WHOLE else min(longest, _READABLE)


def _style(row: dict[str, Any]) -> str:
    return {"critical": "red", "warning": "yellow"}.get(str(row.get("severity", "")), "")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    from rich.markup import escape

    return escape(printable(str(value)))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
