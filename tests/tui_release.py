"""A small synthetic release for the tests of the screens: the canonical schema filled with readable rows."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections import defaultdict
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from store.schema import create_all
from store.tables import TABLES
from store.views import create_views

HOSTILE = "[/] [red]x[/blue] \x1b]52;c;ZXZpbA==\x07 \x1b[31mred\x9b2J \u202egnp\u202c a\nb"
"""Markup, a clipboard write, colours, a C1 clear screen, a bidi override, and a line break."""

ARMS = {"PBO": "Placebo", "LOW": "Dose 27 mg", "HIGH": "Dose 54 mg"}
FIRST_DAY = date(2025, 3, 3)


class Filling:
    """Rows gathered by table, then read by DuckDB at once: row by row takes seconds."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def add(self, table: str, *rows: dict[str, Any]) -> None:
        """Rows by column name; what a row leaves out is NULL."""
        self.rows[table].extend(rows)

    def write(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """Insert everything."""
        for table, rows in self.rows.items():
            file = folder / f"{table}.json"
            names = {name: None for row in rows for name in row}
            file.write_text("\n".join(json.dumps({**names, **row}, default=str) for row in rows))
            columns = ", ".join(f"\"{name}\": 'VARCHAR'" for name in names)
            con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM read_json('{file}', columns = {{{columns}}})")
            file.unlink()


def make_release(
    path: Path, *, subjects: int = 60, hostile: bool = False, blinded: bool = False, state: str = "open"
) -> Path:
    """Write a release of `subjects` subjects at three sites in three arms, with ten days of doses each.

    `state` is that of the trial; `blinded` makes the file of a blinded trial that withholds arms and amounts.
    """
    filling = Filling()
    filling.add("build_info", _build_info(state))
    filling.add("site", *({"site_id": site} for site in ("701", "702", "703")))
    if not blinded:
        for order, (code, name) in enumerate(ARMS.items(), 1):
            filling.add("arm", {"arm_code": code, "arm": name, "arm_order": order, "is_reference": code == "PBO"})
    for number in range(1, subjects + 1):
        _add_subject(filling, number, hostile, blinded)
    if subjects:
        filling.add("quarantine", *_quarantine(hostile))
        filling.add("result", *_results(blinded))
        filling.add("source_file", *_source_files(subjects, hostile))
    con = duckdb.connect(str(path), config={"storage_compatibility_version": "v1.4.0"})
    create_all(con)
    create_views(con)
    filling.write(con, path.parent)
    if blinded:
        _withhold(con)
    con.close()
    return path


def _withhold(con: duckdb.DuckDBPyConnection) -> None:
    """What a blinded release may never hold becomes NULL; one column and one table are absent altogether."""
    for table in TABLES.values():
        for column in table.columns:
            if column.blinding == "never":
                con.execute(f'ALTER TABLE {table.name} ALTER COLUMN "{column.name}" DROP NOT NULL')
                con.execute(f'UPDATE {table.name} SET "{column.name}" = NULL')
    con.execute("ALTER TABLE subject DROP COLUMN actual_arm_code")
    con.execute("DROP TABLE arm")


@cache
def release(kind: str = "open") -> Path:
    """The release for a test session: `open`, `blinded`, `unblinded`, `hostile` or `empty`."""
    folder = Path(tempfile.mkdtemp(prefix="dosetrail-release-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subjects = 0 if kind == "empty" else 60
    return make_release(
        folder / "trial.duckdb",
        subjects=subjects,
        hostile=kind == "hostile",
        blinded=kind == "blinded",
        state="blinded" if kind in ("blinded", "unblinded") else "open",
    )


def subject_id(number: int) -> str:
    return f"DT-{701 + number % 3}-{1000 + number}"


def _build_info(state: str) -> dict[str, Any]:
    return {
        "release": 7,
        "built_from_seq": 41,
        "ledger_head": "0f" * 32,
        "protocol_sha256": "1e" * 32,
        "program_version": "0.1.0",
        "schema_version": 1,
        "blinding_state": state,
        "built_utc": datetime(2025, 6, 1, 5, 40),
    }


def _source_files(subjects: int, hostile: bool) -> list[dict[str, Any]]:
    doses = subjects * 10
    name = HOSTILE if hostile else "doses.csv"
    files = [("aa0000000001", "dm.xpt", subjects, 0), ("aa0000000002", name, doses + 5, 5)]
    return [
        {
            "source_id": source,
            "sha256": source * 5,
            "file_name": file_name,
            "format": "xpt" if file_name == "dm.xpt" else "dose_log",
            "dataset": "DM" if file_name == "dm.xpt" else "doses",
            "mode": "snapshot" if file_name == "dm.xpt" else "increment",
            "size_bytes": 120 * rows,
            "rows_read": rows,
            "rows_new": rows - quarantined,
            "rows_duplicate": 0,
            "rows_superseded": 0,
            "rows_quarantined": quarantined,
            "first_event": datetime(2025, 3, 3, 8, 0),
            "last_event": datetime(2025, 3, 12, 8, 0),
            "importer_version": "0.1.0",
            "protocol_sha256": "1e" * 32,
        }
        for source, file_name, rows, quarantined in files
    ]


def _add_subject(filling: Filling, number: int, hostile: bool, blinded: bool) -> None:
    subject = subject_id(number)
    arm = list(ARMS)[number % 3]
    first = FIRST_DAY + timedelta(days=number % 9)
    filling.add(
        "subject",
        {
            "subject_id": subject,
            "subject_number": str(1000 + number),
            "site_id": subject[3:6],
            "sex": "F" if number % 2 else "M",
            "age": 40 + number % 40,
            "age_unit": "YEARS",
            "race": HOSTILE if hostile and number == 1 else "WHITE",
            "arm_code": None if blinded else arm,
            "actual_arm_code": None if blinded else arm,
            "first_treatment": first,
            "last_treatment": first + timedelta(days=9),
            "status": ("on_treatment", "completed", "discontinued")[number % 3],
            "source_id": "aa0000000001",
            "line": number,
        },
    )
    device = f"PEN-{number:04d}"
    filling.add(
        "device", {"device_id": device, "device_class": "auto_injector", "serial": f"S{number}", "basis": "registered"}
    )
    filling.add(
        "device_assignment",
        {"device_id": device, "subject_id": subject, "start_date": first, "basis": "stated_in_data"},
    )
    _add_doses(filling, number, subject, device, first, blinded)
    _add_events(filling, number, subject, device, first, hostile)


def _add_doses(filling: Filling, number: int, subject: str, device: str, first: date, blinded: bool) -> None:
    events, matches = [], []
    for day in range(10):
        planned = datetime.combine(first + timedelta(days=day), datetime.min.time()) + timedelta(hours=8)
        missed = (number + day) % 7 == 0
        late = (number + day) % 5 == 0
        taken = planned + timedelta(minutes=221 if late else 2)
        line = number * 10 + day
        if not missed:
            events.append(
                {
                    "subject_id": subject,
                    "device_id": device,
                    "native_key": str(day),
                    "drug": None if blinded else "ZANO",
                    "kind": "injection",
                    "start_local": taken,
                    "start_precision": "minute",
                    "delivered_amount": None if blinded else 27,
                    "amount_unit": None if blinded else "mg",
                    "status": "completed",
                    "source_id": "aa0000000002",
                    "line": line,
                }
            )
        matches.append(
            {
                "subject_id": subject,
                "planned_no": day + 1,
                "status": "missed" if missed else "late" if late else "taken",
                "dose_date": planned.date(),
                "planned_at": planned,
                "event_at": None if missed else taken,
                "delay_s": None if missed else int((taken - planned).total_seconds()),
                "planned_amount": None if blinded else 27,
                "delivered_amount": None if missed or blinded else 27,
                "amount_unit": None if blinded else "mg",
                "source_id": None if missed else "aa0000000002",
                "line": None if missed else line,
                "part": None if missed else 1,
            }
        )
    filling.add("dose_event", *events)
    filling.add("dose_match", *matches)


def _add_events(filling: Filling, number: int, subject: str, device: str, first: date, hostile: bool) -> None:
    terms = ["DIZZINESS"] * (number % 4 == 0) + ["SYNCOPE"] * (number % 8 == 0)
    for event, term in enumerate([HOSTILE] if hostile else terms, 1):
        filling.add(
            "adverse_event",
            {
                "subject_id": subject,
                "event_seq": str(event),
                "term": term,
                "severity": "MILD",
                "serious": term == "SYNCOPE",
                "start_text": first.isoformat(),
                "outcome": "RECOVERED/RESOLVED",
                "source_id": "aa0000000001",
                "line": 900 + 10 * number + event,
            },
        )
        filling.add(
            "adverse_event_derived",
            {
                "subject_id": subject,
                "event_seq": str(event),
                "table_term": term,
                "table_soc": "Nervous system disorders",
                "start_date": first,
                "treatment_emergent": True,
                "study_day": 1,
            },
        )
    if number % 6 == 0:
        filling.add(
            "device_event",
            {
                "subject_id": subject,
                "device_id": device,
                "event": "occlusion",
                "start_local": datetime.combine(first, datetime.min.time()) + timedelta(hours=21),
                "source_id": "aa0000000002",
                "line": 5000 + number,
            },
        )


def _quarantine(hostile: bool) -> list[dict[str, Any]]:
    reasons = ["unknown_subject", "impossible_time", "bad_number", "bad_number", "unknown_unit"]
    return [
        {
            "source_id": "aa0000000002",
            "line": 700 + number,
            "table_name": "dose_event",
            "reason": reason,
            "field": "delivered_amount" if reason == "bad_number" else "subject_id",
            "value": HOSTILE if hostile else "2,5,1",
            "message": "2,5,1 is no number; the protocol's decimal sign is a point",
            "subject_id": subject_id(number),
            "raw": HOSTILE if hostile else f"{subject_id(number)};2025-03-04 08:00;2,5,1",
        }
        for number, reason in enumerate(reasons, 1)
    ]


def _results(blinded: bool) -> list[dict[str, Any]]:
    arms: list[str | None] = [None] if blinded else list(ARMS)
    rows: list[dict[str, Any]] = []
    for place, arm in enumerate(arms):
        taken = 177 - 9 * place
        rows += [
            _result("accuracy", "dose_conformity", arm, taken, 200, dose_pair="delivered/planned", doses=200),
            _result("accuracy", "dose_error", arm, None, None, statistic="mean", value=-1.234, unit="mg", doses=180),
            _result("compliance", "compliance_on_treatment", arm, taken, 200),
            _result("compliance", "days_exact", arm, taken - 5, 200),
            _result("adverse_events", "teae", arm, 5 + 4 * place, 20, statistic="incidence"),
            _result("adverse_events", "teae", arm, 5, 1.7, statistic="rate", value=2.94, unit="/100 d"),
            _result("adverse_events", "teae", arm, 4 + place, 20, statistic="incidence", soc=SOC),
            _result("adverse_events", "teae", arm, 3 + place, 20, statistic="incidence", soc=SOC, term="DIZZINESS"),
        ]
        rows.append(_result("compliance", "wear", arm, None, None, not_assessable="no wear intervals were recorded"))
    if not blinded:
        for place, arm in enumerate(("LOW", "HIGH"), 1):
            rows.append(_difference("compliance", "compliance_on_treatment", arm, -0.045 * place))
            rows.append(_difference("adverse_events", "teae", arm, 0.2 * place))
    return rows


SOC = "Nervous system disorders"


def _result(
    analysis: str, parameter: str, arm: str | None, numerator: float | None, denominator: float | None, **more: Any
) -> dict[str, Any]:
    share = numerator / denominator if numerator is not None and denominator else None
    return {
        "analysis": analysis,
        "population": "safety",
        "arm": arm,
        "parameter": parameter,
        "statistic": "share",
        "value": share,
        "unit": "1",
        "numerator": numerator,
        "denominator": denominator,
        "level": 0.95,
        "method": "Clopper-Pearson",
        **more,
    }


def _difference(analysis: str, parameter: str, arm: str, value: float) -> dict[str, Any]:
    return {
        **_result(analysis, parameter, arm, None, None, statistic="risk_difference", value=value),
        "comparator": "PBO",
        "lower": value - 0.0712,
        "upper": value + 0.0689,
        "method": "Miettinen-Nurminen",
    }
