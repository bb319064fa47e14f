"""`${ENV}` and `${file:/run/secrets/x}` in the configuration: kept as written, expanded only where they are used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.errors import ConfigurationError

_REFERENCE = re.compile(r"\$\{(file:)?([^}]+)\}")
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):([^@/\s]+)@")


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
    """`value` for showing: passwords in URLs are replaced; `${…}` is no secret and stays."""
    if isinstance(value, dict):
        return {
            key: "***"
            if key in {"secret", "password", "token", "sensitive_key", "routing_key"} and not _is_reference(item)
            else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return _URL_PASSWORD.sub(lambda match: match[0] if _is_reference(match[2]) else f"{match[1]}:***@", value)
    return value


def storable(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration as it may be stored: what is written in clear in channels' and launchers' addresses is left out."""
    kept = {key: value if key == "monitors" else masked(value) for key, value in values.items()}
    return kept | {key: _without_addresses(kept[key]) for key in ("channels", "launchers") if key in kept}


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
