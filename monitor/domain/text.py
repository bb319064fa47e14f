"""Names and values from the log, as people are shown them: data, never markup, format or a line break."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

_MOST = 60
# So many names are listed.
_LISTED = 5


def shown(value: object, most: int = _MOST) -> str:
    """A name or value in one short line: control characters and lone surrogates escaped, what is too long cut with an
    ellipsis.
    """
    text = str(value)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def printable(text: str) -> str:
    """Text of any length for terminals and messages: control characters, which a terminal obeys, and marks that turn
    the direction of writing are escaped; lines stay lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if _is_printable(character) else character.encode("unicode_escape").decode() for character in text
    )


def printable_json(text: str) -> str:
    """JSON for terminals: the same, as JSON escapes it, so that whoever reads it has the same values."""
    return "".join(character if _is_printable(character) else json.dumps(character)[1:-1] for character in text)


def _is_printable(character: str) -> bool:
    # Blanks of other widths are no letters to `isprintable`, and do no harm.
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def quoted(value: object, most: int = _MOST) -> str:
    """The same in quotes."""
    return f"'{shown(value, most)}'"


def listed(names: Sequence[object]) -> str:
    """The first names in quotes, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(quoted, names[:_LISTED])) + more


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
