"""A study folder with a hand-made release of a few rows: every number in it can be checked by eye."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from store.facts import MAKE_RELEASE
from store.ledger import Entry
from store.schema import create_all
from store.study import Study, create_study

PROTOCOL = """\
[study]
id = "SMALL-1"
title = "A small trial"
reference_arm = "PBO"

[[arm]]
code = "PBO"
name = "Placebo"

[[arm]]
code = "ACT"
name = "Active"
"""

ROWS = r"""
INSERT INTO arm VALUES ('PBO', 'Placebo', 1, true), ('ACT', 'Active', 2, false);
INSERT INTO site BY NAME SELECT 'S07' AS site_id UNION ALL BY NAME SELECT 'S08' AS site_id;
INSERT INTO subject BY NAME
    SELECT * FROM (VALUES
        ('S07-001', 'S07', 'PBO', DATE '2014-01-01', false, 'src1', 1),
        ('S07-002', 'S07', 'ACT', DATE '2014-01-02', false, 'src1', 2),
        ('S08-003', 'S08', 'ACT', DATE '2014-01-03', true, 'src1', 3)
    ) AS t(subject_id, site_id, arm_code, first_treatment, died, source_id, line);
INSERT INTO source_file BY NAME
    SELECT 'src1' AS source_id, 'src1' || repeat('0', 60) AS sha256, 'dm.csv' AS file_name, 'sdtm' AS format,
        'DM' AS dataset, 'snapshot' AS mode, 100 AS size_bytes, 3 AS rows_read, 3 AS rows_new, 0 AS
        rows_duplicate, 0 AS rows_superseded, 0 AS rows_quarantined, '0' AS importer_version, 'p' AS
        protocol_sha256
    UNION ALL BY NAME SELECT 'src2' AS source_id, 'src2' || repeat('0', 60) AS sha256, E'ec\x1b[31m.csv' AS
    file_name, 'sdtm' AS format,
        'EC' AS dataset, 'increment' AS mode, 100 AS size_bytes, 6 AS rows_read, 5 AS rows_new, 0 AS
        rows_duplicate, 0 AS rows_superseded, 1 AS rows_quarantined, '0' AS importer_version, 'p' AS
        protocol_sha256;
INSERT INTO dose_event BY NAME
    SELECT * FROM (VALUES
        ('S07-001', TIMESTAMP '2014-01-01 08:00', 0.0, 1), ('S07-001', TIMESTAMP '2014-01-02 08:10', 0.0,
        2), ('S07-002', TIMESTAMP '2014-01-02 08:00', 54.0, 3), ('S07-002', TIMESTAMP '2014-01-03 08:00',
        54.0, 4), ('S08-003', TIMESTAMP '2014-01-03 08:00', 54.025, 5)
    ) AS t(subject_id, start_local, delivered_amount, line),
    (SELECT 'src2' AS source_id, 'injection' AS kind, 'second' AS start_precision, 'mg' AS amount_unit);
INSERT INTO dose_match BY NAME
    SELECT * FROM (VALUES
        ('S07-001', 1, 'taken', DATE '2014-01-01', TIMESTAMP '2014-01-01 08:00', 'src2', 1),
        ('S07-001', 2, 'late', DATE '2014-01-02', TIMESTAMP '2014-01-02 08:10', 'src2', 2),
        ('S07-002', 1, 'taken', DATE '2014-01-02', TIMESTAMP '2014-01-02 08:00', 'src2', 3),
        ('S07-002', 2, 'taken', DATE '2014-01-03', TIMESTAMP '2014-01-03 08:00', 'src2', 4),
        ('S08-003', 1, 'taken', DATE '2014-01-03', TIMESTAMP '2014-01-03 08:00', 'src2', 5),
        ('S08-003', 2, 'missed', DATE '2014-01-04', NULL, NULL, NULL)
    ) AS t(subject_id, planned_no, status, dose_date, event_at, source_id, line);
UPDATE dose_match SET part = 1 WHERE line IS NOT NULL;
INSERT INTO adverse_event BY NAME
    SELECT * FROM (VALUES
        ('S07-002', '1', '=HYPERLINK("http://x","[red]")', 'MILD', false, '2014-01-03', 1),
        ('S08-003', '1', E'rash \x1b[2J[bold]', 'SEVERE', true, '2014-01', 2)
    ) AS t(subject_id, event_seq, term, severity, serious, start_text, line), (SELECT 'src1' AS source_id);
INSERT INTO quarantine BY NAME
    SELECT 'src2' AS source_id, 6 AS line, 'dose_event' AS table_name, 'unknown_subject' AS reason,
        'subject_id' AS field, 'S99-999' AS value, 'no such subject' AS message, 'S99-999' AS subject_id;
INSERT INTO result BY NAME
    SELECT 'compliance' AS analysis, 'safety' AS population, 'recorded_compliance' AS parameter, 'share' AS
    statistic,
        arm, value, lower, upper, 0.95 AS level, numerator, denominator, subjects, '1' AS unit
    FROM (VALUES ('PBO', 1.0, 0.158, 1.0, 2, 2, 1), ('ACT', 0.75, 0.194, 0.994, 3, 4, 2))
        AS t(arm, value, lower, upper, numerator, denominator, subjects);
INSERT INTO result BY NAME
    SELECT 'compliance' AS analysis, 'safety' AS population, 'recorded_compliance' AS parameter,
        'risk_difference' AS statistic, 'ACT' AS arm, 'PBO' AS comparator, -0.25 AS value, -0.7 AS lower,
        0.5 AS upper, 0.95 AS level, '1' AS unit;
INSERT INTO result BY NAME
    SELECT 'accuracy' AS analysis, 'accuracy_evaluable' AS population, 'dose_conformity' AS parameter,
        'share' AS statistic, 'ACT' AS arm, 'not assessable: fill in [[dosing]] amount of arm ACT' AS
        not_assessable;
"""


def make_small_study(folder: Path) -> Study:
    """A study with release 1."""
    study = create_study(folder)
    study.protocol_path.write_text(PROTOCOL)
    release = study.releases_dir / "000001"
    release.mkdir()
    make_release_file(release / "trial.duckdb")
    os.symlink("releases/000001", study.current_link)
    study.ledger.append(
        [
            Entry(
                MAKE_RELEASE,
                "release/000001",
                new={
                    "release": 1,
                    "built_from_seq": 7,
                    "protocol_sha256": "p",
                    "digest": "d",
                    "file_sha256": {},
                    "program_version": "0",
                },
            )
        ]
    )
    return study


def make_release_file(path: Path, *, state: str = "open", withheld: dict[str, list[str]] | None = None) -> None:
    """A release file; `withheld` columns are dropped (`[]`: the whole table), as a blinded release does."""
    con = duckdb.connect(str(path))
    create_all(con)
    con.execute(ROWS)
    con.execute(
        "INSERT INTO build_info BY NAME SELECT 1 AS release, 7 AS built_from_seq, repeat('ab', 32) AS ledger_head, "
        "'p' AS protocol_sha256, '0' AS program_version, 1 AS schema_version, ? AS blinding_state, "
        "TIMESTAMP '2026-01-01' AS built_utc",
        [state],
    )
    if state == "blinded":
        con.execute("UPDATE result SET not_assessable = 'not assessable: no planned amount' WHERE value IS NULL")
    for table, columns in (withheld or {}).items():
        if not columns:
            con.execute(f"DROP TABLE {table}")
        for column in columns:
            con.execute(f'ALTER TABLE {table} DROP COLUMN "{column}"')
    con.close()
