"""The channels, one file each. To add one: a file with a class that has `send`, an entry in `config/model.py`, a line in `open_channel`."""

from __future__ import annotations

from monitor.alerting.channels.apprise import AppriseSender
from monitor.alerting.channels.base import Channel
from monitor.alerting.channels.webhook import Webhook
from monitor.config.model import AppriseChannel, WebhookChannel
from monitor.config.secrets import expand


def open_channel(config: WebhookChannel | AppriseChannel) -> Channel:
    """The channel that a configuration describes, secrets filled in."""
    if isinstance(config, WebhookChannel):
        return Webhook(
            expand(config.url), expand(config.secret) if config.secret else None, allow_private=config.allow_private
        )
    return AppriseSender(expand(config.url))
