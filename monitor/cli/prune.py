"""`monitor prune`: remove what `retention` no longer keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import shared


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
    config: shared.ConfigOption = None,
) -> None:
    """Remove what `retention` no longer keeps. The daemon does the same every hour."""
    from monitor.services.context import Context
    from monitor.services.prune import prune as remove

    loaded = shared.load_configuration(config, check_secrets=False)
    removed = remove(Context(loaded, shared.open_existing(loaded)), dry_run=dry_run)
    kinds = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in removed.items()) or "nothing"
    shared.say(f"{'would remove' if dry_run else 'removed'} {kinds}")
