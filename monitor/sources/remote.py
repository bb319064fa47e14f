"""Files in object storage and on the web: their list, and copies of those that are needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.fs as arrow_fs
import pyarrow.parquet as parquet
import requests

from monitor.cache_folder import cache_folder
from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.sources import lakes
from monitor.sources.footers import Footer

# Schemes by what opens them; credentials come from where the makers' own tools look for them.
_OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss")
_WEB = ("http", "https")
SCHEMES = (*_OBJECT_STORES, *_WEB)
_MOST_BYTES = 20 * 2**30
_TIMEOUT_S = 60
# Files that are fetched at the same time.
_AT_ONCE = 8
_FOOTER = b"monitor"


@dataclass(frozen=True)
class RemoteFile:
    """A file elsewhere. name: within its file system. mark: a fingerprint, which changes with the file."""

    name: str
    size: int
    mark: str
    written: float


class RemotePath:
    """A path of object storage or the web, opened. version: of a table of Delta Lake or Iceberg, None: its newest.
    Raises UsageError for a scheme that nothing reads.
    """

    def __init__(self, address: str, shown: str, version: int | None = None) -> None:
        scheme = address.partition("://")[0]
        if scheme not in SCHEMES:
            readable = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise UsageError(f"{shown}: files are read from this machine and from {readable}; not from {scheme}://")
        self._shown, self._address, self._version = shown, address, version
        try:
            self._files: Any
            self._path: str
            self._files, self._path = (None, address) if scheme in _WEB else _object_store(address)
        except (OSError, ValueError) as error:
            raise SourceUnreachableError(f"{shown} cannot be opened: {first_line(error)[:200]}") from None

    def listed(self) -> list[RemoteFile]:
        """The files that there are, by name; without those whose names begin with `.` or `_`. Raises
        SourceUnreachableError if there is none.
        """
        files, root = self._files_at_root(), self._root()
        visible = self._table_files(files, root.rstrip("/"))
        if visible is None:
            visible = [file for file in self._named(files) if not is_hidden(file.name.removeprefix(root))]
        if not visible:
            raise SourceUnreachableError(f"no file is at {self._shown}")
        return sorted(visible, key=lambda file: file.name)

    def version_at(self, moment: datetime) -> lakes.Version | None:
        """As `lakes.version_at`, of a table elsewhere."""
        root = self._root().rstrip("/")
        if root != self._path.rstrip("/") or not self._are_tables([root]):
            return None
        files = self._files_at_root()
        folder, names = self._described(files), {file.name for file in files}
        return lakes.version_at(
            folder,
            self._shown,
            moment,
            lambda number: all(name in names for name in self._listed(folder, root, number)),
        )

    def _files_at_root(self) -> list[RemoteFile]:
        """All files at the root of the address; none where nothing is there."""
        try:
            return [_on_web(self._address)] if self._files is None else self._in_store(self._files)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise SourceUnreachableError(f"{self._shown} cannot be listed: {first_line(error)[:200]}") from None

    def _root(self) -> str:
        stars = [place for place, character in enumerate(self._path) if character in "*?["]
        return self._path[: stars[0]].rpartition("/")[0] if stars else self._path

    def _in_store(self, store: Any) -> list[RemoteFile]:
        root = self._root().rstrip("/")
        about = store.get_file_info(root)
        if about.type == arrow_fs.FileType.File:
            return [_remote_file(about)]
        selector = arrow_fs.FileSelector(root, recursive=True, allow_not_found=False)
        return [_remote_file(info) for info in store.get_file_info(selector) if info.type == arrow_fs.FileType.File]

    def _named(self, files: list[RemoteFile]) -> list[RemoteFile]:
        """The files at the root that the address names."""
        is_pattern = self._root().rstrip("/") != self._path.rstrip("/")
        return [file for file in files if not is_pattern or fnmatchcase(file.name, self._path.replace("**/", "*"))]

    def _table_files(self, files: list[RemoteFile], root: str) -> list[RemoteFile] | None:
        """The files of a table's newest version; None where the address is no table of Delta Lake or Iceberg. Raises
        DataError where it is within one, or holds one.
        """
        if self._kind_of_table(files, root) is None:
            return None
        by_name = {file.name: file for file in files}
        return [by_name[name] for name in self._listed(self._described(files), root, self._version)]

    def _kind_of_table(self, files: list[RemoteFile], root: str) -> str | None:
        """What kind of table is at the root; None for none. Raises DataError where the address is within one, or holds
        one.
        """
        metadata_files = {kind: [file for file in files if lakes.describes(kind, file.name)] for kind in lakes.KINDS}
        kind = next((kind for kind, described in metadata_files.items() if described), None)
        is_table = kind is not None and all(lakes.describes(kind, file.name, root) for file in metadata_files[kind])
        if is_table and root == self._path.rstrip("/"):
            return kind
        if kind is not None:
            raise self._is_no_table()
        return None

    def refuse_within_table(self) -> None:
        """Raise DataError where a folder above the address is a table."""
        if self._are_tables([str(folder) for folder in PurePosixPath(self._root()).parents][:-1]):
            raise self._is_no_table()

    def _is_no_table(self) -> DataError:
        return DataError(
            f"{self._shown} holds, or lies in, a table of Delta Lake or Iceberg, whose folder holds rows of older"
            " versions, too: name the folder of the table"
        )

    def _are_tables(self, folders: list[str]) -> bool:
        """Whether one of some folders is a table, as far as it may be looked at."""
        if self._files is None:
            return False
        try:
            logs = self._files.get_file_info([f"{folder}/_delta_log" for folder in folders])
            metadata = self._files.get_file_info([f"{folder}/metadata" for folder in folders])
            inside = [
                file
                for folder in metadata
                if folder.type == arrow_fs.FileType.Directory
                for file in self._files.get_file_info(arrow_fs.FileSelector(folder.path))
            ]
        except (OSError, ValueError):
            return False
        return any(info.type == arrow_fs.FileType.Directory for info in logs) or any(
            lakes.describes("iceberg", file.path) for file in inside
        )

    def _described(self, files: list[RemoteFile]) -> Path:
        """The folder of a table's copies on this machine, with what describes the table in it."""
        self.copies([file for file in files if any(lakes.describes(kind, file.name) for kind in lakes.KINDS)])
        return self.copy_of(RemoteFile(self._root().rstrip("/"), 0, "", 0.0))

    def _listed(self, folder: Path, root: str, version: int | None) -> list[str]:
        """The files of a version of a table, by their names within the file system. folder: of its copies."""
        scheme = self._address.partition("://")[0]
        ends = (
            name.removeprefix(str(folder)) if name.startswith(str(folder)) else name.partition(f"{scheme}://{root}")[2]
            for name in lakes.listed(folder, self._shown, version)
        )
        return [f"{root}{name}" for name in ends]

    def _fetch(self, name: str, target: Path) -> None:
        with target.open("wb") as output:
            if self._files is None:
                with requests.get(name, stream=True, timeout=_TIMEOUT_S) as answer:
                    answer.raise_for_status()
                    shutil.copyfileobj(answer.raw, output)
                return
            with self._files.open_input_stream(name) as source:
                shutil.copyfileobj(source, output)

    def copies(self, wanted: list[RemoteFile]) -> list[str]:
        """The paths of copies of files on this machine; missing ones are fetched. Raises DataError if they are larger
        than what is kept.
        """
        size = sum(file.size for file in wanted)
        if size > _MOST_BYTES:
            raise DataError(
                f"{self._shown}: {size / 2**30:,.0f} GB are to be read at once, and {_MOST_BYTES / 2**30:.0f} GB are"
                " kept on this machine: name fewer files by a pattern, or let Spark read them (`engine: spark`)"
            )
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            new = list(threads.map(lambda file: self._ensure_current(file, self.copy_of(file), self._fetch), wanted))
        if any(new):
            self._make_room({str(self.copy_of(file)) for file in wanted})
        return [str(self.copy_of(file)) for file in wanted]

    def copy_of(self, file: RemoteFile) -> Path:
        """Where the copy of a file is, or would be."""
        return self._folder("files") / urlsplit(file.name).path.strip("/")

    def skeletons(self, wanted: list[RemoteFile]) -> list[Path]:
        """Parquet files without rows that have the columns and the footers of some files (`_footer_of_skeleton`). That
        of a torn file is empty.
        """
        folder = self._folder("footers")
        paths = [folder / urlsplit(file.name).path.strip("/") for file in wanted]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda file, path: self._ensure_current(file, path, self._fetch_footer), wanted, paths))
        return paths

    def _folder(self, what: str) -> Path:
        return cache_folder() / "remote" / hashlib.sha256(self._address.encode()).hexdigest()[:16] / what

    def _ensure_current(self, file: RemoteFile, path: Path, fetch: Callable[[str, Path], None]) -> bool:
        """Fetch a file to a path unless the copy there is current. Returns whether it was fetched."""
        mark_file = path.with_name(f".{path.name}.mark")
        if path.exists() and mark_file.exists() and mark_file.read_text() == file.mark:
            os.utime(mark_file)
            return False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            fetch(file.name, part)
        except (OSError, ValueError) as error:
            part.unlink(missing_ok=True)
            raise SourceUnreachableError(
                f"{self._shown}: {file.name} cannot be fetched: {first_line(error)[:200]}"
            ) from None
        os.utime(part, (file.written, file.written))
        part.replace(path)
        mark_file.write_text(file.mark)
        return True

    def _fetch_footer(self, name: str, target: Path) -> None:
        if self._files is None:
            full_copy = target.with_name(f"{target.name}.whole")
            self._fetch(name, full_copy)
            try:
                _write_skeleton(full_copy, target)
            finally:
                full_copy.unlink()
            return
        with self._files.open_input_file(name) as opened:
            _write_skeleton(opened, target)

    def _make_room(self, needed: set[str]) -> None:
        """Remove the copies that were not used for the longest time, where those of this address take too much room."""
        copies = {
            mark_file: mark_file.with_name(mark_file.name.removeprefix(".").removesuffix(".mark"))
            for mark_file in self._folder("files").rglob(".*.mark")
        }
        sizes = {mark_file: copy.stat().st_size for mark_file, copy in copies.items() if copy.exists()}
        size = sum(sizes.values())
        for mark_file in sorted(sizes, key=lambda mark_file: mark_file.stat().st_mtime):
            if size <= _MOST_BYTES:
                break
            if str(copies[mark_file]) not in needed:
                copies[mark_file].unlink(missing_ok=True)
                size -= sizes[mark_file]


