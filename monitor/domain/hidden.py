"""What is kept of a sensitive value: a keyed hash, and of free text the numbers of its form, so that it can be watched
without being stored.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re

# The numbers of a text's form, in their order: its length, and the shares of its characters by kind.
FORM = ("length", "words", "digits", "capitals", "latin", "cyrillic", "other_scripts")
_BLOCKS = (("latin", "A", "\u024f"), ("cyrillic", "\u0400", "\u052f"), ("latin", "\u1e00", "\u1eff"))
_FEWEST_WORDS = 3
_HIDDEN = re.compile(rf"[0-9a-f]{{16}}((?: \d\.\d{{3}}){{{len(FORM)}}})")


def hide(value: object, key: str) -> str:
    """The keyed hash of a value; of a text of three words or more its form beside it. Equal values stay equal."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    digest = hmac.new(key.encode(), text.encode("utf-8", "backslashreplace"), hashlib.sha256).hexdigest()[:16]
    if not isinstance(value, str) or len(text.split()) < _FEWEST_WORDS:
        return digest
    return " ".join([digest, *(f"{number:.3f}" for number in form_of(text))])


def form_of(text: str) -> tuple[float, ...]:
    """The numbers of a text's form, as `FORM` names them: decimal logarithms of its characters and words, and shares of
    its characters.
    """
    number = max(len(text), 1)
    scripts = [_script(character) for character in text if character.isalpha()]
    counts = (
        sum(character.isdigit() for character in text),
        sum(character.isupper() for character in text),
        scripts.count("latin"),
        scripts.count("cyrillic"),
        scripts.count("other"),
    )
    return math.log10(number), math.log10(max(len(text.split()), 1)), *(count / number for count in counts)


def form_of_hidden(hidden: object) -> tuple[float, ...] | None:
    """The form that is kept beside a hash; None where none is."""
    match = _HIDDEN.fullmatch(hidden) if isinstance(hidden, str) else None
    return None if match is None else tuple(map(float, match.group(1).split()))


def _script(letter: str) -> str:
    """The script of a letter, by the blocks of the Unicode standard."""
    return next((name for name, first, last in _BLOCKS if first <= letter <= last), "other")
