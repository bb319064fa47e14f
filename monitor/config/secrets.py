"""`${ENV}` and `${file:/run/secrets/x}` in the configuration: kept as written, expanded only where they are used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.errors import ConfigurationError

_REFERENCE = re.compile(r"\$\{(file:)?([^}]+)\}")
# A password may hold anything that people forget to write as %2F or %40: it ends at the last @.
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^\n]+)@")
_IN_QUERY = re.compile(
    r"(?i)([?&](?:password|passwd|pwd|(?:access_|auth_)?token|api_?key|key|secret|sig|signature)=)([^&#\s]+)"
)
_FLAG = r"-{1,2}[\w-]*(?:password|passwd|token|secret|api-?key)[\w-]*"
_SECRET_FLAG, _WITH_FLAG = re.compile(_FLAG, re.IGNORECASE), re.compile(rf"({_FLAG})([= ])(\S+)", re.IGNORECASE)
_SECRET_KEYS = {"secret", "secrets", "password", "token", "sensitive_key", "routing_key", "topic"}
# Addresses whose path is a secret: whoever knows it can write there.
_SECRET_ADDRESSES = {"heartbeat_url"}
# Channels whose address is a secret.
_SECRET_TYPES = ("slack", "teams")


def expand(text: str) -> str:
    """`text` with its secrets filled in. Raises ConfigurationError for one that is not there."""
    return _REFERENCE.sub(lambda match: _value(match[1], match[2]), text)


def missing(text: str) -> Iterator[str]:
    """What is wrong with each secret that `text` names and that is not there."""
    for match in _REFERENCE.finditer(text):
        try:
            _value(match[1], match[2])
        except ConfigurationError as error:
            yield str(error)


def masked(value: Any) -> Any:
    """`value` for showing: secrets in URLs, and in what is given to commands, are replaced; `${…}` is no secret and
    stays.
    """
    if isinstance(value, dict):
        shown = _without_addresses(value) if value.get("type") in _SECRET_TYPES else value
        return {key: _masked_entry(key, item) for key, item in shown.items()}
    if isinstance(value, list):
        flags = [None, *(item if isinstance(item, str) and _SECRET_FLAG.fullmatch(item) else None for item in value)]
        return [
            "***" if flag is not None and not _is_reference(item) else masked(item)
            for flag, item in zip(flags, value, strict=False)
        ]
    return _masked_text(value) if isinstance(value, str) else value


def _masked_entry(key: str, item: Any) -> Any:
    if item is not None and key in _SECRET_KEYS and not _is_reference(item):
        return "***"
    return _without_addresses(item) if key in _SECRET_ADDRESSES else masked(item)


def _masked_text(text: str) -> str:
    text = _URL_PASSWORD.sub(lambda match: match[0] if _is_reference(match[2]) else f"{match[1]}:***@", text)
    text = _IN_QUERY.sub(lambda match: match[0] if _is_reference(match[2]) else f"{match[1]}***", text)
    return _WITH_FLAG.sub(lambda match: match[0] if _is_reference(match[3]) else f"{match[1]}{match[2]}***", text)


def storable(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it may be stored: what is written in clear in channels' and launchers' addresses is left
    out.
    """
    stored = {key: value if key == "monitors" else _masked_entry(key, value) for key, value in values.items()}
    return stored | {key: _without_addresses(stored[key]) for key in ("channels", "launchers") if key in stored}


def is_masked(value: Any) -> bool:
    """Whether something in it was left out."""
    if isinstance(value, dict):
        return any(map(is_masked, value.values()))
    if isinstance(value, list):
        return any(map(is_masked, value))
    return isinstance(value, str) and "***" in value


def _without_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_addresses(item) for key, item in value.items()}
    if isinstance(value, str) and "://" in value and not _is_reference(value):
        return f"{value.split('://', 1)[0]}://***"
    return value


def _is_reference(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_reference, value))
    return isinstance(value, str) and _REFERENCE.search(value) is not None


def _value(is_file: str | None, name: str) -> str:
    if is_file:
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"the secret file {name} cannot be read: {error.strerror}") from None
    value = os.environ.get(name)
    if value is None:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value
