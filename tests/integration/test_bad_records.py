"""Records that cannot be read do not stop a source. All other records are read. Bad records are counted exactly, each
in the window of the row next to it.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from monitor.domain.grid import Window
from monitor.errors import DataError
from monitor.sources.log import Log
from monitor.sources.spec import LogSpec, Place, ReadSpec

ROWS, BAD = 3_000, 200
START = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = Window(START, START + timedelta(days=400))


def row(number: int) -> dict[str, Any]:
    moment = (START + timedelta(minutes=15 * number)).strftime("%Y-%m-%dT%H:%M:%S")
    city = ("Rome", "São Paulo", 'the "old" town', "Graz, Styria", "two\nlines")[number % 5]
    return {"id": number, "timestamp": moment, "amount": number / 7, "city": city, "flag": number % 3 == 0}


def csv_line(values: dict[str, Any]) -> str:
    return pd.DataFrame([values]).to_csv(index=False, header=False).rstrip("\n")


OF_CSV: list[Callable[[random.Random, int], bytes]] = [
    lambda r, n: b"ERROR could not log",
    lambda r, n: csv_line(row(n) | {"city": "x"})[: r.randint(3, 20)].split(",")[0].encode() + b",2026",
    lambda r, n: csv_line(row(n)).encode() + b",one,too,many",
    lambda r, n: csv_line(row(n) | {"city": "CITY"}).replace("CITY", "caf\u00e9").encode("latin-1"),
    lambda r, n: csv_line(row(n) | {"city": "CITY"}).replace("CITY", '"never closed').encode(),
    lambda r, n: b"\x00\x01\x02\xff\xfe",
]
OF_JSON: list[Callable[[random.Random, int], bytes]] = [
    lambda r, n: b"ERROR could not log",
    lambda r, n: json.dumps(row(n)).encode()[: r.randint(2, 60)],
    lambda r, n: b"[1, 2, 3]",
    lambda r, n: b'"a text"',
    lambda r, n: json.dumps(row(n)).encode()[: r.randint(2, 60)] + json.dumps(row(n)).encode(),
    lambda r, n: b'{"id": 7, "city": "\xff\xfe"}',
]
# Records of which one value cannot be read: the others are kept.
VALUES: list[dict[str, Any]] = [{"amount": "twelve"}, {"amount": "1.2.3"}]


def written(form: str, seed: int) -> tuple[bytes, int, int]:
    """A log of `ROWS` good records and some bad ones; the number of lost records, and of records that lose a value."""
    chance = random.Random(seed)
    lines = [csv_line(row(n)).encode() if form == "csv" else json.dumps(row(n)).encode() for n in range(ROWS)]
    lost = values = 0
    for _ in range(BAD):
        place = chance.randint(1, len(lines) - 1)
        if chance.random() < 0.25:
            odd = row(ROWS) | {"timestamp": row(0)["timestamp"]} | chance.choice(VALUES)
            lines.insert(place, (csv_line(odd) if form == "csv" else json.dumps(odd)).encode())
            values += 1
        else:
            lines.insert(place, chance.choice(OF_CSV if form == "csv" else OF_JSON)(chance, ROWS))
            lost += 1
    header = [b"id,timestamp,amount,city,flag"] if form == "csv" else []
    return b"\n".join([*header, *lines]) + b"\n", lost, values


def log_of(path: Path, **read: Any) -> Log:
    return Log(LogSpec(Place(path.name, path=str(path), read=ReadSpec(**read)), "timestamp", "id"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.long
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
def test_no_malformed_record_stops_a_source_and_all_are_counted(
    tmp_path: Path, form: str, seed: int, packed: bool
) -> None:
    data, lost, values = written(form, seed)
    path = tmp_path / "log.dat"
    path.write_bytes(gzip.compress(data) if packed else data)
    log = log_of(path)
    frame, counts = log.read(WHOLE)
    assert (counts.rows, counts.bad_records) == (ROWS + values, lost + values), log.bad_records[:3]
    good = frame[frame["id"] < ROWS].sort_values("id")
    assert good["id"].tolist() == list(range(ROWS))
    assert good["city"].tolist() == [row(n)["city"] for n in range(ROWS)]
    assert (good["amount"] - [row(n)["amount"] for n in range(ROWS)]).abs().max() < 1e-9
    assert "twelve" not in counts.bad_record


@pytest.mark.parametrize("form", ["csv", "json"])
def test_each_is_counted_in_the_window_of_the_row_beside_it(tmp_path: Path, form: str) -> None:
    lines = written_lines(form)
    lines.insert(1000, b"ERROR could not log" if form == "csv" else b"{")
    (tmp_path / "log.txt").write_bytes(b"\n".join(lines) + b"\n")
    log = log_of(tmp_path / "log.txt")
    days = [Window(START + timedelta(days=day), START + timedelta(days=day + 1)) for day in range(32)]
    bad_counts = [log.counts(day).bad_records for day in days]
    assert sum(bad_counts) == 1
    assert bad_counts[998 // 96] == 1
    assert log.bad_records[0][1].startswith("line 1001 of log.txt: ")


def written_lines(form: str, rows: int = ROWS) -> list[bytes]:
    plain = [row(n) | {"city": "Rome"} for n in range(rows)]
    if form == "json":
        return [json.dumps(record).encode() for record in plain]
    return [b"id,timestamp,amount,city,flag", *(csv_line(record).encode() for record in plain)]


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_that_is_being_written_is_read_up_to_its_last_whole_record(tmp_path: Path, form: str) -> None:
    data, path = b"\n".join(written_lines(form)) + b"\n", tmp_path / "log.txt"
    for end in (len(data) // 2, len(data) // 2 + 7, len(data) - 9, len(data)):
        path.write_bytes(data[:end])
        whole = data[:end].count(b"\n") - (form == "csv")
        log = log_of(path)
        assert (log.rows(), log.bad_records) == (whole, [])
    data = data[:-9]
    path.write_bytes(data)
    an_hour_ago = datetime.now(UTC).timestamp() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))  # nobody writes there any more: what is half is half
    log = log_of(path)
    if form == "json":
        assert (log.rows(), len(log.bad_records)) == (ROWS - 1, 1)
    path.write_bytes(b"\n".join(written_lines(form)) + b"\n")
    log = log_of(path)
    assert (log.rows(), log.bad_records) == (ROWS, [])


def test_what_is_appended_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, path = written_lines("csv"), tmp_path / "log.csv"
    path.write_bytes(b"\n".join(lines[:1501]) + b"\n")
    assert log_of(path).rows() == 1500
    read = bytes_read(monkeypatch)
    for number in range(1501, 3001, 100):
        with path.open("ab") as opened:
            opened.write(b"\n".join(lines[number : number + 100]) + b"\n")
        assert log_of(path).rows() == min(number - 1 + 100, ROWS)
    assert sum(read) == len(b"\n".join(lines[1501:])) + 1
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) <= 40


def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of bytes of each text that is parsed from now on."""
    from monitor.sources.records import text

    byte_counts: list[int] = []
    read = text._csv

    def counted(data: bytes, *arguments: Any) -> Any:
        byte_counts.append(len(data))
        return read(data, *arguments)

    monkeypatch.setattr(text, "_csv", counted)
    return byte_counts


