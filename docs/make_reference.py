"""Writes docs/reference/configuration.md, command-line.md and openapi.json from the code (`make docs`)."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from pydantic import BaseModel

from monitor.cli import app
from monitor.config import model
from monitor.web.app import schema

PAGES = Path(__file__).parent / "reference"

CONFIGURATION = """# The configuration

`monitor.yaml`, or a folder `monitors/` of such files; `-c`, then `$MONITOR_CONFIG`, then searched upwards as git
does. Relative paths are relative to the file.
Secrets are written as `${ENVIRONMENT_VARIABLE}` or `${file:/run/secrets/name}`. `defaults:` holds any keys of a
monitor, for all monitors: maps merge deeply, lists replace.
`monitor config show` prints the result and where each value came from, `monitor config schema` the JSON Schema for
editors.
This page is made from the code by `make docs`.
"""

PARTS = [
    (model.Configuration, "The file"),
    (model.MonitorConfig, "`monitors.NAME`"),
    (model.Model, "`model`"),
    (model.Source, "`source`"),
    (model.LabelsConfig, "`labels`"),
    (model.LabelColumns, "`labels.columns`"),
    (model.ReferenceData, "`reference`"),
    (model.ColumnNames, "`columns`"),
    (model.Windows, "`windows`"),
    (model.Sample, "`sample`"),
    (model.ChecksConfig, "`checks`"),
    (model.Alerts, "`alerts`"),
    (model.Retraining, "`retraining`"),
    (model.WebhookChannel, "`channels.NAME`, type `webhook`"),
    (model.SlackChannel, "`channels.NAME`, type `slack`"),
    (model.TeamsChannel, "`channels.NAME`, type `teams`"),
    (model.TelegramChannel, "`channels.NAME`, type `telegram`"),
    (model.NtfyChannel, "`channels.NAME`, type `ntfy`"),
    (model.PagerDutyChannel, "`channels.NAME`, type `pagerduty`"),
    (model.AlertmanagerChannel, "`channels.NAME`, type `alertmanager`"),
    (model.FileChannel, "`channels.NAME`, type `file`"),
    (model.CommandChannel, "`channels.NAME`, type `command`"),
    (model.AppriseChannel, "`channels.NAME`, type `apprise` (or just its URL)"),
    (model.Outgoing, "`outgoing`"),
    (model.Route, "`routes`"),
    (model.CommandLauncher, "`launchers.NAME`, type `command`"),
    (model.WebhookLauncher, "`launchers.NAME`, type `webhook`"),
    (model.WorkersConfig, "`workers`"),
    (model.Web, "`web`"),
]

COMMANDS = """# The command line

Exit codes: 0 looked and fine, 1 unexpected error or failed run, 2 usage or configuration, 3 source or database
unreachable; with `--fail-on SEVERITY` also 4 findings at or above
it, 5 could not tell. Every listing takes `--json`; ids may be shortened while unique. This page is made from the code
by `make docs`.
"""


def _summary(text: str) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def configuration_page() -> str:
    """Every key of monitor.yaml."""
    lines = [CONFIGURATION]
    for part, title in PARTS:
        lines += [f"## {title}", "", _summary(part.__doc__ or ""), "", "| key | default | meaning |", "|---|---|---|"]
        for name, field in sorted(part.model_fields.items(), key=lambda item: not item[1].is_required()):
            default = (
                "required"
                if field.is_required()
                else "see below"
                if isinstance(field.default, BaseModel)
                else ""
                if field.default in (None, "")
                else f"`{field.default}`"
            )
            lines.append(f"| `{field.alias or name}` | {default} | {field.description or ''} |")
        lines.append("")
    return "\n".join(lines)


def command_page() -> str:
    """Every command with its options."""
    lines = [COMMANDS]
    _describe(typer.main.get_command(app), "monitor", lines)
    return "\n".join(lines)


def openapi_page() -> str:
    """The OpenAPI document of the HTTP API."""
    return json.dumps(schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _describe(command: object, name: str, lines: list[str]) -> None:
    below = getattr(command, "commands", None)
    if below is not None:
        for sub_name, sub in below.items():
            _describe(sub, f"{name} {sub_name}", lines)
        return
    arguments = [argument for argument in command.params if argument.param_type_name == "argument"]
    lines += [
        f"## `{' '.join([name, *(argument.name.upper() for argument in arguments)])}`",
        "",
        _summary(command.help),
        "",
    ]
    for parameter in command.params:
        if parameter.name != "help":
            is_option = parameter.param_type_name == "option"
            name = ", ".join(parameter.opts) if is_option else parameter.name.upper()
            lines.append(f"- `{name}`: {parameter.help or ''}")
    lines.append("")


if __name__ == "__main__":
    (PAGES / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    (PAGES / "command-line.md").write_text(command_page(), encoding="utf-8")
    (PAGES / "openapi.json").write_text(openapi_page(), encoding="utf-8")
