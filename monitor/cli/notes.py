"""`monitor annotate` and `monitor deployed`: what people and pipelines know and the data do not say."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from monitor.cli import shared
from monitor.errors import UsageError


class IntervalVerdict(StrEnum):
    """What an interval was."""

    EXPECTED = "expected"
    FAULTY = "faulty"
    HEALTHY = "healthy"


def annotate(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    interval: Annotated[str, typer.Argument(help="START/END, dates or times (UTC).")],
    verdict: Annotated[IntervalVerdict, typer.Option("--as", help="expected, faulty or healthy.")],
    note: Annotated[str, typer.Option(help="The reason: a sale, an outage, a release.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove such an annotation.")] = False,
    config: shared.ConfigOption = None,
) -> None:
    """Mark an interval as expected, faulty or healthy. Faulty rows are left out of rolling references, estimates and
    training data; healthy ones calibrate the reference from the next window on. Existing results stay as they are.
    """
    from monitor.storage import annotation

    span = shared.window(interval)
    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def marked(session: Any) -> int:
        number = shared.monitor_id(session, name)
        assert number is not None
        by = shared.person()
        by.record(session, "annotation removed" if remove else "annotated", name, f"{span} {verdict.value}: {note}")
        if remove:
            return annotation.remove(session, number, span, verdict.value, by.now)
        annotation.add(session, number, span, verdict.value, note, by.name, by.now)
        return 1

    number = database.transact(marked)
    again = f"monitor backfill {name} --from {span.start:%Y-%m-%d} --to {span.end:%Y-%m-%d} --rejudge"
    if remove:
        shared.say(f"{number} taken back")
    else:
        shared.say(
            f"{span} of {name} is marked {verdict.value}; what judging those windows again would say: {again} --preview"
        )


def deployed(
    model: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[str, typer.Option(help="The version that went into production.")],
    at: Annotated[str | None, typer.Option(help="When (ISO); now if left out.")] = None,
    note: Annotated[str, typer.Option(help="What is new.")] = "",
    reference: Annotated[
        str | None,
        typer.Option(help="The file with the new version's reference rows: it holds from the next window on."),
    ] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Record a deployment. Alerts that begin within two days of it name it."""
    from monitor.services.change_references import switch
    from monitor.services.context import Context
    from monitor.services.workers import WorkerPool
    from monitor.storage import deployments

    loaded = shared.load_configuration(config, check_secrets=reference is not None)
    database = shared.open_existing(loaded)
    now = datetime.now(UTC)
    models = sorted({entry.model.name for entry in loaded.configuration.monitors.values()})
    if model not in models:
        raise UsageError(f"no monitor watches a model {model}; there are: {', '.join(models) or 'none'}")
    moment = now if at is None else shared.moment(at)

    def recorded(session: Any) -> None:
        shared.person().record(session, "deployed", model, f"version {version}: {note}")
        deployments.add(session, model, version, moment, note, shared.who(), now)

    database.transact(recorded)
    shared.say(f"version {version} of {model} is in production since {moment:%Y-%m-%d %H:%M} UTC")
    if reference is not None:
        for line in switch(Context(loaded, database), WorkerPool(warm=False), model, version, reference, shared.who()):
            shared.say(line)
