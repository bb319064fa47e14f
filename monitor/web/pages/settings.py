"""What the service works by: configuration, daemons, database, versions, people."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import yaml
from litestar import Response, get
from sqlalchemy.orm import Session

from monitor.config import secrets
from monitor.storage import daemons, people
from monitor.storage.database import size_bytes
from monitor.web.access import requires
from monitor.web.site import AnyRequest, Site, in_thread, page, site_of

_LIBRARIES = ("evidently", "sqlalchemy", "duckdb", "ibis-framework", "pandas", "scikit-learn", "litestar")


@get("/settings", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(request: AnyRequest) -> Response[str]:
    """Configuration in effect with secrets masked, daemons and their heartbeats, the database, versions, the audit
    log.
    """
    site = site_of(request)

    def read(session: Session) -> dict[str, Any]:
        return {
            "daemons": daemons.listed(session),
            "is_silent": daemons.is_silent,
            "database_now": daemons.database_time(session),
            "size": size_bytes(session),
            "users": people.users(session),
            "tokens": people.tokens(session),
            "audit": people.recorded(session, 100),
        }

    versions = [(name, importlib.metadata.version(name)) for name in _LIBRARIES]
    kept = site.context.configuration.retention.model_dump(mode="json")
    shown = site.context.database.shown
    return page(
        request,
        "settings.html",
        configuration=_configuration(site),
        versions=versions,
        kept=kept,
        database=shown,
        **site.read(read),
    )


def _configuration(site: Site) -> str:
    """The configuration in effect as YAML, secrets masked; made once while it stays the same."""
    own = site.context.configuration
    if site.shown_configuration[0] is not own:
        stored = secrets.storable(own.model_dump(mode="json", by_alias=True, exclude_unset=True))
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        text = yaml.dump(secrets.masked(stored), Dumper=dumper, sort_keys=False, allow_unicode=True, width=140)
        site.shown_configuration = own, text
    return site.shown_configuration[1]


HANDLERS = [show]
