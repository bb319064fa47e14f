"""What the handlers of the API share: documented answers, pages of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, TypeVar

from litestar import delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter

from monitor.web.access import INGEST, requires
from monitor.web.api.schemas import Page, Problem
from monitor.web.parameters import cursor_of

T = TypeVar("T")
_PROBLEMS = {
    400: "The request cannot be understood.",
    401: "A token is needed.",
    403: "The role does not suffice.",
    404: "There is no such thing.",
    409: "It is not in a state in which that can be done.",
    413: "The body is too large.",
    415: "The media type is not taken.",
    422: "The rows, or the data that is named, cannot be used.",
    429: "Too many requests.",
    503: "The report database, or the place where rows are kept, is away.",
}
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
sends = partial(post, guards=[requires(INGEST)], responses=_RESPONSES)
removes = partial(delete, guards=[requires("operator")], responses=_RESPONSES)
called_back = partial(post, responses=_RESPONSES)


def paged(rows: Sequence[Any], limit: int, shown: Callable[[Any], T]) -> Page[T]:
    """A page of rows, of which one more than `limit` was asked for."""
    more = len(rows) > limit
    kept = rows[:limit]
    return Page([shown(row) for row in kept], cursor_of(kept[-1].id) if more else None)