class RemoteParquet:
    """Parquet files elsewhere. footers: by the paths of their copies, which are fetched when they are needed. torn: the
    files that cannot be read, and when each was written.
    """

    def __init__(self, remote: RemotePath, listed: list[RemoteFile]) -> None:
        self._remote = remote
        self.footers: dict[str, Footer] = {}
        self.torn: list[tuple[str, float]] = []
        self._by_copy: dict[str, RemoteFile] = {}
        self._skeletons: dict[str, str] = {}
        for file, skeleton in zip(listed, remote.skeletons(listed), strict=True):
            if not file.size:
                continue
            footer = _footer_of_skeleton(skeleton)
            if footer is None:
                self.torn.append((f"{Path(file.name).name}: the file is no whole Parquet", file.written))
                continue
            copy = str(remote.copy_of(file))
            self.footers[copy], self._by_copy[copy] = footer, file
            self._skeletons[copy] = str(skeleton)

    @classmethod
    def open(cls, path: str, shown: str, version: int | None = None) -> RemoteParquet | None:
        """The files of an address (of a version of its table) by their footers alone; None where some are not named as
        Parquet. Raises DataError where none is whole.
        """
        remote = RemotePath(path, shown, version)
        remote.refuse_within_table()
        listed = remote.listed()
        if not all(Path(urlsplit(file.name).path).suffix in (".parquet", ".pq") for file in listed):
            return None
        opened = cls(remote, listed)
        if not opened.footers:
            raise DataError(f"{shown}: {opened.torn[0][0] if opened.torn else 'all files are empty'}")
        return opened

    def newest(self) -> str:
        """The copy of the file that was written last, of those that have rows."""
        filled = [copy for copy, footer in self.footers.items() if footer.rows] or list(self.footers)
        return max(filled, key=lambda copy: (self._by_copy[copy].written, copy))

    def skeletons(self, copies: Sequence[str]) -> list[str]:
        """Files on this machine that have the columns of some of those elsewhere, and no rows."""
        return [self._skeletons[copy] for copy in copies]

    def fetch(self, copies: Sequence[str]) -> None:
        """Fetch the files of these copies, where they are not there yet."""
        self._remote.copies([self._by_copy[copy] for copy in copies])


