"""The channels, one file each. To add one: a file with a class that has `send`, an entry in `config/model.py`, a line
in `open_channel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitor.alerting.channels.alertmanager import Alertmanager
from monitor.alerting.channels.apprise import AppriseSender
from monitor.alerting.channels.base import Channel
from monitor.alerting.channels.card import Card
from monitor.alerting.channels.command import Command
from monitor.alerting.channels.file import File
from monitor.alerting.channels.ntfy import Ntfy, as_ntfy
from monitor.alerting.channels.pagerduty import PagerDuty
from monitor.alerting.channels.slack import Slack, as_slack
from monitor.alerting.channels.teams import Teams, as_teams
from monitor.alerting.channels.telegram import Telegram, as_telegram
from monitor.alerting.channels.webhook import Webhook
from monitor.config.model import (
    AlertmanagerChannel,
    AnyChannel,
    AppriseChannel,
    CommandChannel,
    FileChannel,
    NtfyChannel,
    PagerDutyChannel,
    SlackChannel,
    TeamsChannel,
    TelegramChannel,
)
from monitor.config.secrets import expand
from monitor.outgoing import DIRECT, Network, Rules

# The forms of services that show a message in parts, by the type of the channel.
FORMS: dict[str, Callable[[Card], Any]] = {
    "slack": as_slack,
    "teams": as_teams,
    "telegram": as_telegram,
    "ntfy": as_ntfy,
}


def open_channel(
    config: AnyChannel, folder: Path, pictures: Mapping[str, bytes] | None = None, network: Network = DIRECT
) -> Channel:
    """The channel that a configuration describes, secrets filled in. folder: what relative paths are relative to.
    pictures: PNGs to send along, by file name.
    """
    if isinstance(config, FileChannel):
        return File(folder / Path(expand(config.path)).expanduser())
    timeout_s = config.timeout.approximate().total_seconds()
    if isinstance(config, CommandChannel):
        return Command([expand(argument) for argument in config.command], folder, timeout_s)
    if isinstance(config, AppriseChannel):
        return AppriseSender(expand(config.url), pictures, timeout_s, network)
    rules: Rules = {"allow_private": config.allow_private, "deadline_s": timeout_s, "network": network}
    if isinstance(config, AlertmanagerChannel):
        return Alertmanager(expand(config.url), **rules)
    if isinstance(config, PagerDutyChannel):
        return PagerDuty(expand(config.url), expand(config.routing_key), **rules)
    if isinstance(config, SlackChannel):
        return Slack(expand(config.url), **rules)
    if isinstance(config, TeamsChannel):
        return Teams(expand(config.url), **rules)
    if isinstance(config, TelegramChannel):
        return Telegram(expand(config.url), expand(config.token), expand(config.chat_id), pictures, **rules)
    if isinstance(config, NtfyChannel):
        return Ntfy(expand(config.url), expand(config.topic), expand(config.token), **rules)
    given = [config.secret] if isinstance(config.secret, str) else config.secret or []
    return Webhook(expand(config.url), [expand(secret) for secret in given], config.format, **rules)
