"""The canary's schedule. The canary runs in a process of its own, without the report database; its failure is a
problem of the service itself.
"""

from __future__ import annotations

import subprocess
import sys

from structlog import get_logger

from monitor.domain.clock import boot_time_s
from monitor.services.context import Context

log = get_logger()
_TIME_LIMIT_S = 900


def fly_canary(context: Context) -> bool:
    """Run the canary if it is due; whether it ran. A failure is kept in `context.canary_fault`, and `watch_self` opens
    an alert for it.
    """
    config = context.configuration.canary
    if config is None:
        context.canary_fault = ""
        return False
    if boot_time_s() - context.canary_flew_at < config.every.approximate().total_seconds():
        return False
    context.canary_flew_at = boot_time_s()
    command = [sys.executable, "-m", "monitor", "canary", "--config", str(context.loaded.path)]
    command += ["--channel", config.channel] if config.channel is not None else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False)  # noqa: S603 - our own command
    except subprocess.TimeoutExpired:
        context.canary_fault = f"the canary did not come back within {_TIME_LIMIT_S // 60} minutes"
    else:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        context.canary_fault = "" if done.returncode == 0 else last[0].removeprefix("monitor: ")[:500]
    log.info("canary_flew", fault=context.canary_fault)
    return True
