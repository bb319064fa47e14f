"""Find, read and check the configuration: every mistake at once, with file and line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.config import secrets, yaml_text
from monitor.config.model import Configuration, Loaded, MonitorConfig, is_web_address
from monitor.domain.columns import KNOWN_NAMES
from monitor.domain.matchers import parsed
from monitor.domain.metrics import nearest
from monitor.domain.names import mistakes
from monitor.errors import ConfigurationError, UsageError

# What the neighbours call our things (Evidently, NannyML, Alertmanager, Prometheus, whylogs).
NEIGHBOURS: dict[str, str] = {
    **{word: part for part, words in KNOWN_NAMES.items() for word in words if word != part},
    "receivers": "channels",
    "receiver": "channels",
    "webhooks": "channels",
    "notifiers": "channels",
    "contacts": "channels",
    "models": "monitors",
    "projects": "monitors",
    "jobs": "monitors",
    "baseline": "reference",
    "reference_data": "reference",
    "train_data": "reference",
    "training_data": "reference",
    "current": "source",
    "current_data": "source",
    "production": "source",
    "predictions": "source",
    "data": "source",
    "input": "source",
    "targets": "labels",
    "ground_truths": "labels",
    "feedback": "labels",
    "schedule": "windows",
    "window": "windows",
    "interval": "every",
    "frequency": "every",
    "period": "length",
    "chunk_period": "length",
    "size": "length",
    "tests": "checks",
    "metrics": "checks",
    "drift": "checks",
    "threshold": "thresholds",
    "conditions": "thresholds",
    "max": "upper",
    "min": "lower",
    "lt": "upper",
    "lte": "upper",
    "gt": "lower",
    "gte": "lower",
    "numerical_features": "features",
    "categorical_features": "features",
    "numerical_columns": "features",
    "feature_columns": "features",
    "pos_label": "positive",
    "positive_class": "positive",
    "exclude": "ignore",
    "drop": "ignore",
    "pii": "sensitive",
    "labels_map": "tags",
    "alerting": "alerts",
    "alert": "alerts",
    "for_windows": "for",
    "retrain": "retraining",
    "problem_type": "task",
    "type_of_model": "task",
    "db": "database",
    "database_url": "database",
    "connection": "url",
    "dsn": "url",
    "file": "path",
    "files": "path",
    "paths": "path",
    "lag": "delay",
    "tz": "timezone",
}


def find(start: Path, given: str | None) -> Path:
    """The configuration: as given, then $MONITOR_CONFIG, then monitor.yaml or monitors/ here or in a folder above."""
    location = given or os.environ.get("MONITOR_CONFIG")
    if location:
        path = Path(location).expanduser()
        if not path.exists():
            raise ConfigurationError(f"there is no configuration at {path}; `monitor init` writes one")
        return path
    for folder in (start, *start.parents):
        for name in ("monitor.yaml", "monitors"):
            if (folder / name).is_file() if name.endswith(".yaml") else (folder / name).is_dir():
                return folder / name
    raise ConfigurationError(
        f"no monitor.yaml and no folder monitors/ in {start} or above it; `monitor init NAME --predictions …`"
        " writes one"
    )


def load(path: Path, *, check_secrets: bool = True, changes: Mapping[str, Any] | None = None) -> Loaded:
    """Read a file or a folder of files. Raises ConfigurationError that names every mistake.

    changes: keys of every monitor to be set otherwise, such as `checks.false_alarm_rate`.
    """
    document = _read(path)
    values = dict(document.values)
    problems = list(document.problems)
    if not problems:
        _merge_defaults(values, document, problems)
        for key, value in (changes or {}).items():
            _set(values, key, value)
    configuration: Configuration | None = None
    if not problems:
        try:
            configuration = Configuration.model_validate(values)
        except ValidationError as error:
            problems += [_explain(item, document, values) for item in error.errors()]
    if configuration is not None:
        problems += _cross_check(configuration, document)
        problems += [
            f"{document.place(keys)}: a password in clear: write it as ${{ENVIRONMENT_VARIABLE}}"
            for keys, text in _texts(document.values)
            if keys[0] in ("monitors", "defaults") and secrets.masked(text) != text
        ]
        if check_secrets:
            problems += [
                f"{document.place(keys)}: {problem}"
                for keys, text in _texts(document.values)
                for problem in secrets.missing(text)
            ]
    if problems or configuration is None:
        raise ConfigurationError("\n".join(dict.fromkeys(problems)))
    folder = path if path.is_dir() else path.parent
    places = {".".join(map(str, keys)): f"{file}:{line}" for keys, (file, line) in document.places.items() if keys}
    return Loaded(
        configuration=configuration, values=values, path=path.resolve(), folder=folder.resolve(), places=places
    )


def written_at(path: Path) -> list[tuple[str, int]]:
    """The files of a configuration and when each was written: what changes when somebody edits it."""
    try:
        return [(file.name, file.stat().st_mtime_ns) for file in ([path] if path.is_file() else _files(path))]
    except OSError:
        return []


def _files(path: Path) -> list[Path]:
    return sorted([*path.glob("*.yaml"), *path.glob("*.yml")])


def _read(path: Path) -> yaml_text.Document:
    if path.is_file():
        return yaml_text.read(path, path.name)
    files = _files(path)
    if not files:
        raise ConfigurationError(f"the folder {path} holds no .yaml file")
    whole = yaml_text.Document(places={(): (path.name, 1)})
    for file in files:
        part = yaml_text.read(file, f"{path.name}/{file.name}")
        whole.problems += part.problems
        for key, value in part.values.items():
            existing = whole.values.get(key)
            if isinstance(existing, dict) and isinstance(value, dict):
                for name, item in value.items():
                    if name in existing:
                        whole.problems.append(
                            f"{part.place((key, name))}: `{key}.{name}` stands also in {whole.place((key, name))}"
                        )
                    existing[name] = item
            elif isinstance(existing, list) and isinstance(value, list):
                existing.extend(value)
            elif existing is not None:
                whole.problems.append(f"{part.place((key,))}: `{key}` stands also in {whole.place((key,))}")
            else:
                whole.values[key] = value
        whole.places |= {keys: place for keys, place in part.places.items() if keys and keys not in whole.places}
    return whole


def _merge_defaults(values: dict[str, Any], document: yaml_text.Document, problems: list[str]) -> None:
    defaults = values.pop("defaults", None) or {}
    monitors = values.get("monitors")
    if not isinstance(defaults, dict):
        problems.append(f"{document.place(('defaults',))}: `defaults` is a mapping of any keys of a monitor")
        return
    if not isinstance(monitors, dict):
        return
    for name, entry in monitors.items():
        if isinstance(entry, dict):
            monitors[name] = _merged(defaults, entry, ("defaults",), ("monitors", name), document)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of every monitor's entry."""
    monitors: dict[str, Any] = values.get("monitors") or {}
    *path, last = key.split(".")
    for name in monitors:
        inside = entry = dict(monitors[name] or {})
        for part in path:
            inside[part] = dict(inside.get(part) or {})
            inside = inside[part]
        inside[last] = value
        monitors[name] = entry


