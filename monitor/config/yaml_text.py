"""YAML with line numbers: safe values, and for each the file and line that it stands in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Location = tuple[str, int]
Keys = tuple[str | int, ...]


@dataclass
class Document:
    """Plain values, where each of them stands, and what was wrong with the text."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Keys, Location] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def place(self, keys: Keys) -> str:
        """`file:line` of the value at `keys`, or of the nearest one that holds it."""
        while keys and keys not in self.places:
            keys = keys[:-1]
        file, line = self.places.get(keys, ("monitor.yaml", 1))
        return f"{file}:{line}"


def read(path: Path, shown: str) -> Document:
    """Read one file; `shown` is its name in messages."""
    document = Document(places={(): (shown, 1)})
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        document.problems.append(f"{shown}:1: the file is not UTF-8 text")
        return document
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.problems.append(f"{shown}:{line}: {_explain(text, line, str(error.problem))}")
        return document
    except yaml.YAMLError as error:
        document.problems.append(f"{shown}:1: {error}")
        return document
    if node is None:
        return document
    if not isinstance(node, yaml.MappingNode):
        document.problems.append(f"{shown}:1: a configuration is a mapping, such as `monitors:`")
        return document
    document.values = _construct(node, (), shown, document)
    return document


def _explain(text: str, line: int, problem: str) -> str:
    lines = text.splitlines()
    if line <= len(lines) and "\t" in lines[line - 1]:
        return "a tab: YAML is indented by spaces alone"
    return f"this is no YAML: {problem}"


def _construct(node: yaml.Node, keys: Keys, shown: str, document: Document) -> Any:
    document.places[keys] = (shown, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                document.problems.append(
                    f"{shown}:{line}: `{key}` stands here twice; first on line {document.places[(*keys, key)][1]}"
                )
                continue
            result[key] = _construct(value_node, (*keys, key), shown, document)
            document.places[(*keys, key)] = (shown, line)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*keys, index), shown, document) for index, item in enumerate(node.value)]
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    if isinstance(value, float) and not math.isfinite(value):
        document.problems.append(
            f"{shown}:{node.start_mark.line + 1}: {node.value} is no number that can be compared with"
        )
        return None
    return value
