"""`monitor init`: look at data and write a commented monitor.yaml, or add an entry to the one that is there."""

from __future__ import annotations

import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import shared
from monitor.errors import UsageError

if TYPE_CHECKING:
    from monitor.services.inspect_data import InspectSpec, Proposal
    from monitor.sources.spec import Place

_PASSWORD = re.compile(r"://[^/@:\s]*:[^@/\s]+@")


def init(
    name: Annotated[str, typer.Argument(help="The monitor's name, usually the model's.")],
    predictions: Annotated[
        str,
        typer.Option(
            help="Where predictions are logged: files, a folder, a pattern, or a database URL with --table or --query."
        ),
    ],
    table: Annotated[str | None, typer.Option(help="The table of a database URL, SCHEMA.TABLE or TABLE.")] = None,
    query: Annotated[
        str | None,
        typer.Option(help="SQL whose result is the log: of a database, or of files, whose table is called `log`."),
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Files with the rows that the model was validated on.")] = None,
    reference_until: Annotated[str | None, typer.Option(help="Or: the log up to this day is the reference.")] = None,
    labels: Annotated[str | None, typer.Option(help="Files or a database URL with the labels.")] = None,
    labels_table: Annotated[str | None, typer.Option(help="The table of the labels' database.")] = None,
    positive: Annotated[str | None, typer.Option(help="The positive class, which the probability is of.")] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            help=(
                "How times are written in files, if that is not clear: '%m/%d/%Y' (strptime), seconds, milliseconds,"
                " microseconds or nanoseconds since 1970."
            )
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="The column with the time of each prediction, if it is not recognised.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="The column with the id of each prediction, by which labels are joined.")
    ] = None,
    prediction: Annotated[str | None, typer.Option(help="The column of the predicted class or value.")] = None,
    probability: Annotated[
        str | None, typer.Option(help="The column of the probability of the positive class.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column with the label.")] = None,
    query_id: Annotated[
        str | None,
        typer.Option(help="Of a ranking: the column whose rows are one list, such as the id of a search."),
    ] = None,
    issued_at: Annotated[
        str | None,
        typer.Option(
            "--issued-at", help="Of a forecast: the column that says when it was made; --time is the time it is of."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            help=(
                "The names of the columns of a CSV file without a header, or of the inputs that records carry without"
                " names: a,b,c."
            )
        ),
    ] = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="A column whose values are segments, each checked by itself; repeatable.")
    ] = None,
    file: Annotated[Path, typer.Option("--file", help="The configuration to write or to add to.")] = Path(
        "monitor.yaml"
    ),
) -> None:
    """Read a log and write a monitor for it."""
    from dataclasses import replace

    from monitor.services.inspect_data import InspectSpec, Roles
    from monitor.services.specs import INSPECT
    from monitor.services.workers import WorkerPool

    if reference is not None and reference_until is not None:
        raise UsageError("--reference and --reference-until: one of them")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"'{name}' is no name: letters, digits, dots, dashes and underscores")
    folder = file.resolve().parent
    spec = InspectSpec(
        _place(predictions, table, folder, query),
        _place(reference, None, folder) if reference else None,
        _day(reference_until),
        _place(labels, labels_table, folder) if labels else None,
        positive,
        time_format,
        Roles(time, id_column, prediction, probability, label, query_id, issued_at, tuple(segment or ())),
        tuple(column.strip() for column in (names or "").split(",") if column.strip()),
    )
    workers = WorkerPool(warm=False)
    with shared.doing(f"reading {spec.predictions.shown}"):
        proposal: Proposal = workers.call(INSPECT, spec)
    area = None if proposal.positive is None else proposal.positive.roc_auc
    if area is not None and area < 0.5 and positive is None:
        other_class = next(
            (candidate.name for candidate in proposal.candidates if candidate != proposal.positive), None
        )
        question = (
            f"ROC AUC on the reference is {area:.3f}, worse than chance:"
            f" is the probability that of class {other_class!r}?"
        )
        if other_class is not None and sys.stdin.isatty() and typer.confirm(question, default=True):
            spec = replace(spec, positive=other_class)
            with shared.doing(f"reading {spec.predictions.shown} again"):
                proposal = workers.call(INSPECT, spec)
        else:
            shared.say(f"! {question} Then: --positive {other_class}", err=True)
    entry, secrets = _entry(name, proposal.spec, proposal)
    for url in (predictions, labels or ""):
        entry = entry.replace(_absolute(url, folder), url)
    _write(file, name, entry)
    _tell(name, file, proposal, secrets)


