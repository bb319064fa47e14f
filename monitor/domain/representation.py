"""How objects are written in one line, for terminals, notebooks and logs."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any


def set_fields(instance: Any) -> str:
    """A dataclass as the call that makes it, without the fields that have their defaults: `Columns(label='y')`."""
    told = []
    for each in fields(instance):
        value = getattr(instance, each.name)
        usual = each.default_factory() if each.default_factory is not MISSING else each.default
        if usual is MISSING or value != usual:
            told.append(f"{each.name}={value!r}")
    return f"{type(instance).__name__}({', '.join(told)})"


def described(instance: Any, *parts: str) -> str:
    """The name of an object's class with what there is to say of it: `History(4 windows, 1 pages)`."""
    return f"{type(instance).__name__}({', '.join(part for part in parts if part)})"
