"""Logging in and out."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from litestar import Response, get, post
from litestar.exceptions import TooManyRequestsException
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.params import FromQuery
from litestar.response import Redirect
from structlog import get_logger

from monitor.storage import people
from monitor.web.access import FORM_COOKIE, SESSION_COOKIE, is_our_form, is_password, own_cookie
from monitor.web.pages.alerts import Form
from monitor.web.site import AnyRequest, in_thread, page, set_cookie, site_of

log = get_logger()


def _as_login(request: AnyRequest) -> str:
    """By what logins are counted, separately from other requests."""
    return f"login of {request.client.host if request.client else ''}"


_LOGIN_LIMIT = RateLimitConfig(("minute", 10), identifier_for_request=_as_login)


@get("/login", include_in_schema=False)
@in_thread
def ask(request: AnyRequest, next: FromQuery[str] = "/") -> Response[str]:
    """The form."""
    return page(request, "login.html", wanted=_inside(next), wrong=False)


def _inside(path: str) -> str:
    """A path of this service; the first page for anything that leads elsewhere. Browsers leave tabs and line ends out
    of addresses, and take `\\` for `/`.
    """
    leads_inside = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if leads_inside else "/"


@post("/login", include_in_schema=False, middleware=[_LOGIN_LIMIT.middleware])
@in_thread
def enter(request: AnyRequest, data: Form) -> Response[str]:
    """Name and password; a session that lasts twelve hours. Few are tried in a minute for one address, and for
    one name.
    """
    site, name, wanted = site_of(request), str(data.get("name", ""))[:128], _inside(str(data.get("next", "/")))
    if site.attempts.must_wait(name):
        log.warning("login_refused", user=name, why="too many have failed")
        raise TooManyRequestsException("too many logins by this name have failed: wait a minute")
    user = site.read(people.user, name)
    ours = is_our_form(request, str(data.get("token", "")))
    if not ours or not is_password(user.password_hash if user else None, str(data.get("password", ""))[:1024]):
        log.warning("login_refused", user=name, address=request.client.host if request.client else "")
        site.attempts.failed(name)
        return page(request, "login.html", status=401, wanted=wanted, wrong=True)
    secret = site.context.database.transact(people.log_in, user.id, datetime.now(UTC))
    answer: Response[str] = Response(
        "", status_code=303, headers={"location": quote(site.web.root_path + wanted, safe=string.punctuation)}
    )
    set_cookie(request, answer, SESSION_COOKIE, secret, people.SESSION_LASTS)
    return answer


@post("/logout", include_in_schema=False)
@in_thread
def leave(request: AnyRequest, data: Form) -> Redirect:
    """End the session."""
    site = site_of(request)
    if is_our_form(request, str(data.get("token", ""))):
        site.context.database.transact(people.log_out, own_cookie(request, SESSION_COOKIE)[1])
    answer = Redirect(f"{site.web.root_path}/login", status_code=303)
    for name in (SESSION_COOKIE, FORM_COOKIE):
        set_cookie(request, answer, name, "", timedelta(0))
    return answer


HANDLERS = [ask, enter, leave]