def test_files_that_are_written_anew_or_gone_are_no_more_there(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = written_lines("json")
    for day in range(30):
        (folder / f"{day:02d}.jsonl").write_bytes(b"\n".join(lines[day * 100 : day * 100 + 100]) + b"\n")
    assert log_of(folder).rows() == ROWS
    (folder / "07.jsonl").unlink()
    (folder / "09.jsonl").write_bytes(b"\n".join(lines[:10]) + b"\n")
    log = log_of(folder)
    assert log.rows() == ROWS - 200 + 10
    ids = log.read(WHOLE)[0]["id"]
    assert not ids.between(700, 799).any()
    assert ids.tolist().count(5) == 2


def test_two_thousand_small_files_are_one_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(2_000):
        (folder / f"{number:05d}.json").write_text(json.dumps(row(number)))
    log = log_of(folder)
    assert (log.rows(), log.bad_records) == (2_000, [])
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 1


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_empty_and_torn_files_are_left_out(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    frame = pd.DataFrame([row(n) for n in range(100)])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    writes: Any = frame.to_csv if form == "csv" else frame.to_parquet
    writes(folder / f"a.{form}", index=False)
    (folder / f"b.{form}").write_bytes(b"")
    log = log_of(folder)
    assert (log.rows(), list(log.types), log.bad_records) == (100, list(frame.columns), [])
    if form == "parquet":
        (folder / "c.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-100])
        log = log_of(folder)
        assert log.rows() == 100
        assert next(reason for _, reason in log.bad_records).startswith("c.parquet: the file is no whole Parquet")
    (folder / f"a.{form}").unlink()
    with pytest.raises(DataError):
        log_of(folder)


def odd_texts() -> Iterator[Any]:
    plain = pd.DataFrame([row(n) | {"city": "Café"} for n in range(500)])
    text = plain.to_csv(index=False)
    yield pytest.param(text.encode("utf-16"), id="UTF-16")
    yield pytest.param(text.encode("cp1252"), id="Latin-1")
    yield pytest.param(text.encode("utf-8-sig"), id="with a mark of its encoding")
    yield pytest.param(text.replace("\n", "\r\n").encode(), id="lines as Windows ends them")
    yield pytest.param(plain.to_csv(index=False, sep="\t").encode(), id="tabs")
    yield pytest.param(plain.to_csv(index=False, sep=";").encode(), id="semicolons")
    yield pytest.param(plain.to_csv(index=False, sep="|").encode(), id="bars")
    yield pytest.param(("\n\n" + text).encode(), id="blank lines before")
    yield pytest.param((text + text.splitlines()[0] + "\n").encode(), id="its header again")
    yield pytest.param(
        plain.to_csv(index=False).replace("\n", ",\n").replace("flag,", "flag", 1).encode(), id="a comma at each end"
    )
    yield pytest.param(plain.to_json(orient="records", lines=True).encode(), id="JSON lines")
    yield pytest.param(plain.to_json(orient="records").encode(), id="an array of JSON")
    yield pytest.param(plain.to_json(orient="records", indent=2).encode(), id="an array over many lines")
    yield pytest.param(
        "\n".join(json.dumps(record, indent=1) for record in plain.to_dict("records")).encode(),
        id="objects over many lines",
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("data", list(odd_texts()))
def test_text_is_read_whatever_its_encoding_marks_and_name(tmp_path: Path, data: bytes, packed: bool) -> None:
    path = tmp_path / "predictions"
    path.write_bytes(gzip.compress(data) if packed else data)
    log = log_of(path)
    frame, counts = log.read(WHOLE)
    assert (counts.rows, counts.bad_records) == (500, 0), log.bad_records
    assert set(frame["city"]) == {"Café"}
    assert frame["flag"].tolist() == [n % 3 == 0 for n in frame["id"]]
    assert list(log.types)[:5] == ["id", "timestamp", "amount", "city", "flag"]
