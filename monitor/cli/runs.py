"""`monitor runs`: what was evaluated; `monitor report`: a run's Evidently report as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import shared
from monitor.domain.checks import UNDECIDED
from monitor.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from monitor.storage.tables import Run

app = typer.Typer(help="List and show runs, the evaluations of windows.", no_args_is_help=True)


@app.command("list")
def list_runs(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, running, done, failed, skipped or cancelled.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.")] = 50,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """The latest runs, newest first."""
    from monitor.storage import runs

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    latest = database.read(lambda session: runs.listed(session, shared.monitor_id(session, name), status, limit))
    rows = [
        {
            "id": run.uuid if json else run.uuid[:8],
            "monitor": monitor,
            "kind": run.kind,
            "window": f"{run.window_start:%Y-%m-%d %H:%M} - {run.window_end:%Y-%m-%d %H:%M}",
            "look": run.look,
            "as_of": run.as_of,
            "status": run.status,
            "severity": run.severity,
            "rows": run.rows,
            "labelled": run.labelled,
            "attempts": run.claims,
            "reason": run.reason,
        }
        for run, monitor in latest
    ]
    shared.show(
        rows,
        ("id", "monitor", "kind", "window", "status", "severity", "rows", "labelled", "reason"),
        json,
        "no runs yet: `monitor run` makes them",
    )


@app.command("show")
def show_run(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    metrics: Annotated[bool, typer.Option("--metrics", help="Print every metric value too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="List all findings, not the three that matter.")] = False,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """One run: what was found, and its attempts and times."""
    from monitor.storage import results, runs

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    stored = shared.one(database.read(runs.find, run), "run", run)
    if not json:
        shared.say(database.read(describe_run, stored, everything))
    if json or metrics:
        values = database.read(results.values, stored.id)
        rows = [
            {
                "metric": series.metric,
                "column": series.column,
                "segment": series.segment,
                "model_version": series.model_version,
                "value": value.value,
                "lower": value.lower,
                "upper": value.upper,
            }
            for value, series in values
        ]
        shared.show(
            rows, ("metric", "column", "segment", "model_version", "value", "lower", "upper"), json, "no metric values"
        )


@app.command("sample")
def sample(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    config: shared.ConfigOption = None,
) -> None:
    """The rows that a run evaluated, read again from the source, with the labels known then."""
    from monitor.services.context import Context
    from monitor.services.execute_runs import run_spec
    from monitor.services.specs import SAMPLE
    from monitor.services.workers import WorkerPool
    from monitor.storage import monitors, runs

    loaded = shared.load_configuration(config)
    database = shared.open_existing(loaded)
    context = Context(loaded, database)
    stored = shared.one(database.read(runs.find, run), "run", run)

    def spec(session: Session) -> Any:
        row = monitors.by_id(session, stored.monitor_id)
        entry = None if row is None else context.config_of(session, row, stored.configuration_id)
        if row is None or entry is None:
            raise UsageError(f"the monitor of run {stored.uuid[:8]} is configured no more")
        return run_spec(session, context, entry, row, stored)

    frame = WorkerPool(warm=False).call(SAMPLE, database.read(spec))
    frame.to_parquet(output, index=False)
    shared.say(f"{len(frame)} rows written to {output}")


def describe_run(session: Session, run: Run, everything: bool = False) -> str:
    """A run in words, with the findings that matter, or with all."""
    from monitor.storage import results

    lines = [
        f"run {run.uuid}: {run.status}{f', severity {run.severity}' if run.severity else ''}",
        (
            f"  {run.kind} run of {run.window_start:%Y-%m-%d %H:%M} to {run.window_end:%Y-%m-%d %H:%M} UTC,"
            f" {'first result' if run.look == 0 else 'updated result'}, as of {run.as_of:%Y-%m-%d %H:%M} UTC"
        ),
    ]
    if run.reason:
        lines.append(f"  {run.reason}")
    if run.rows is not None:
        labelled = "" if run.labelled is None else f", {run.labelled} of them with a label"
        lines.append(
            f"  {run.rows} rows, {run.sampled} sampled{labelled}; attempts {run.claims}, failures {run.failures}"
        )
    findings = results.findings(session, [run.id])[run.id]
    shown = findings if everything else results.that_matter(findings)
    lines += [f"  {finding.severity:8} {finding.explanation}" for finding, _ in shown]
    if len(findings) > len(shown):
        lines.append(f"  {len(findings) - len(shown)} more findings, which matter less: --all lists them")
    unclear: dict[str, list[str]] = {}
    for stored in results.checks(session, [run.id])[run.id]:
        if stored.check.verdict in UNDECIDED:
            name = stored.series.metric + (f" of {stored.series.column}" if stored.series.column else "")
            unclear.setdefault(f"{stored.check.verdict.replace('_', ' ')} ({stored.check.reason})", []).append(name)
    lines += [f"  {why}: {', '.join(names)}" for why, names in unclear.items()]
    return "\n".join(lines)


def report(
    run: Annotated[str, typer.Argument(help="The run's id, or its beginning.")],
    html: Annotated[Path, typer.Option("--html", help="The file to write.")],
    config: shared.ConfigOption = None,
) -> None:
    """Write a run's Evidently report as one HTML page."""
    from monitor.storage import results, runs

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    stored = shared.one(database.read(runs.find, run), "run", run)
    data: Any = database.read(results.snapshot, stored.id)
    if data is None:
        raise UsageError(
            f"run {stored.uuid[:8]} has no report: it is"
            f" {stored.status}{'' if stored.rows else ' and its window has no rows'}"
        )
    from monitor.analysis.snapshot.store import to_html, unpack

    html.write_text(to_html(unpack(data)), encoding="utf-8")
    shared.say(f"{html} written")
