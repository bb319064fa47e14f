"""What every handler works with: the service's context, its templates, and what was looked up a moment ago."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from litestar.enums import MediaType
from sqlalchemy.orm import Session

import monitor
from monitor.config.model import Web, is_web_address
from monitor.domain import phrases
from monitor.services.context import Context
from monitor.services.specs import REPORT
from monitor.services.workers import WorkerPool
from monitor.storage import overview
from monitor.storage.overview import MonitorOverview, Sparkline
from monitor.web import access
from monitor.web.attempts import Attempts

P = ParamSpec("P")
T = TypeVar("T")
HERE = Path(__file__).parent
_REPORTS_KEPT = 4
# So many requests with rows are worked on at once: each may take `web.decoded_limit_mb` of memory, and threads are left
# for the pages.
_INGESTING = 4
AnyRequest = Request[Any, Any, Any]


@dataclass
class Site:
    """One web server's state. last_windows: what the last windows of each monitor showed, by the monitor's id.
    ingestion: where requests with rows wait.
    """

    context: Context
    workers: WorkerPool
    web: Web
    last_windows: dict[int, LastWindows] = field(default_factory=dict)
    shown_configuration: tuple[object, str] = (None, "")
    reports: dict[str, str] = field(default_factory=dict)
    ingestion: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_INGESTING))
    attempts: Attempts = field(default_factory=Attempts)
    templates: Environment = field(init=False)
    _lock: Lock = field(default_factory=Lock)
    _reports: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.tests["web_address"] = is_web_address
        self.templates.filters |= {"time": shown_time, "ago": ago, "number": number, "metric": phrases.metric_name}

    def report(self, run: str, snapshot: bytes) -> str:
        """The Evidently report of a run as a page: one is made at a time, and the last ones are kept."""
        with self._reports:
            if run not in self.reports:
                self.reports[run] = self.workers.call(REPORT, snapshot)
                for old in list(self.reports)[:-_REPORTS_KEPT]:
                    del self.reports[old]
            return self.reports[run]

    def read(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        """Read from the report database."""
        return self.context.database.read(work, *args, **kwargs)

    def fleet(self, session: Session, only: int | None = None) -> list[FleetRow]:
        """The state of every monitor (or only one), with its last windows. These are read and drawn again only when one
        of its runs has ended since.
        """
        rows = []
        for row in overview.fleet(session, only):
            windows = self.last_windows.get(row.id)
            if windows is None or windows.last_run != row.last_run:
                spark = overview.spark(session, row.id)
                windows = LastWindows(row.last_run, spark, PlotLines.of(spark))
                with self._lock:
                    self.last_windows[row.id] = windows
            rows.append(FleetRow(row, windows.spark, windows.lines))
        return rows


@dataclass(frozen=True)
class PlotLines:
    """The coordinates of a monitor's little plots."""

    realised: str
    estimated: str
    drifted: str

    @classmethod
    def of(cls, spark: Sparkline) -> PlotLines:
        """Realised and estimated performance in one box, drifted columns in another."""
        both = spark.realised + spark.estimated
        return cls(
            line(spark.realised, both, 130, 28),
            line(spark.estimated, both, 130, 28),
            line(spark.drifted, spark.drifted, 90, 28),
        )


class LastWindows(NamedTuple):
    """What the last windows of a monitor showed. last_run: when its last run had ended as they were read."""

    last_run: datetime | None
    spark: Sparkline
    lines: PlotLines


class FleetRow(NamedTuple):
    """A monitor of the fleet: its state, the values of its last windows and their plots."""

    overview: MonitorOverview
    spark: Sparkline
    lines: PlotLines


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """A handler that may wait for the database, on a thread. (Litestar's `sync_to_thread` fails where two handlers
    share a path.)
    """

    @wraps(function)
    async def handler(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run_sync(partial(function, *args, **kwargs))

    return handler


def site_of(request: AnyRequest) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state["site"]
    return site


def page(request: AnyRequest, template: str, /, *, status: int = 200, **data: Any) -> Response[str]:
    """A page as HTML; forms on it carry the token of the browser's cookie."""
    site, secret = site_of(request), access.form_secret(request)
    shared = {
        "base": site.web.root_path,
        "principal": request.scope.get("user"),
        "token": access.form_token(secret),
        "version": monitor.__version__,
        "asks_for_login": site.web.asks_for_login,
        "now": datetime.now(UTC),
        "path": request.url.path,
    }
    html = site.templates.get_template(template).render(shared | data)
    answer = Response(html, media_type=MediaType.HTML, status_code=status)
    if not access.own_cookie(request, access.FORM_COOKIE)[1]:
        set_cookie(request, answer, access.FORM_COOKIE, secret, None)
    return answer


def set_cookie(request: AnyRequest, answer: Response[Any], name: str, value: str, lasts: timedelta | None) -> None:
    """A cookie that no script reads; bound to TLS and to this host where the page came by TLS.

    Of other sites only a link that somebody follows sends it (`lax`): who is logged in comes from a chat or mail to the
    alert, and not to the login. No GET changes anything.
    """
    answer.set_cookie(
        key=access.own_cookie(request, name)[0],
        value=value,
        path=site_of(request).web.root_path or "/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        max_age=None if lasts is None else int(lasts.total_seconds()),
    )


def shown_time(moment: datetime | None) -> str:
    """A time as pages show it, UTC."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


# Further off than two months a number of days says less than the date.
_FAR_OFF_S = 60 * 86_400


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago a time was, or in how long it will be; its day where that is far off."""
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    if size > _FAR_OFF_S:
        return f"{moment:%Y-%m-%d}"
    units = (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 129_600), ("d", 86_400, math.inf))
    text = next(f"{size / seconds_of:.0f} {unit}" for unit, seconds_of, most in units if size < most)
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def number(value: float | None, digits: int = 4) -> str:
    """A number as pages show it."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def line(points: list[tuple[datetime, float]], among: list[tuple[datetime, float]], width: int, height: int) -> str:
    """Points as an SVG polyline's coordinates, in a box that all of `among` fits in."""
    if not points:
        return ""
    times = [moment.timestamp() for moment, _ in among]
    values = [value for _, value in among]
    low, high, first, last = min(values), max(values), min(times), max(times)
    return " ".join(
        f"{1 + (moment.timestamp() - first) / ((last - first) or 1) * (width - 2):.1f},"
        f"{height - 2 - (value - low) / ((high - low) or 1) * (height - 4):.1f}"
        for moment, value in points
    )
