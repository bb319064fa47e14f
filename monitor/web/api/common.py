"""What the handlers of the API share: documented answers, cursors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from litestar import delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from monitor.errors import UsageError
from monitor.web.access import requires
from monitor.web.api.schemas import Page, Problem

T = TypeVar("T")
_PROBLEMS = {
    400: "The request cannot be understood.", 401: "A token is needed.", 403: "The role does not suffice.", 404: "There is no such thing.",
    409: "It is not in a state in which that can be done.", 413: "The body is too large.", 415: "The media type is not taken.",
    422: "The rows cannot be taken.", 429: "Too many requests.", 503: "The report database is away.",
}  # fmt: skip
_RESPONSES = {
    status: ResponseSpec(Problem, description=text, media_type="application/problem+json", generate_examples=False)
    for status, text in _PROBLEMS.items()
}
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.", max_length=100)]
Limit = Annotated[int, QueryParameter(description="How many items at most.", ge=1, le=500)]
Name = Annotated[str, PathParameter(description="A monitor's name.")]
Id = Annotated[str, PathParameter(description="An id, or its beginning.", min_length=1, max_length=36)]


reads = partial(get, guards=[requires("viewer")], responses=_RESPONSES)
changes = partial(post, guards=[requires("operator")], responses=_RESPONSES)
removes = partial(delete, guards=[requires("operator")], responses=_RESPONSES)
called_back = partial(post, responses=_RESPONSES)


def aware(moment: datetime) -> datetime:
    """A time without a zone is UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def before(cursor: str | None) -> int | None:
    """The number that a cursor stands for. Raises UsageError."""
    if cursor is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error):
        raise UsageError("the cursor is not one of ours: take `next_cursor` of the page before") from None


def paged(rows: Sequence[Any], limit: int, shown: Callable[[Any], T]) -> Page[T]:
    """A page of rows, of which one more than `limit` was asked for."""
    more = len(rows) > limit
    kept = rows[:limit]
    cursor = base64.urlsafe_b64encode(str(kept[-1].id).encode()).decode() if more else None
    return Page([shown(each) for each in kept], cursor)
