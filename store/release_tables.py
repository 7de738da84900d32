"""Tables of a release that come from the protocol, the ledger and the build's own accounting."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from store.python_rows import insert_rows
from store.tables_study import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from store.accounting import FileCounts
    from store.build import BuildInputs
    from store.facts import Facts
    from store.ledger_chain import LedgerRow
    from store.protocol import Protocol


def insert_protocol_tables(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> None:
    """site, arm, regimen and planned_visit as the protocol states them."""
    insert_rows(con, "site", [(site.id, site.name, site.country, site.time_zone) for site in protocol.site])
    reference = protocol.study.reference_arm
    insert_rows(
        con,
        "arm",
        [
            (arm.code, arm.name or arm.code, order, arm.code == reference)
            for order, arm in enumerate(protocol.arm, start=1)
        ],
    )
    insert_rows(
        con,
        "regimen",
        [
            (
                entry.arm,
                entry.period,
                entry.subject,
                entry.drug,
                entry.channel,
                entry.kind,
                entry.amount,
                entry.unit,
                entry.every_h,
                ",".join(time.strftime("%H:%M") for time in entry.at) or None,
                entry.window_before_min,
                entry.window_after_min,
                entry.amount_max,
            )
            for entry in protocol.dosing
        ],
    )
    insert_rows(
        con,
        "planned_visit",
        [
            (visit.number, visit.name, visit.day, visit.window_before_d, visit.window_after_d)
            for visit in sorted(protocol.visit, key=lambda visit: visit.number)
        ],
    )


def insert_source_files(
    con: duckdb.DuckDBPyConnection, facts: Facts, counts: Mapping[str, FileCounts], program_version: str
) -> None:
    """One row per file with the fate of its rows."""
    rows: list[tuple[object, ...]] = []
    for fact in sorted(facts.sources, key=lambda fact: fact.source_id):
        count = counts[fact.source_id]
        rows.append(
            (
                fact.source_id,
                fact.sha256,
                fact.name,
                fact.format,
                fact.dataset,
                fact.mode,
                fact.exported_utc,
                fact.size,
                count.read,
                count.new,
                count.duplicate,
                count.superseded,
                count.quarantined,
                count.first_event,
                count.last_event,
                program_version,
                fact.protocol_sha256,
            )
        )
    insert_rows(con, "source_file", rows)


def insert_ledger(con: duckdb.DuckDBPyConnection, rows: list[LedgerRow]) -> None:
    """Copy of the ledger the release was built from."""
    epoch = dt.datetime(1970, 1, 1)
    insert_rows(
        con,
        "ledger",
        [
            (
                row.seq,
                epoch + dt.timedelta(microseconds=row.utc_us),
                row.user,
                row.role,
                row.host,
                row.action,
                row.record,
                row.field,
                row.old,
                row.new,
                row.reason,
                row.hash,
            )
            for row in rows
        ],
    )


def insert_build_info(con: duckdb.DuckDBPyConnection, inputs: BuildInputs) -> None:
    """How and from what the release was made."""
    insert_rows(
        con,
        "build_info",
        [
            (
                inputs.release,
                inputs.facts.seq,
                inputs.facts.head,
                inputs.protocol.sha256,
                inputs.program_version,
                SCHEMA_VERSION,
                inputs.protocol.protocol.study.state,
                inputs.built_utc,
                inputs.protocol.protocol.study.id,
            )
        ],
    )
