"""Alertmanager's matchers over labels: `team=~"a|b"`. Regular expressions are RE2's, whose time grows with the text and
no faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from monitor.errors import UsageError

# Far more than anybody writes by hand: a route or silence has a handful, of a few dozen characters.
MOST_MATCHERS, LONGEST = 50, 1000
# What RE2 may take for one expression, in bytes (its own default is 8 MB), and how many of them are kept.
_MEMORY, _KEPT = 2**20, 128


def _options() -> Any:
    options = re2.Options()
    options.log_errors, options.max_mem = False, _MEMORY
    return options


# RE2 for the form too: Python's `re` takes cubic time for blanks that are followed by something else.
_MATCHER = re2.compile(r'^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"?((?:[^"\\]|\\.)*)"?\s*$', options=_options())
_ESCAPE = re.compile(r'\\[\\"n]')


@dataclass(frozen=True)
class Matcher:
    """One condition on a label, in Alertmanager's syntax: `severity="critical"`, `team=~"a|b"`."""

    label: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Raises UsageError for what Alertmanager would refuse, and for more than `LONGEST` characters."""
        if len(text) > LONGEST:
            raise UsageError(f"a matcher has at most {LONGEST:,} characters, not {len(text):,}: '{text[:50]}…'")
        match = _MATCHER.match(_encodable(text))
        if match is None:
            raise UsageError(f"'{text}' is no matcher; write label=\"value\", with =, !=, =~ or !~")
        value = _unescaped(match[3])
        if match[2] in ("=~", "!~"):
            try:
                _compiled(value)
            except re2.error as error:
                reason = error.args[0] if error.args else "it is no regular expression"
                reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
                raise UsageError(f"'{text}' is no matcher: {reason} (RE2's syntax, as Alertmanager's)") from None
        return cls(match[1], match[2], value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it; an absent label is ''."""
        value = labels.get(self.label, "")
        if self.operator in ("=", "!="):
            return (value == self.value) == (self.operator == "=")
        return (_compiled(self.value).fullmatch(_encodable(value)) is not None) == (self.operator == "=~")


def equal(label: str, value: str) -> str:
    """The text of a matcher for exactly this value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}="{escaped}"'


def parsed(texts: Sequence[str]) -> list[Matcher]:
    """Matchers, all of which must match. Raises UsageError, also for more than `MOST_MATCHERS`."""
    if len(texts) > MOST_MATCHERS:
        raise UsageError(f"at most {MOST_MATCHERS} matchers may stand together, not {len(texts):,}")
    return [Matcher.parse(text) for text in texts]


def matches(texts: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil all matchers. Raises UsageError."""
    return all(matcher.matches(labels) for matcher in parsed(texts))


@lru_cache(maxsize=_KEPT)
def _compiled(pattern: str) -> Any:
    return re2.compile(_encodable(pattern), options=_options())


def _unescaped(text: str) -> str:
    """A quoted value as Alertmanager reads it: of escapes it knows three, and any other backslash is one."""
    return _ESCAPE.sub(lambda match: {"\\n": "\n"}.get(match[0], match[0][1]), text)


def _encodable(text: str) -> str:
    """Text that RE2 takes: halves of surrogate pairs, which are no characters, are replaced."""
    return text.encode(errors="replace").decode()
