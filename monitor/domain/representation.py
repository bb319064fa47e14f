"""How objects are written in one line, for terminals, notebooks and logs."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any


def set_fields(instance: Any) -> str:
    """A dataclass as the call that makes it, without the fields that have their defaults: `Columns(label='y')`."""
    arguments = []
    for parameter in fields(instance):
        value = getattr(instance, parameter.name)
        usual = parameter.default_factory() if parameter.default_factory is not MISSING else parameter.default
        if usual is MISSING or value != usual:
            arguments.append(f"{parameter.name}={value!r}")
    return f"{type(instance).__name__}({', '.join(arguments)})"


def described(instance: Any, *parts: str) -> str:
    """The name of an object's class with what there is to say of it: `History(4 windows, 1 pages)`."""
    return f"{type(instance).__name__}({', '.join(part for part in parts if part)})"