def _place(text: str, table: str | None, folder: Path, query: str | None = None) -> Place:
    from monitor.sources.remote import is_address
    from monitor.sources.spec import Place

    if is_address(text):
        return Place(text, path=text, query=query)
    if "://" not in text:
        if table is not None:
            raise UsageError("--table goes with a database URL")
        return Place(text, path=str(folder / Path(text).expanduser()), query=query)
    if (table is None) == (query is None):
        raise UsageError(f"a database URL needs one of --table and --query: {_PASSWORD.sub('://***@', text)}")
    url = _absolute(text, folder)
    shown = f"{text.rsplit('@', 1)[-1]} ({table or 'a query'})"
    if table is None:
        return Place(shown, url=url, query=query)
    schema, _, short = table.rpartition(".")
    return Place(shown, url=url, db_schema=schema or None, table=short)


def _absolute(url: str, folder: Path) -> str:
    """The URL of a database file with its whole path, which may be relative to the configuration; any other text as it
    is.
    """
    for start in ("sqlite:///", "duckdb:///"):
        if url.startswith(start) and not url.startswith(f"{start}/"):
            return f"{start}{folder / url.removeprefix(start)}"
    return url


def _day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--reference-until takes a day, such as 2025-04-01, not {text}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _entry(name: str, spec: InspectSpec, proposal: Proposal) -> tuple[str, list[str]]:
    """The entry as commented YAML, and the environment variables that it needs."""
    secrets: list[str] = []
    columns = proposal.columns
    lines = [
        f"  {_text(name)}:",
        f"    task: {proposal.task}",
        (
            f'    model: {{name: {_text(name)}}}                   # version: "3", or columns.model_version where the'
            " log has it"
        ),
        f"    source: {_location(spec.predictions, name, 'DATABASE_URL', secrets)}",
    ]
    if spec.labels is not None:
        named = ", ".join(f"{part}: {_text(column)}" for part, column in proposal.label_columns.items())
        place = _location(spec.labels, name, "LABELS_URL", secrets)[1:-1]
        lines.append(
            f"    labels: {{{place}, columns: {{{named}}}, delay: {proposal.delay}, expected: {proposal.expected:g}}}  "
            f" # performance is looked at when the expected share is there, or {proposal.delay} after a window's end"
        )
    elif proposal.labels_in_log:
        lines.append(
            f"    labels: {{delay: {proposal.delay}, expected: {proposal.expected:g}}}      # the label column is in"
            " the source, filled in later"
        )
    if spec.reference is not None:
        lines.append(f"    reference: {_location(spec.reference, name, 'REFERENCE_URL', secrets)}")
    else:
        lines.append(
            f"    reference: {{start: {_moment(proposal.reference_start)}, end: {_moment(proposal.reference_end)}}}   #"
            " this interval of the source"
        )
    read = spec.predictions.read
    parts = {
        "id": columns.id,
        "event_time": None if read.makes_time else columns.event_time,
        "prediction": columns.prediction,
        "probability": columns.probability if isinstance(columns.probability, str) else None,
        "positive": columns.positive,
        "label": columns.label,
        "label_time": columns.label_time,
        "model_version": columns.model_version,
        "query": columns.query,
        "item": columns.item,
        "issued_at": columns.issued_at,
        "series": columns.series,
        "lower": columns.lower,
        "upper": columns.upper,
    }
    roles = [f"{part}: {_text(value)}" for part, value in parts.items() if value is not None]
    if read.time_of:
        roles.append(f"event_time: [{', '.join(map(_text, read.time_of))}]")
    if read.time_path:
        roles.append(f"event_time: {{path: {_text(read.time_path)}}}")
    if columns.probability is not None and not isinstance(columns.probability, str):
        classes = ", ".join(f"{_text(name)}: {_text(column)}" for name, column in columns.probability.items())
        roles.append(f"probability: {{{classes}}}")
    roles += [
        f"{part}: [{', '.join(map(_text, values))}]"
        for part, values in (
            ("segments", columns.segments),
            ("ignore", [name for name in columns.ignore if name not in read.time_of]),
            ("sensitive", columns.sensitive),
        )
        if values
    ]
    lines.append(f"    columns: {{{', '.join(roles)}}}   # every other column is a feature")
    lines.append(
        f"    windows: {{length: {proposal.length}, start: {_moment(proposal.start)}}}     # about"
        f" {_rows_a_window(proposal)} rows each; timezone: and delay: as needed"
    )
    of_forecast = "mae: 10%" if columns.lower is None else "mae: 10%, coverage_error: 0.1"
    by_task = {"regression": "mae: 10%", "ranking": "ndcg: 0.02", "forecast": of_forecast}
    harm = by_task.get(proposal.task, "roc_auc: 0.02" if columns.probability else "accuracy: 0.02")
    if spec.labels is not None or proposal.labels_in_log or columns.probability or proposal.task in by_task:
        lines.append(f"    checks: {{harm: {{{harm}}}}}              # the smallest loss worth waking someone")
    lines.append("    alerts: {false_pages_per_month: 1, channels: []}     # name channels of below here")
    return "\n".join(lines) + "\n", secrets