def _merged(
    base: dict[str, Any],
    over: dict[str, Any],
    base_keys: yaml_text.Keys,
    over_keys: yaml_text.Keys,
    document: yaml_text.Document,
) -> dict[str, Any]:
    """Maps merge deeply, lists replace."""
    result = dict(base)
    for key in base:
        if key not in over:
            for keys, place in list(document.places.items()):
                if keys[: len(base_keys) + 1] == (*base_keys, key):
                    document.places.setdefault((*over_keys, *keys[len(base_keys) :]), place)
    for key, value in over.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merged(below, value, (*base_keys, key), (*over_keys, key), document)
        result[key] = value
    return result


def _explain(error: Any, document: yaml_text.Document, values: dict[str, Any]) -> str:
    keys = _keys_of(error["loc"], values, error["type"])
    where = ".".join(str(key) for key in keys)
    if error["type"] == "extra_forbidden":
        name = str(keys[-1])
        return (
            f"{document.place(keys)}:"
            f" {_unknown(name, _fields_at(keys[:-1], values), '.'.join(str(key) for key in keys[:-1]))}"
        )
    if error["type"] == "missing":
        return f"{document.place(keys[:-1])}: {where or keys[-1]} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "union_tag_not_found":
        message = "`type` is missing: " + error["ctx"]["discriminator"].strip("'")
    elif error["type"] == "union_tag_invalid":
        message = f"`type` is one of {error['ctx']['expected_tags']}, not '{error['ctx']['tag']}'"
    return f"{document.place(keys)}: {where}: {message}"


def _keys_of(loc: tuple[str | int, ...], values: Any, kind: str) -> yaml_text.Keys:
    """The path in the file: pydantic's, without the tags that it puts between for unions."""
    keys: list[str | int] = []
    for index, part in enumerate(loc):
        inside = (isinstance(values, dict) and part in values) or (
            isinstance(values, list) and isinstance(part, int) and part < len(values)
        )
        if inside:
            keys.append(part)
            values = values[part]
        elif index == len(loc) - 1 and kind == "missing":
            keys.append(part)
    return tuple(keys)


def _fields_at(keys: yaml_text.Keys, values: dict[str, Any]) -> list[str]:
    """The names that may stand at this place."""
    model: Any = Configuration
    inside: Any = values
    for key in keys:
        inside = inside[key]
        model = _next_model(model, key, inside)
        if model is None:
            return []
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [*names, "defaults"] if model is Configuration else names


def _next_model(model: Any, key: str | int, value: Any) -> Any:
    from typing import get_args

    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if key in (name, field.alias):
                return field.annotation
        return None
    candidates: list[Any] = []
    pending = list(get_args(model))
    while pending:
        candidate = pending.pop()
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            candidates.append(candidate)
        else:
            pending.extend(get_args(candidate))
    kind = value.get("type") if isinstance(value, dict) else None
    for candidate in candidates:
        if "type" not in candidate.model_fields or kind in get_args(candidate.model_fields["type"].annotation):
            return candidate
    return candidates[0] if candidates else None


