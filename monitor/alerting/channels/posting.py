"""What channels have in common that post JSON to a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from monitor import outgoing


class Posting:
    """A URL, and the rules by which it is reached."""

    def __init__(self, url: str, **rules: Unpack[outgoing.Rules]) -> None:
        self._url, self._rules = url, rules

    def reach(self) -> str:
        """Connect to the host."""
        return outgoing.reach(self._url, **self._rules)

    def _post(self, content: Mapping[str, Any], headers: Mapping[str, str] | None = None, path: str = "") -> str:
        """POST content as JSON; what was answered. Raises DeliveryError."""
        return answer_text(outgoing.post_json(f"{self._url}{path}", content, headers or {}, **self._rules))


def answer_text(answer: outgoing.ReceiverAnswer) -> str:
    """An answer in words."""
    return f"{answer.status} in {answer.seconds:.2f} s"