def _rows_a_window(proposal: Proposal) -> int:
    from monitor.domain.grid import Duration

    span = max((proposal.newest - proposal.first).total_seconds(), 1)
    return round(proposal.rows / span * Duration.parse(proposal.length).approximate().total_seconds())


def _location(place: Place, name: str, suffix: str, secrets: list[str]) -> str:
    if place.path is not None:
        query = f", query: {_text(place.query)}" if place.query is not None else ""
        return f"{{path: {_text(place.shown)}{query}{_reading(place)}}}"
    assert place.url is not None
    url = place.url
    if _PASSWORD.search(url):
        variable = re.sub(r"[^A-Z0-9]+", "_", f"{name}_{suffix}".upper())
        secrets.append(variable)
        url = f"${{{variable}}}"
    schema = f", schema: {_text(place.db_schema)}" if place.db_schema else ""
    rows = f"query: {_text(place.query)}" if place.query is not None else f"table: {_text(place.table)}"
    return f"{{url: {_text(url)}{schema}, {rows}}}"


def _reading(place: Place) -> str:
    """How files are read, where the files do not show it."""
    from dataclasses import asdict

    options = []
    for name, value in asdict(place.read).items():
        if value not in (None, ()) and name not in ("time_of", "time_path", "open"):
            several = isinstance(value, tuple) and len(value) > 1
            text = (
                f"[{', '.join(map(_text, value))}]"
                if several
                else _text(value[0] if isinstance(value, tuple) else value)
            )
            options.append(f"{name}: {text}")
    return f", read: {{{', '.join(options)}}}" if options else ""


def _text(value: object) -> str:
    """A value as YAML in flow style; quoted wherever plain text would mean something else."""
    import json

    text = str(value)
    if (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text)
        and text.lower() not in ("true", "false", "yes", "no", "null", "on", "off", "y", "n")
    ):
        return text
    return json.dumps(text, ensure_ascii=False)


def _moment(moment: datetime | None) -> str:
    assert moment is not None
    return moment.strftime(
        "%Y-%m-%d" if (moment.hour, moment.minute, moment.second) == (0, 0, 0) else "%Y-%m-%dT%H:%M:%SZ"
    )