def _unknown(name: str, names: list[str], where: str) -> str:
    prefix = f"{where}: " if where else ""
    neighbour = NEIGHBOURS.get(name.lower())
    if neighbour in names:
        return f"{prefix}`{name}` is called `{neighbour}` here"
    close = nearest(name, names)
    if close:
        return f"{prefix}there is no `{name}`; did you mean `{close}`?"
    return f"{prefix}there is no `{name}`" + (f"; the names are: {', '.join(names)}" if names else "")


def _cross_check(configuration: Configuration, document: yaml_text.Document) -> Iterator[str]:
    names: dict[str, str] = {}
    for name, monitor in configuration.monitors.items():
        keys: yaml_text.Keys = ("monitors", name)
        if name.lower() in names:
            yield (
                f"{document.place(keys)}: the names `{names[name.lower()]}` and `{name}` differ in case alone;"
                " rename one"
            )
        names[name.lower()] = name
        if not name.strip() or "/" in name:
            yield f"{document.place(keys)}: a monitor's name has no slash and is not empty"
        if monitor.runbook_url and not is_web_address(monitor.runbook_url):
            yield f"{document.place((*keys, 'runbook_url'))}: runbook_url: a link begins with https:// or http://"
        yield from _named(monitor, configuration, keys, document)
    if configuration.external_url is not None and not is_web_address(configuration.external_url):
        yield f"{document.place(('external_url',))}: external_url: a link begins with https:// or http://"
    intervals = configuration.time_intervals
    further = [("digest", name) for name in (configuration.digest.channels if configuration.digest else [])]
    if configuration.canary is not None and configuration.canary.channel is not None:
        further.append(("canary", configuration.canary.channel))
    for part, channel in further:
        if channel not in configuration.channels:
            yield f"{document.place((part,))}: {_absent('channel', channel, configuration.channels)}"
    for index, route in enumerate(configuration.routes):
        where = document.place(("routes", index))
        yield from _unreadable(route.matchers, where)
        for channel in route.channels:
            if channel not in configuration.channels:
                yield f"{where}: {_absent('channel', channel, configuration.channels)}"
        for interval in (*route.active_time_intervals, *route.mute_time_intervals):
            if interval not in intervals:
                yield f"{where}: {_absent('time interval', interval, intervals)}"
    for index, silence in enumerate(configuration.silences):
        yield from _unreadable(silence.matchers, document.place(("silences", index)))
        for interval in silence.time_intervals:
            if interval not in intervals:
                yield f"{document.place(('silences', index))}: {_absent('time interval', interval, intervals)}"


def _unreadable(matchers: list[str], where: str) -> Iterator[str]:
    try:
        parsed(matchers)
    except UsageError as error:
        yield f"{where}: {error}"


def _named(
    monitor: MonitorConfig, configuration: Configuration, keys: yaml_text.Keys, document: yaml_text.Document
) -> Iterator[str]:
    for channel in monitor.alerts.channels:
        if channel not in configuration.channels:
            yield (
                f"{document.place((*keys, 'alerts', 'channels'))}:"
                f" {_absent('channel', channel, configuration.channels)}"
            )
    for name in monitor.upstream:
        if name not in configuration.monitors:
            yield f"{document.place((*keys, 'upstream'))}: {_absent('monitor', name, configuration.monitors)}"
    if monitor.retraining and monitor.retraining.launcher not in configuration.launchers:
        launcher = monitor.retraining.launcher
        yield (
            f"{document.place((*keys, 'retraining', 'launcher'))}:"
            f" {_absent('launcher', launcher, configuration.launchers)}"
        )
    for mistake in mistakes(monitor.checks.named, monitor.watched()):
        yield f"{document.place((*keys, 'checks', *mistake.keys))}: {mistake.text}"
    columns = monitor.to_columns()
    lower: dict[str, str] = {}
    for name in dict.fromkeys([*columns.parts, *(columns.features or ())]):
        if name.lower() in lower:
            yield (
                f"{document.place((*keys, 'columns'))}: the columns `{lower[name.lower()]}` and `{name}` differ in case"
                " alone; rename one in the log"
            )
        lower[name.lower()] = name


def _absent(kind: str, name: str, entries: dict[str, Any]) -> str:
    close = nearest(name, entries)
    hint = f"did you mean `{close}`?" if close else f"the {kind}s are: {', '.join(entries) or 'none'}"
    return f"there is no {kind} `{name}`; {hint}"


def _texts(values: Any, keys: yaml_text.Keys = ()) -> Iterator[tuple[yaml_text.Keys, str]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _texts(value, (*keys, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _texts(value, (*keys, index))
    elif isinstance(values, str):
        yield keys, values
