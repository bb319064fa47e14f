"""`monitor labels`: which labels would tell most."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import shared

if TYPE_CHECKING:
    from monitor.services.want_labels import Wanted

app = typer.Typer(help="Ask for the labels that would tell most.", no_args_is_help=True)
_COLUMNS = ("id", "event_time", "prediction", "probability", "weight")


@app.command("wanted")
def wanted(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    budget: Annotated[int, typer.Option(help="How many labels can be had.")] = 50,
    window: Annotated[
        str | None, typer.Option(help="START/END; the newest window whose performance is not known if left out.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The metric to be known; that of `harm` if left out.")] = None,
    version: Annotated[str | None, typer.Option(help="Of the model; that with the most rows if left out.")] = None,
    another: Annotated[bool, typer.Option("--another", help="Draw one more list of the same window.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A CSV file to write the rows to.")] = None,
    by: Annotated[str | None, typer.Option(help="Who; the name of this account if left out.")] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """The rows whose labels would settle soonest how the model does, with the weights by which these labels count."""
    from monitor.services.context import Context
    from monitor.services.want_labels import want_labels
    from monitor.services.workers import WorkerPool

    loaded = shared.load_configuration(config)
    context = Context(loaded, shared.open_existing(loaded))
    span = None if window is None else shared.window(window)
    with shared.doing("reading the window"):
        asked = want_labels(
            context,
            WorkerPool(warm=False),
            name,
            budget,
            shared.person(by),
            window=span,
            metric=metric,
            version=version,
            another=another,
        )
    rows = [
        {
            "id": row.id,
            "event_time": row.event_time,
            "prediction": row.prediction,
            "probability": row.probability,
            "weight": row.weight,
        }
        for row in asked.drawn.drawn
    ]
    if output is not None:
        _write(output, rows)
    if json:
        shared.show([_facts(asked) | {"rows": rows}], (), True, "")
        return
    shared.say(_described(asked))
    if output is None:
        shared.show(rows, _COLUMNS, False, "no rows")
    else:
        shared.say(f"{output}: {len(rows)} rows")


def _write(output: Path, rows: list[dict[str, Any]]) -> None:
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"event_time": row["event_time"].isoformat()} for row in rows)


def _facts(asked: Wanted) -> dict[str, Any]:
    drawn = asked.drawn
    return {
        "list": asked.uuid,
        "window_start": asked.window.start,
        "window_end": asked.window.end,
        "number": asked.number,
        "is_new": asked.is_new,
        "model_version": drawn.version,
        "metric": drawn.metric,
        "window_rows": drawn.rows,
        "labelled": drawn.labelled,
        "estimate": drawn.estimate,
        "reach_of_estimate": drawn.before,
        "expected_reach": drawn.after,
        "expected_reach_of_random_rows": drawn.by_random_rows,
    }


def _described(asked: Wanted) -> str:
    """What the list is of, and how well its metric is expected to be known by it."""
    drawn, lines = asked.drawn, []
    span = f"{asked.window.start:%Y-%m-%d %H:%M} to {asked.window.end:%Y-%m-%d %H:%M} UTC"
    began = "drawn now" if asked.is_new else "drawn before; its labels have not all come"
    lines.append(f"list {asked.uuid[:8]} of the window {span}: {len(drawn.drawn)} of {drawn.rows} rows, {began}")
    if drawn.estimate is not None and drawn.before is not None:
        lines.append(
            f"{drawn.metric} by the estimate without labels: {drawn.estimate:.4g}, ± {drawn.before:.2g} as long as"
            " labels are as they were on the reference"
        )
    line = f"{drawn.metric} by these labels: ± {drawn.after:.2g} expected"
    if drawn.by_random_rows is not None:
        line += f"; by as many labels of random rows: ± {drawn.by_random_rows:.2g}"
    return "\n".join([*lines, line])
