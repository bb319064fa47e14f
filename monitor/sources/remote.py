"""Files in object storage and on the web: what there is, and copies of what is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow.fs as arrow_fs
import requests

from monitor.cache_folder import cache_folder
from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError, UsageError

# Schemes by what opens them; credentials come from where the makers' own tools look for them.
_OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")
_WEB = ("http", "https")
SCHEMES = (*_OBJECT_STORES, *_WEB)
_MOST_BYTES = 20 * 2**30
_TIMEOUT_S = 60


@dataclass(frozen=True)
class RemoteFile:
    """A file elsewhere. name: within its file system. mark: changes when it does."""

    name: str
    size: int
    mark: str
    written: float


class Remote:
    """A path of object storage or the web, opened. Raises UsageError for a scheme that nothing reads."""

    def __init__(self, address: str, shown: str) -> None:
        scheme = address.partition("://")[0]
        if scheme not in SCHEMES:
            known = ", ".join(f"{each}://" for each in SCHEMES)
            raise UsageError(f"{shown}: files are read from this machine and from {known}; not from {scheme}://")
        self._shown, self._address = shown, address
        try:
            self._files: Any
            self._path: str
            self._files, self._path = (None, address) if scheme in _WEB else _object_store(address)
        except (OSError, ValueError) as error:
            raise SourceUnreachableError(f"{shown} cannot be opened: {first_line(error)[:200]}") from None

    def listed(self) -> list[RemoteFile]:
        """The files that there are, by name; without those whose names begin with `.` or `_`. Raises SourceUnreachableError if there is none."""
        try:
            found = [_on_web(self._address)] if self._files is None else self._in_store(self._files)
        except FileNotFoundError:
            found = []
        except (OSError, ValueError) as error:
            raise SourceUnreachableError(f"{self._shown} cannot be listed: {first_line(error)[:200]}") from None
        root = self._root()
        visible = [each for each in found if not is_hidden(each.name.removeprefix(root))]
        if not visible:
            raise SourceUnreachableError(f"no file is at {self._shown}")
        return sorted(visible, key=lambda each: each.name)

    def _root(self) -> str:
        stars = [place for place, character in enumerate(self._path) if character in "*?["]
        return self._path[: stars[0]].rpartition("/")[0] if stars else self._path

    def _in_store(self, store: Any) -> list[RemoteFile]:
        root = self._root().rstrip("/")
        about = store.get_file_info(root)
        if about.type == arrow_fs.FileType.File:
            return [_remote_file(about)]
        selector = arrow_fs.FileSelector(root, recursive=True, allow_not_found=False)
        found = [_remote_file(each) for each in store.get_file_info(selector) if each.type == arrow_fs.FileType.File]
        is_pattern = root != self._path.rstrip("/")
        return [each for each in found if not is_pattern or fnmatchcase(each.name, self._path.replace("**/", "*"))]

    def _fetch(self, name: str, target: Path) -> None:
        with target.open("wb") as written:
            if self._files is None:
                with requests.get(name, stream=True, timeout=_TIMEOUT_S) as answer:
                    answer.raise_for_status()
                    shutil.copyfileobj(answer.raw, written)
                return
            with self._files.open_input_stream(name) as read:
                shutil.copyfileobj(read, written)

    def copies(self, wanted: list[RemoteFile]) -> list[str]:
        """Copies of files on this machine, fetched where they are not there yet, with the paths that they have there. Raises DataError if they are more than are kept."""
        size = sum(each.size for each in wanted)
        if size > _MOST_BYTES:
            raise DataError(
                f"{self._shown} holds {size / 2**30:,.0f} GB, and {_MOST_BYTES / 2**30:.0f} GB are kept on this machine: name fewer files by a pattern, or let Spark read them (`engine: spark`)"
            )
        folder = cache_folder() / "remote" / hashlib.sha256(self._address.encode()).hexdigest()[:16]
        found = []
        for each in wanted:
            kept = folder / urlsplit(each.name).path.strip("/")
            known = kept.with_name(f".{kept.name}.mark")
            if not kept.exists() or not known.exists() or known.read_text() != each.mark:
                kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                part = kept.with_name(f".{kept.name}.{os.getpid()}")
                try:
                    self._fetch(each.name, part)
                except (OSError, ValueError) as error:
                    part.unlink(missing_ok=True)
                    raise SourceUnreachableError(
                        f"{self._shown}: {each.name} cannot be fetched: {first_line(error)[:200]}"
                    ) from None
                os.utime(part, (each.written, each.written))
                part.replace(kept)
                known.write_text(each.mark)
            found.append(str(kept))
        return found


def _object_store(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path within it. An endpoint of one's own is taken from the query (`?endpoint_override=…`) or from AWS_ENDPOINT_URL."""
    parts = urlsplit(address)
    if parts.scheme == "s3":
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        endpoint = (
            options.get("endpoint_override")
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
        )
        region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None and endpoint is None:
            region = arrow_fs.resolve_s3_region(parts.netloc)
        return arrow_fs.S3FileSystem(endpoint_override=endpoint, region=region), f"{parts.netloc}{parts.path}"
    opened, path = arrow_fs.FileSystem.from_uri(address.replace("gcs://", "gs://", 1))
    return opened, path


def _remote_file(about: Any) -> RemoteFile:
    moment = about.mtime.timestamp() if about.mtime is not None else 0.0
    return RemoteFile(about.path, int(about.size or 0), f"{about.size} {moment}", moment)


def _on_web(address: str) -> RemoteFile:
    answer = requests.head(address, timeout=_TIMEOUT_S, allow_redirects=True)
    answer.raise_for_status()
    size, written = int(answer.headers.get("Content-Length", 0)), answer.headers.get("Last-Modified")
    moment = parsedate_to_datetime(written).timestamp() if written else 0.0
    return RemoteFile(address, size, f"{size} {answer.headers.get('ETag', '')} {moment}", moment)


def is_hidden(path: str) -> bool:
    """Whether a name in a path says that it is no data: it begins with `.` or `_`."""
    return any(part.startswith((".", "_")) for part in Path(path).parts if part != "/")


def is_address(text: str) -> bool:
    """Whether a text is an address of files that are read from elsewhere."""
    return text.partition("://")[0] in SCHEMES and "://" in text