def _write_skeleton(source: Any, target: Path) -> None:
    """Write a Parquet file without rows that has the columns and the footer of another; an empty file where that is
    torn.
    """
    try:
        opened = parquet.ParquetFile(source)
        schema, metadata = opened.schema_arrow, opened.metadata
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        target.touch()
        return
    is_old = any(metadata.schema.column(place).physical_type == "INT96" for place in range(len(metadata.schema)))
    stored_metadata = {**(schema.metadata or {}), _FOOTER: Footer.from_metadata(metadata).to_text().encode()}
    parquet.write_table(
        schema.with_metadata(stored_metadata).empty_table(), target, use_deprecated_int96_timestamps=is_old
    )


def _footer_of_skeleton(path: Path) -> Footer | None:
    if not path.stat().st_size:
        return None
    return Footer.from_text((parquet.read_schema(path).metadata or {})[_FOOTER])


def _object_store(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path within it. An endpoint of one's own is taken from the query
    (`?endpoint_override=…`) or from AWS_ENDPOINT_URL.
    """
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
    if parts.scheme in ("abfs", "abfss") and parts.username and not parts.password:
        azure = _azure(parts.hostname or "")
        if azure is not None:
            return azure, f"{parts.username}{parts.path}"
    opened, path = arrow_fs.FileSystem.from_uri(address.replace("gcs://", "gs://", 1))
    return opened, path


def _azure(host: str) -> Any:
    """Azure's blob storage by the key of an account, from AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY, as
    Azure's own tools take them; None where neither is there, and its usual credentials serve.
    """
    connection_string = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    settings = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    account, key = (
        settings.get("AccountName", host.partition(".")[0]),
        settings.get("AccountKey") or os.environ.get("AZURE_STORAGE_KEY"),
    )
    if not key:
        return None
    endpoint = urlsplit(settings.get("BlobEndpoint", ""))
    options: dict[str, Any] = {}
    if endpoint.netloc:  # a server of one's own
        options = {
            f"{kind}_storage_{part}": value
            for kind in ("blob", "dfs")
            for part, value in (("authority", endpoint.netloc), ("scheme", endpoint.scheme))
        }
    return arrow_fs.AzureFileSystem(account, account_key=key, **options)


def _remote_file(info: Any) -> RemoteFile:
    moment = info.mtime.timestamp() if info.mtime is not None else 0.0
    return RemoteFile(info.path, int(info.size or 0), f"{info.size} {moment}", moment)


def _on_web(address: str) -> RemoteFile:
    answer = requests.head(address, timeout=_TIMEOUT_S, allow_redirects=True)
    answer.raise_for_status()
    size, written = int(answer.headers.get("Content-Length", 0)), answer.headers.get("Last-Modified")
    moment = parsedate_to_datetime(written).timestamp() if written else 0.0
    return RemoteFile(address, size, f"{size} {answer.headers.get('ETag', '')} {moment}", moment)


def is_hidden(path: str) -> bool:
    """Whether a part of a path begins with `.` or `_`: such files are no data."""
    return any(part.startswith((".", "_")) for part in Path(path).parts if part != "/")


def is_address(text: str) -> bool:
    """Whether a text is an address of files that are read from elsewhere."""
    return text.partition("://")[0] in SCHEMES and "://" in text
