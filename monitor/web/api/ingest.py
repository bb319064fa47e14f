"""Predictions and labels that models send."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import zstandard
from anyio.to_thread import run_sync
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.openapi.spec import Example, OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import QueryParameter

from monitor.domain.text import listed
from monitor.errors import DataError
from monitor.web.access import asker
from monitor.web.api.common import sends
from monitor.web.api.schemas import Ingested
from monitor.web.site import AnyRequest, Site, site_of

if TYPE_CHECKING:
    from monitor.sources.ingest_body import Form

Monitor = Annotated[str, QueryParameter(description="The monitor whose model it is.", min_length=1)]


JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
_FORMS: dict[str, Form] = {JSON: "json", NDJSON: "ndjson", ARROW: "arrow"}
_ROWS = Schema(
    type=OpenAPIType.ARRAY, min_items=1, items=Schema(type=OpenAPIType.OBJECT, description="A row: one value a column.")
)
_PREDICTION = {
    "id": "a-17",
    "event_time": "2025-04-01T06:00:00Z",
    "income": 41.5,
    "region": "north",
    "probability": 0.83,
    "prediction": 1,
}
_LABEL = {"id": "a-17", "label": 1, "label_time": "2025-04-08T06:00:00Z"}


@dataclass
class _TakesRows(Operation):
    """A request whose body is rows in one of three forms."""

    row: ClassVar[dict[str, Any]] = _PREDICTION

    def __post_init__(self) -> None:
        lines, stream = Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        self.request_body = RequestBody(
            description="The rows; Content-Encoding gzip and zstd are taken.",
            required=True,
            content={
                JSON: OpenAPIMediaType(schema=_ROWS, examples={"rows": Example(value=[self.row])}),
                NDJSON: OpenAPIMediaType(schema=lines, examples={"rows": Example(value=json.dumps(self.row))}),
                ARROW: OpenAPIMediaType(schema=stream),
            },
        )


@dataclass
class _TakesLabels(_TakesRows):
    row: ClassVar[dict[str, Any]] = _LABEL


@sends("/predictions", status_code=202, operation_class=_TakesRows)
async def send_predictions(request: AnyRequest, monitor: Monitor) -> Ingested:
    """Rows that a model received and predicted: JSON (a list of rows), JSON lines or an Arrow stream; gzip and zstd. A
    row is kept once, by its id.
    """
    return await _ingest(request, monitor, labels=False)


@sends("/labels", status_code=202, operation_class=_TakesLabels)
async def send_labels(request: AnyRequest, monitor: Monitor) -> Ingested:
    """What turned out to be true, by the predictions' ids. Another label for the same id corrects it."""
    return await _ingest(request, monitor, labels=True)


async def _ingest(request: AnyRequest, monitor: str, *, labels: bool) -> Ingested:
    principal = asker(request)
    if not principal.may_send(monitor):
        raise PermissionDeniedException(
            f"{principal.name} may not send rows of {monitor}: it is for {listed(principal.monitors)}"
        )
    body = await request.body()
    return await run_sync(partial(_kept, request, monitor, body, labels=labels), limiter=site_of(request).ingestion)


def _kept(request: AnyRequest, monitor: str, body: bytes, *, labels: bool) -> Ingested:
    # These bring Arrow, which a daemon that takes no rows does without.
    import pyarrow as pa

    from monitor.services import ingest
    from monitor.sources.ingest_body import parse

    site = site_of(request)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    form = _FORMS.get(media_type)
    if form is None:
        raise HTTPException(f"{media_type} is not taken: send {', '.join(_FORMS)}", status_code=415)
    keep = ingest.ingest_labels if labels else ingest.ingest_predictions
    try:
        whole = unpacked(body, encoding, site.web.body_limit_mb * 2**20)
        taken = keep(site.context, monitor, parse(whole, form, site.web.decoded_limit_mb * 2**20))
    except HTTPException as error:
        _note_refused(site, monitor, error.detail)
        raise
    except DataError as error:
        _note_refused(site, monitor, str(error))
        raise HTTPException(str(error), status_code=422) from None
    else:
        site.context.refusals.note_taken(monitor)
    finally:
        pa.default_memory_pool().release_unused()  # what a large batch took is not kept for the next one
    return Ingested(taken.accepted, taken.duplicates, len(taken.new_columns))


def _note_refused(site: Site, monitor: str, reason: str) -> None:
    if monitor in site.context.configuration.monitors:
        site.context.refusals.note(monitor, reason)


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body as it was before it was packed, read no further than the limit: a small one may hold a great deal. Raises
    HTTPException.
    """
    if encoding == "identity":
        return body
    try:
        if encoding == "gzip":
            packed = zlib.decompressobj(wbits=31)
            content = packed.decompress(body, limit + 1)
            whole = packed.eof
        elif encoding == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(body) as reader:
                content = reader.read(limit + 1)
            whole = True
        else:
            raise HTTPException(f"the encoding {encoding} is not taken: gzip, zstd or none", status_code=415)
    except (zlib.error, zstandard.ZstdError) as error:
        raise HTTPException(f"the body is not {encoding}: {error}", status_code=400) from None
    if len(content) > limit:
        raise HTTPException(f"the body is larger than {limit // 2**20} MB once unpacked", status_code=413)
    if not whole:
        raise HTTPException("the body ends too early", status_code=400)
    return content


HANDLERS = [send_predictions, send_labels]
