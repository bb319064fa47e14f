"""Which class of a binary model is the positive one, as far as the labels' own words tell."""

from __future__ import annotations

from collections.abc import Collection

# Known pairs: the positive word and the negative one, in any case.
PAIRS = (("1", "0"), ("1.0", "0.0"), ("true", "false"), ("t", "f"), ("yes", "no"), ("y", "n"), ("1", "-1"))
# Words that mean the same class: -1 is none of these, for it is negative beside 1 alone.
_SAME_CLASS = tuple(frozenset(pair[side] for pair in PAIRS[:-1]) for side in (0, 1))


def certain_positive(values: Collection[str | bytes]) -> str | None:
    """The positive class where it is certain from the labels; None where somebody has to name it.

    It is certain where all labels are words of known pairs, in any case: 1 and 0, 1.0 and 0.0 as text, true and false,
    t and f, yes and no, y and n, or of several of these pairs at once; and where they are 1 and -1 (then 1 is
    positive). Labels of one class alone are certain, too, if that is a word of such a pair: where all are `no`, the
    positive class is `yes`. All others are not: 1 and 2, good and bad, a and b. Better performance with the one class
    than with the other proves nothing.

    values: the different labels as text (see `analysis.schema.canonical_text`), without the missing ones.
    Returns the class as it is written there, or would be.
    """
    texts = sorted({as_text(value) for value in values})
    lower = {text.lower() for text in texts}
    for positive, negative in PAIRS:
        if lower and lower <= {positive, negative}:
            return next((text for text in texts if text.lower() == positive), _written_like(positive, texts[0]))
    class_words = frozenset.union(*_SAME_CLASS)
    return next((text for text in texts if lower <= class_words and text.lower() in _SAME_CLASS[0]), None)


def means_same(first: str, second: str) -> bool:
    """Whether two texts mean the same class: they are the same, or words of the same side of known pairs, such as 1,
    1.0, true and YES.
    """
    return first == second or any(first.lower() in words and second.lower() in words for words in _SAME_CLASS)


def as_text(value: str | bytes) -> str:
    """A label as text; bytes are UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _written_like(word: str, example: str) -> str:
    if example.isupper():
        return word.upper()
    return word.capitalize() if example.istitle() else word
