"""The launchers, one file each; those that start a training elsewhere are opened here."""

from __future__ import annotations

import base64

from monitor.config.model import AirflowLauncher, DatabricksLauncher, RemoteLauncher
from monitor.config.secrets import expand
from monitor.outgoing import DIRECT, Network, Rules
from monitor.retraining.launchers.airflow import Airflow
from monitor.retraining.launchers.databricks import Databricks
from monitor.retraining.launchers.github import GitHub
from monitor.retraining.launchers.remote import Remote


def open_remote(config: RemoteLauncher, network: Network = DIRECT) -> Remote:
    """The launcher that a configuration describes, secrets filled in."""
    rules: Rules = {"allow_private": config.allow_private, "network": network}
    if isinstance(config, AirflowLauncher):
        headers = {"authorization": f"Bearer {expand(config.token)}"} if config.token else {}
        if config.user:
            pair = f"{expand(config.user)}:{expand(config.password)}".encode()
            headers = {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return Airflow(
            expand(config.url),
            config.dag,
            headers,
            config.api_version,
            config.result_task,
            **rules,
        )
    if isinstance(config, DatabricksLauncher):
        return Databricks(expand(config.host), config.job_id, expand(config.token), **rules)
    return GitHub(
        expand(config.api),
        config.repository,
        expand(config.token),
        config.workflow,
        config.ref,
        config.event_type,
        **rules,
    )
