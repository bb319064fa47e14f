"""`monitor config`: the configuration in effect, and its schema."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from monitor.cli import shared

app = typer.Typer(help="Show the configuration, its schema and its changes.", no_args_is_help=True)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of monitor.yaml, for editors."""
    from monitor.config.model import Configuration

    whole = Configuration.model_json_schema(by_alias=True)
    whole["properties"]["defaults"] = {
        "type": "object",
        "description": "Any key of a monitor, for all monitors; maps merge deeply, lists replace.",
    }
    shared.say(json_module.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}, indent=2))


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Print the configuration in effect, with where each value came from; secrets are masked."""
    from monitor.config.secrets import masked

    loaded = shared.load_configuration(config, check_secrets=False)
    values: dict[str, Any] = loaded.configuration.model_dump(mode="json", by_alias=True)
    if name is not None:
        values = {"monitors": {name: values["monitors"].get(name)}}
    for key, value in _flat(masked(values)):
        shared.say(f"{key}: {json_module.dumps(value, ensure_ascii=False)}  # {loaded.places.get(key, 'default')}")


@app.command("diff")
def diff(config: shared.ConfigOption = None, json: shared.JsonOption = False) -> None:
    """What applying the configuration would touch: monitors, epochs, references, alerts. Writes nothing."""
    from monitor.services.compare_configuration import compare_configuration
    from monitor.services.context import Context

    loaded = shared.load_configuration(config, check_secrets=False)
    changes = compare_configuration(Context(loaded, shared.open_existing(loaded)))
    shared.show(changes, ("monitor", "change", "effect"), json, "no difference: the configuration is in effect")


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for key, item in value.items() for pair in _flat(item, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value)]