_HEADER = """# Monitor's configuration; `monitor validate` checks it, `monitor config schema` describes every key.
# Secrets are written as ${ENVIRONMENT_VARIABLE} or ${file:/run/secrets/name}.
database: sqlite:///monitor.db

monitors:
"""
_FOOTER = """
# channels:                                    # where alerts go; then name them in alerts.channels
#   ops: {type: webhook, url: "https://example.org/hook", secret: "${OPS_SECRET}"}
#   chat: {type: slack, url: "${SLACK_URL}"}   # also teams, telegram, ntfy, pagerduty; or any Apprise URL
"""


def _write(file: Path, name: str, entry: str) -> None:
    """A new file, or the entry at the end of `monitors:` in the one that is there, which is otherwise left as it is."""
    import yaml

    if not file.exists():
        file.write_text(_HEADER + entry + _FOOTER, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    there = (yaml.safe_load(text) or {}).get("monitors") or {}
    if name in there:
        raise UsageError(f"{file} has a monitor {name} already; choose another name, or change it there")
    lines = text.splitlines(keepends=True)
    begin = next((index for index, line in enumerate(lines) if re.match(r"monitors\s*:", line)), None)
    if begin is None:
        file.write_text(text.rstrip("\n") + "\n\nmonitors:\n" + entry, encoding="utf-8")
        return
    if not re.match(r"monitors\s*:\s*(#.*)?$", lines[begin].rstrip("\n")):
        raise UsageError(
            f"{file}:{begin + 1}: `monitors` is written on one line; write it as a block, then an entry can be added"
        )
    end = next(
        (
            index
            for index in range(begin + 1, len(lines))
            if re.match(r"\S", lines[index]) and not lines[index].startswith("#")
        ),
        len(lines),
    )
    while end > begin + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    file.write_text("".join([*lines[:end], entry, *lines[end:]]), encoding="utf-8")


def _tell(name: str, file: Path, proposal: Proposal, secrets: list[str]) -> None:
    shared.say(f"{file} has a monitor {name}. It assumes:")
    shared.say(f"  task {proposal.task}; {proposal.columns.describe()}")
    shared.say(
        f"  {proposal.rows} predictions from {proposal.first:%Y-%m-%d %H:%M} to {proposal.newest:%Y-%m-%d %H:%M}, so"
        f" windows of {proposal.length}, the first from {proposal.start:%Y-%m-%d}"
    )
    if proposal.positive is not None and proposal.positive.roc_auc is not None:
        shared.say(
            f"  ROC AUC on the reference is {proposal.positive.roc_auc:.3f} with"
            f" {proposal.columns.positive or '1 (or true)'} as the positive class"
        )
    if proposal.delay:
        shared.say(f"  labels come within {proposal.delay} for {proposal.expected:.0%} of the predictions")
    for note in proposal.notes:
        shared.say(f"  {note}")
    for variable in secrets:
        shared.say(f"  the address holds a password: put it into the environment variable {variable}")
    option = "" if file.name == "monitor.yaml" else f" -c {file}"
    if proposal.candidates and proposal.positive is None:
        _ask_for_positive(name, file, proposal)
    else:
        shared.say(f"next: monitor validate{option}, then monitor run{option}")


def _ask_for_positive(name: str, file: Path, proposal: Proposal) -> None:
    """Which classes there are to choose from, and what each would mean."""
    names = " or ".join(f"`positive: {_text(candidate.name)}`" for candidate in proposal.candidates)
    shared.say(
        f"next: name the positive class, which the labels do not tell: {names} in the columns of {name} in {file}, or"
        " remove that entry and run this again with"
    )
    flags = [f"--positive {shlex.quote(candidate.name)}" for candidate in proposal.candidates]
    for flag, candidate in zip(flags, proposal.candidates, strict=True):
        area = "" if candidate.roc_auc is None else f": ROC AUC on the reference is {candidate.roc_auc:.3f}"
        speaks = " that the probability speaks of" if proposal.columns.probability else ""
        shared.say(
            f"  {flag.ljust(max(map(len, flags)))}   {candidate.name}"
            f" is the class{speaks or ' that is looked for'}{area}"
        )
