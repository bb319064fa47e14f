"""The names of an archive's columns, without its rows."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path


def column_names(path: Path) -> tuple[str, ...]:
    """The columns of the reference in an archive (`archive.to_bytes`)."""
    with zipfile.ZipFile(path) as archive:
        return tuple(json.loads(archive.read("reference.json"))["summary"]["sorts"])
