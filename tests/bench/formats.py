"""Reading speed of device logs, file to canonical frames, as ratios to a plain reader of the same bytes in one run.

    python tests/bench/formats.py [--rows 1000000] [--records 100000] [--folder build/bench]

CareLink and the generic log against DuckDB's typed ``read_csv``, JSON formats against ``polars.read_json`` (or
``read_ndjson``) with its defaults. CPU seconds of a warm process, the best of three each: the machine may be shared.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from generate_device_logs import CARELINK_COLUMNS, JSON_LOGS, generate_carelink, generate_json  # noqa: E402

from importers.base import HEAD_BYTES, Importer, ReadContext, Recognised, SourceFile  # noqa: E402
from importers.registry import FORMATS, importer_of  # noqa: E402
from store.protocol import Protocol, Source  # noqa: E402

_NUMBERS = ("Rate", "Volume", "Reading", "Estimate (", "Amount", "Input", "Glucose", "Calibration BG")
_LOG_TYPES = {
    "Sequence": "BIGINT", "Subject": "VARCHAR", "Pen": "VARCHAR", "Injected at": "TIMESTAMP",
    "Finished at": "TIMESTAMP", "Event": "VARCHAR", "Dialled": "DECIMAL(18,6)", "Injected": "DECIMAL(18,6)",
    "Unit": "VARCHAR", "Seconds": "INTEGER", "Result": "VARCHAR", "Firmware": "VARCHAR",
}  # fmt: skip


def _type(column: str) -> str:
    plain = {"Index": "BIGINT", "Date": "DATE", "Time": "TIME"}
    is_number = any(word in column for word in _NUMBERS) and "Rejected" not in column
    return plain.get(column) or ("DECIMAL(18,6)" if is_number else "VARCHAR")


def read_plain(path: Path, types: dict[str, str]) -> None:
    """DuckDB's typed read_csv into a table in memory."""
    with duckdb.connect(config={"threads": 2}) as con:
        con.execute(
            "CREATE TABLE log AS SELECT * FROM read_csv(?, header = true, auto_detect = false, delim = ',', "
            f"columns = {types}, dateformat = '%Y/%m/%d', ignore_errors = true)",
            [str(path)],
        )


def read_records(path: Path) -> None:
    if path.suffix == ".ndjson":
        pl.read_ndjson(path)
    else:
        pl.read_json(path)


def recognised_by(path: Path, source: Source | None) -> tuple[Importer, Recognised]:
    """The importer of a file and what it took it for."""
    if source is not None:
        return importer_of(source.format), Recognised(source.format, source.name)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    verdicts = [(one, one.recognise(path.name, head)) for one in FORMATS]
    [found] = [(one, verdict) for one, verdict in verdicts if isinstance(verdict, Recognised)]
    return found


def import_file(path: Path, protocol: Protocol, source: Source | None, found: tuple[Importer, Recognised]) -> int:
    """Rows read by the importer that recognises the file, or that the source names."""
    file = SourceFile(path, path.name, hashlib.sha256(path.name.encode()).hexdigest())
    importer, recognised = found
    if path.suffix != ".csv":
        # As the process that reads files apart: nothing of it is staged in a database.
        return importer.parse(file, recognised, ReadContext(protocol, source, None)).rows_read  # type: ignore[arg-type]
    with duckdb.connect(config={"threads": 2}) as con:
        return importer.parse(file, recognised, ReadContext(protocol, source, con)).rows_read


def cpu_seconds(action: Callable[[], object], runs: int = 3) -> float:
    best = float("inf")
    for _ in range(runs):
        started = time.process_time()
        action()
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    folder = arguments.folder / f"formats-{arguments.rows}-{arguments.records}"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{'file':22} {'MB':>6} {'rows':>10} {'plain':>8} {'importer':>9}  ratio")
    plain = Protocol.model_validate({"study": {"id": "BENCH"}})

    def show(path: Path, yardstick: Callable[[], object], protocol: Protocol, source: Source | None, most: int) -> None:
        found = recognised_by(path, source)
        rows = import_file(path, protocol, source, found)
        unit = cpu_seconds(yardstick)
        spent = cpu_seconds(lambda: import_file(path, protocol, source, found))
        size = path.stat().st_size / 1e6
        print(
            f"{path.name:22} {size:6.0f} {rows:10,} {unit:7.2f}s {spent:8.2f}s {spent / unit:5.2f}x (at most {most}x)"
        )

    log = folder / "dose-log.csv"
    if not log.exists():
        script = HERE / "generate_dose_log.py"
        subprocess.run(
            [sys.executable, script, folder, "--rows", str(arguments.rows)], check=True, stdout=subprocess.DEVNULL
        )
    trial = Protocol.model_validate(tomllib.loads((folder / "protocol.toml").read_text()))
    show(log, lambda: read_plain(log, _LOG_TYPES), trial, trial.source[0], 3)
    table = folder / "carelink.csv"
    if not table.exists():
        generate_carelink(table, rows=arguments.rows)
    types = {column: _type(column) for column in CARELINK_COLUMNS}
    show(table, lambda: read_plain(table, types), plain, None, 3)
    for name in JSON_LOGS:
        path = folder / name
        if not path.exists():
            generate_json(path, arguments.records)
        show(path, lambda path=path: read_records(path), plain, None, 4)  # type: ignore[misc]


if __name__ == "__main__":
    main()
