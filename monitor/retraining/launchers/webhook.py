"""A URL that starts the training, signed by the Standard Webhooks convention; `monitor retraining complete` ends the
request.
"""

from __future__ import annotations

import json
from typing import Any, Unpack

from monitor import outgoing


def launch(url: str, secret: str | None, request: dict[str, Any], **rules: Unpack[outgoing.Rules]) -> None:
    """POST the request; its id is the idempotency key, so that the same launch may be repeated. Raises
    DeliveryError.
    """
    body = json.dumps({"type": "retraining.requested", "request": request}, ensure_ascii=False)
    outgoing.post_signed(url, request["id"], body, [secret] if secret else [], **rules)
