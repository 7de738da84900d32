"""A log larger than one buffer of the fast reader: read by two threads, its rows keep their lines."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest
from generic_files import read

from importers import staging
from importers.base import ReadContext, Recognised, SourceFile, Staged
from importers.dose_log import IMPORTER
from store.protocol_file import load_protocol

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from generate_dose_log import BAD_KINDS, Generated, generate_dose_log, generate_enrolment, generate_protocol

ROWS = 450_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    folder = tmp_path_factory.mktemp("large")
    generate_protocol(folder / "protocol.toml")
    generate_enrolment(folder / "enrolment.csv", subjects=100)
    return generate_dose_log(folder / "dose-log.csv", rows=ROWS, subjects=100)


def test_rows_reasons_and_lines(made: Generated) -> None:
    assert made.path.stat().st_size > 32 << 20
    protocol = load_protocol(made.path.parent / "protocol.toml").protocol
    with duckdb.connect(config={"threads": 2, "preserve_insertion_order": "false"}) as con:
        file = SourceFile(made.path, made.path.name, "ab" * 32)
        parsed = IMPORTER.parse(file, Recognised("dose_log", "pens"), ReadContext(protocol, protocol.source[0], con))
        events, rejected = parsed.tables["dose_event"], parsed.rejected
        assert isinstance(events, Staged)
        assert isinstance(rejected, Staged)
        assert parsed.rows_read == made.lines
        assert con.execute(f"SELECT count(*), count(DISTINCT line) FROM {events.table}").fetchall() == [
            (made.good, made.good)
        ]
        reasons = dict(con.execute(f"SELECT reason, count(*) FROM {rejected.table} GROUP BY ALL").fetchall())
        assert reasons == {
            reason: sum(count for kind, count in made.bad.items() if BAD_KINDS[kind] == reason)
            for reason in set(BAD_KINDS.values())
        }
        sampled = {
            line: text
            for line, *text in con.execute(
                "SELECT line, native_key, subject_id, device_id, strftime(start_local, '%Y-%m-%d %H:%M:%S'), "
                "CAST(CAST(programmed_amount AS DECIMAL(18,3)) AS VARCHAR), CAST(delivered_duration_s AS VARCHAR) "
                f"FROM {events.table} WHERE hash(line) % 50 = 0"
            ).fetchall()
        }
        raws = dict(con.execute(f"SELECT line, raw FROM {rejected.table}").fetchall())
        assert con.execute("SELECT current_setting('preserve_insertion_order')").fetchall() == [(False,)]
    with made.path.open() as stream:
        for number, text in enumerate(stream, 1):
            if number in raws:
                assert raws.pop(number) == text.rstrip("\n")
            if number in sampled:
                cells = text.split(",")
                assert sampled.pop(number) == [cells[index] for index in (0, 1, 2, 3, 6, 9)]
    assert not raws
    assert not sampled


def test_the_exact_reader_gives_the_same(made: Generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = load_protocol(made.path.parent / "protocol.toml").protocol
    head = b"".join(made.path.read_bytes().splitlines(keepends=True)[:60_000])
    fast = read(tmp_path, head, protocol.source[0])
    monkeypatch.setattr(staging, "needs_exact_reader", lambda text: True)
    exact = read(tmp_path, head, protocol.source[0])
    assert exact.events.equals(fast.events)
    assert exact.rejected.equals(fast.rejected)
    assert fast.rejected.height > 20
