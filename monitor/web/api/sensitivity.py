"""What other settings of a monitor would have paged."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from litestar.params import QueryParameter
from sqlalchemy.orm import Session

from monitor.domain.checks import Harm
from monitor.errors import ConflictError
from monitor.services.sensitivity import MOST_PAGES, Sensitivity, Settings, sensitivity, settings_of
from monitor.storage import overview
from monitor.web.api.common import Name, reads
from monitor.web.api.schemas import WouldBeAlert, WouldHavePaged
from monitor.web.pages.monitors import watched
from monitor.web.parameters import interval
from monitor.web.site import AnyRequest, in_thread, site_of


@reads("/monitors/{name:str}/sensitivity")
@in_thread
def get_sensitivity(
    request: AnyRequest,
    name: Name,
    metric: Annotated[str, QueryParameter(description="Of `checks.harm`; the first that there are values of.")] = "",
    harm: Annotated[str, QueryParameter(description="As in `checks.harm`: a number, or such as 10%.")] = "",
    false_pages_per_month: Annotated[
        float | None, QueryParameter(description="As in `alerts`.", gt=0, le=MOST_PAGES)
    ] = None,
    start: Annotated[datetime | None, QueryParameter(description="Windows that begin then or later.")] = None,
    end: Annotated[datetime | None, QueryParameter(description="Windows that begin before.")] = None,
) -> WouldHavePaged:
    """What other settings would have paged on performance; without `harm` and `false_pages_per_month`, the monitor's
    own do.
    """
    site, span = site_of(request), interval(start, end)

    def read(session: Session) -> Sensitivity:
        row = watched(session, name)
        config = site.context.config_of(session, row)
        own = None if config is None else settings_of(config, overview.metrics_of_whole(session, row.id), metric)
        if own is None:
            raise ConflictError(f"no stored performance of {name} is judged by a harm")
        wanted = Settings(
            own.metric, Harm.of(harm) if harm else own.harm, false_pages_per_month or own.false_pages_per_month
        )
        return sensitivity(session, site.context, row, wanted, *span)

    return _shown(site.read(read))


def _shown(result: Sensitivity) -> WouldHavePaged:
    settings, (lower, upper) = result.settings, result.limits
    alerts = [
        WouldBeAlert(kind.value, incident.since, incident.until, incident.severity, incident.resolved is None)
        for kind, incident in result.alerts
    ]
    return WouldHavePaged(
        settings.metric,
        str(settings.harm),
        settings.false_pages_per_month,
        lower,
        upper,
        len(result.windows),
        result.months,
        result.pages,
        result.false_pages,
        result.unlabelled,
        alerts,
    )


HANDLERS: list[Any] = [get_sensitivity]
