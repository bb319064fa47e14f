"""`monitor retraining`: requests, their story, and ending one by hand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from monitor.cli import shared
from monitor.errors import UsageError

app = typer.Typer(help="Show, approve and complete retraining requests.", no_args_is_help=True)
# The columns of the list.
_SHOWN = ("id", "state", "model", "as_of", "reason", "outcome", "recovery", "receipt")


@app.command("list")
def list_requests(
    everything: Annotated[bool, typer.Option("--all", help="Proposals too.")] = False,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Requests, newest first."""
    from monitor.storage import retraining

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    rows = [
        {
            "id": request.uuid if json else request.uuid[:8],
            "state": request.state,
            "model": request.model_name,
            "monitor": monitor,
            "as_of": request.as_of,
            "reason": request.reason,
            "outcome": request.outcome,
            "recovery": request.recovery,
            "receipt": request.receipt or "",
            "data_start": request.data_start,
            "data_end": request.data_end,
        }
        for request, monitor in database.read(retraining.listed, everything=everything)
    ]
    shared.show(rows, _SHOWN, json, "no retraining was requested")


@app.command("show")
def show_request(
    request: Annotated[str, typer.Argument(help="The request's id, or its beginning.")],
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """The timeline of a request."""
    from monitor.services.context import Context
    from monitor.services.launch_retraining import described, money_of, not_to_train_on
    from monitor.storage import retraining
    from monitor.storage.tables import MonitorRow

    loaded = shared.load_configuration(config, check_secrets=False)
    database = shared.open_existing(loaded)

    def story(session: Any) -> dict[str, Any]:
        row = shared.one(retraining.find(session, request), "request", request)
        monitor = session.get_one(MonitorRow, row.monitor_id).name
        money = money_of(session, Context(loaded, database), row)
        content = described(row, monitor, not_to_train_on(session, row), money)
        events = [
            {"at": event.happened_at, "state": event.state, "text": event.text}
            for event in retraining.story(session, row.id)
        ]
        return content | {
            "state": row.state,
            "launcher": row.launcher,
            "outcome": row.outcome,
            "recovery": row.recovery,
            "receipt": row.receipt or "",
            "story": events,
        }

    details = database.read(story)
    if json:
        shared.show([details], (), True, "")
        return
    shared.say(
        f"request {details['id']}: {details['state']}\n  model {details['model']} {details['model_version']}, launcher"
        f" {details['launcher']}\n  {details['reason']}"
    )
    if details["receipt"]:
        shared.say(f"  {details['recovery'].replace('_', ' ')}: {details['receipt']}")
    shared.say(f"  train on {details['data_start']} to {details['data_end']}")
    if "money" in details:
        shared.say(f"  {details['money']['text']}")
    for interval in details["exclude"]:
        shared.say(f"    but not on {interval['start']} to {interval['end']}")
    for event in details["story"]:
        shared.say(f"  {event['at']:%Y-%m-%d %H:%M}  {event['state']:12} {event['text']}")


@app.command("explain")
def explain(
    model: Annotated[str, typer.Argument(help="The model's name.")], config: shared.ConfigOption = None
) -> None:
    """Why a retraining is or is not requested now."""
    from monitor.config.model import RETRAINING_KINDS
    from monitor.domain import phrases
    from monitor.services.context import Context
    from monitor.services.dispatch_proposals import may_open
    from monitor.services.retraining_conditions import condition_statuses
    from monitor.storage import alerts, monitors, retraining

    loaded = shared.load_configuration(config, check_secrets=False)
    database = shared.open_existing(loaded)

    def why(session: Any) -> list[str]:
        context = Context(loaded, database)
        lines = []
        watching = [row for row in monitors.active(session) if row.model_name == model]
        if not watching:
            raise UsageError(
                f"no monitor watches a model {model}; there are:"
                f" {', '.join(sorted({row.model_name for row in monitors.active(session)})) or 'none'}"
            )
        current = retraining.not_ended(session, model)
        if current is not None:
            lines.append(f"request {current.uuid[:8]} is {current.state}: {current.reason}")
        for row in watching:
            config = context.config_of(session, row)
            if config is None or config.retraining is None:
                lines.append(f"{row.name}: no retraining is configured")
                continue
            needed = config.in_windows(config.retraining.for_windows)
            lines += [
                f"{row.name}: {condition.text}{': it holds' if condition.holds else ''}"
                for condition in condition_statuses(session, context, row, config)
            ]
            for kind in RETRAINING_KINDS:
                least = config.retraining.least(kind)
                if least is None:
                    continue
                state = alerts.fold_states(session, row.id, [kind])[kind].state
                count = state["fold"]["retrain"] if state else 0
                lines.append(
                    f"{row.name}: {kind} was bad{' and critical' if least == 'critical' else ''} in {count} windows in"
                    f" a row; {needed} are needed"
                )
        trained = retraining.last_trained(session, model)
        if trained is not None:
            lines.append(f"request {trained.uuid[:8]} {phrases.recovery(trained.recovery)}: {trained.receipt or ''}")
        for proposal in retraining.in_state(session, "proposed"):
            if proposal.model_name == model:
                reason, _ = may_open(session, context, proposal)
                lines.append(
                    f"proposal {proposal.uuid[:8]} waits: {reason or 'it becomes a request in the next round'}"
                )
        return lines

    for line in database.transact(why):
        shared.say(line)


@app.command("approve")
def approve(
    request: Annotated[str, typer.Argument(help="The request's id, or its beginning.")],
    config: shared.ConfigOption = None,
) -> None:
    """Approve a request that waits for approval."""
    from monitor.services import by_hand

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    shared.say(f"request {database.transact(by_hand.approve, shared.person(), request).uuid[:8]} is approved")


@app.command("complete")
def complete_request(
    request: Annotated[str, typer.Argument(help="The request's id, or its beginning.")],
    failed: Annotated[bool, typer.Option("--failed", help="The training failed.")] = False,
    model_version: Annotated[str, typer.Option(help="The new model version.")] = "",
    reference: Annotated[str, typer.Option(help="The file with the new model's reference rows, to be promoted.")] = "",
    candidate: Annotated[
        str, typer.Option(help="The file with the new model's predictions of labelled rows: it must be better first.")
    ] = "",
    text: Annotated[str, typer.Option(help="A note.")] = "",
    config: shared.ConfigOption = None,
) -> None:
    """Record how a training ended, where its launcher cannot tell."""
    from monitor.retraining.request import TrainingOutcome
    from monitor.services.context import Context
    from monitor.services.launch_retraining import complete
    from monitor.services.workers import WorkerPool
    from monitor.storage import retraining

    loaded = shared.load_configuration(config)
    database = shared.open_existing(loaded)
    row = shared.one(database.read(retraining.find, request), "request", request)
    if row.state in (*retraining.ENDED, *retraining.PROPOSAL):
        raise UsageError(f"request {row.uuid[:8]} is {row.state}")
    ending = "failed" if failed else "succeeded"
    database.transact(lambda session: shared.person().record(session, "retraining completed", row.uuid, ending))
    state = complete(
        Context(loaded, database),
        WorkerPool(warm=False),
        row.uuid,
        TrainingOutcome(not failed, text, model_version, reference, candidate),
    )
    shared.say(f"request {row.uuid[:8]} is {state}")


@app.command("cancel")
def cancel(
    request: Annotated[str, typer.Argument(help="The request's id, or its beginning.")],
    config: shared.ConfigOption = None,
) -> None:
    """Cancel a request; a training that already runs is not stopped."""
    from monitor.services import by_hand

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    shared.say(f"request {database.transact(by_hand.cancel, shared.person(), request).uuid[:8]} is cancelled")
