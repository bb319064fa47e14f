"""The bodies of requests and answers, as model servers take and give them: rows, columns, split frames, tensors, CSV,
lines of JSON.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from monitor.sources.formats.base import UnreadableRecord

Row = dict[str, Any]


def decoded(data: Any, encoding: str | None, content_type: str | None) -> Any:
    """What a body holds: JSON as its values, CSV as lists of text. encoding: JSON, CSV or BASE64, as the record says.
    Raises UnreadableRecord.
    """
    if data is None:
        raise UnreadableRecord("a body is missing")
    if not isinstance(data, str):
        return data
    if (encoding or "").upper() == "BASE64":
        try:
            data = base64.b64decode(data, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise UnreadableRecord("a body is no text") from None
    kind = (content_type or "").lower()
    if "csv" in kind or (encoding or "").upper() == "CSV":
        value = _json(data) if data.lstrip()[:1] in ("{", "[") else None
        return _csv(data) if value is None else value
    value = _json(data)
    if value is None:
        return _csv(data)
    return value


def _json(text: str) -> Any:
    """The values of JSON, or of several lines of it; None for any other text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        return None


def _csv(text: str) -> list[list[Any]]:
    return [[_value(cell.strip()) for cell in row] for row in csv.reader(io.StringIO(text)) if row]


def _value(text: str) -> Any:
    """A value of CSV: a number if it is written as one."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if str(number) == text or kind is float else text
    return text or None


def inputs_of(body: Any, names: Sequence[str]) -> list[Row]:
    """The rows that went into a model. names: of the inputs, where the body has none. Raises UnreadableRecord."""
    return [_named(row, names, "input") for row in _rows(body, is_input=True)]


def answers_of(body: Any, rows: int | None = None) -> list[Row]:
    """What a model answered, a row a prediction: `prediction`, `probability_CLASS`, or the names that it gave. rows:
    how many went in, where that is known. Raises UnreadableRecord.
    """
    answers = _rows(body, is_input=False)
    if rows is not None and len(answers) == 1 and rows > 1 and isinstance(answers[0], list) and len(answers[0]) == rows:
        answers = answers[0]  # several answers on one line
    return [_answer(answer) for answer in answers]


def together(inputs: list[Row], answers: list[Row]) -> list[Row]:
    """The rows of both sides. Raises UnreadableRecord if there are not as many of each."""
    if inputs and answers and len(inputs) != len(answers):
        raise UnreadableRecord(f"{len(inputs)} rows went in and {len(answers)} came out")
    if not inputs or not answers:
        return inputs or answers
    return [
        row | {_free(name, row): value for name, value in answer.items()}
        for row, answer in zip(inputs, answers, strict=True)
    ]


def _free(name: str, row: Row) -> str:
    return name if name not in row else f"output_{name}"


def _rows(body: Any, *, is_input: bool) -> list[Any]:
    """The rows of a body, each an object or a list of values."""
    if isinstance(body, dict):
        return _rows_of_object(body, is_input=is_input)
    if not isinstance(body, list):
        return [body]
    if is_input and body and not any(isinstance(value, (dict, list)) for value in body):
        return [body]
    return body


def _rows_of_object(body: Row, *, is_input: bool) -> list[Any]:
    for name in ("dataframe_records", "instances", "predictions"):
        if name in body:
            return _rows(body[name], is_input=False) if isinstance(body[name], list) else [body[name]]
    if "dataframe_split" in body:
        return _rows_of_object(body["dataframe_split"], is_input=is_input)
    if isinstance(body.get("columns"), list) and isinstance(body.get("data"), list):
        return [dict(zip(body["columns"], row, strict=True)) for row in _same_width(body["data"], len(body["columns"]))]
    for name in ("inputs", "outputs"):
        if name in body:
            return _tensors(body[name]) if _are_tensors(body[name]) else _rows(body[name], is_input=is_input)
    inner = body.get("data")
    if isinstance(inner, dict) and ("ndarray" in inner or "tensor" in inner):
        return _seldon(inner)
    if isinstance(inner, list) and len(body) <= 2:
        return _rows(inner, is_input=is_input)
    if "scores" in body and "classes" in body:
        return [body]
    lists = [value for value in body.values() if isinstance(value, list)]
    if lists and len(lists) == len(body) and len({len(values) for values in lists}) == 1:
        return [dict(zip(body, row, strict=True)) for row in zip(*lists, strict=True)]
    return [body]


def _same_width(rows: list[Any], width: int) -> list[Any]:
    if any(not isinstance(row, list) or len(row) != width for row in rows):
        raise UnreadableRecord(f"a row has not the {width} values that are named")
    return rows


def _are_tensors(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(tensor, dict) and "shape" in tensor and "datatype" in tensor for tensor in value)
    )


def _tensors(tensors: list[Row]) -> list[Row]:
    """The rows of tensors of the Open Inference Protocol: one a column, or one with all."""
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        values, shape = _flat(tensor.get("data")), [int(size) for size in tensor["shape"]]
        if tensor.get("parameters", {}).get("content_type") == "base64":
            values = [base64.b64decode(text).decode("utf-8", errors="replace") for text in values]
        rows = shape[0] if shape else 1
        width = math.prod(shape[1:]) if len(shape) > 1 else 1
        if len(values) != rows * width:
            raise UnreadableRecord("a tensor does not hold as many values as its shape says, or they are binary")
        name = str(tensor.get("name", "output"))
        for place in range(width):
            columns[name if width == 1 else f"{name}_{place}"] = values[place::width]
    if len({len(column) for column in columns.values()}) != 1:
        raise UnreadableRecord("its tensors are not of the same length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [] if value is None else [value]
    return (
        [inner for item in value for inner in _flat(item)] if any(isinstance(item, list) for item in value) else value
    )


def _seldon(data: Row) -> list[Any]:
    names = data.get("names") or []
    if "tensor" in data:
        shape, values = [int(size) for size in data["tensor"].get("shape", [])], data["tensor"].get("values", [])
        width = math.prod(shape[1:]) if len(shape) > 1 else 1
        rows = [values[start : start + width] for start in range(0, len(values), width or 1)]
    else:
        rows = data["ndarray"]
    return [
        dict(zip(names, row, strict=True)) if isinstance(row, list) and len(names) == len(row) else row for row in rows
    ]


def _named(row: Any, names: Sequence[str], prefix: str) -> Row:
    if isinstance(row, dict):
        return {str(name): _single(value) for name, value in row.items()}
    values = row if isinstance(row, list) else [row]
    if names and len(names) != len(values):
        raise UnreadableRecord(f"it has {len(values)} inputs, and {len(names)} are named")
    return dict(zip(names or [f"{prefix}_{place}" for place in range(len(values))], values, strict=True))


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _answer(answer: Any) -> Row:
    if isinstance(answer, dict):
        if "scores" in answer and "classes" in answer:
            return _of_classes(answer["classes"], answer["scores"])
        named = {str(name): _single(value) for name, value in answer.items()}
        if len(named) == 1:
            return _answer(next(iter(named.values())))
        return {
            "prediction" if name in ("predict", "predicted_label") else name: value for name, value in named.items()
        }
    if isinstance(answer, list):
        if len(answer) == 1:
            return _answer(answer[0])
        return _of_classes(range(len(answer)), answer)
    return {"prediction": answer}


def _of_classes(classes: Sequence[Any], scores: Sequence[Any]) -> Row:
    return {f"probability_{class_name}": score for class_name, score in zip(classes, scores, strict=False)}
