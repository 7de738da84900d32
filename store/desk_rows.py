"""Tables of the coordinator's day in a release: findings, queries, safety reports, and the limits they rest on."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from store.checks import insert_findings
from store.deviations import Deviation, proposed_id, read_deviations
from store.device_actions import movement_rows
from store.errors import UsageProblem
from store.python_rows import insert_rows
from store.queries import Due, Query, fold_queries
from store.safety_reports import ASSUMED, AWARE, RECORDED, SUBMIT, due_at, recorded_times, report_record
from store.unblindings import unblinding_rows
from store.withdrawals import withdrawal_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from store.build import BuildInputs
    from store.protocol import Protocol

_FIRST_RECEIPT = dt.datetime(1970, 1, 1)


def insert_desk_settings(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> None:
    """upload_interval, study_setting and role_holder as the protocol states them."""
    silence = protocol.silence
    insert_rows(
        con,
        "upload_interval",
        [(name, hours + silence.tolerance_h) for name, hours in sorted(silence.upload_h.items())],
    )
    insert_rows(con, "study_setting", [("compliance_threshold_pct", protocol.compliance.threshold_pct)])
    holders = [
        *((role.name, user, None) for role in protocol.role for user in role.users),
        *((role.name, None, group) for role in protocol.role for group in role.groups),
    ]
    insert_rows(con, "role_holder", sorted(holders, key=str))


def insert_withdrawals(con: duckdb.DuckDBPyConnection, inputs: BuildInputs) -> None:
    """consent_withdrawal as the ledger has it: before the rows, which may need a consent."""
    insert_rows(con, "consent_withdrawal", withdrawal_rows(inputs.ledger_rows))


def insert_deviations(con: duckdb.DuckDBPyConnection, inputs: BuildInputs) -> None:
    """deviation_recorded as the ledger has it: before the analysis, whose populations follow from it."""
    insert_rows(con, "deviation_recorded", [tuple(vars(row).values()) for row in read_deviations(inputs.ledger_rows)])


def _propose_deviations(con: duckdb.DuckDBPyConnection, protocol: Protocol) -> None:
    """Findings of the checks that propose deviations, but for those a person decided on."""
    known = {row[0] for row in con.execute("SELECT deviation_id FROM deviation_recorded").fetchall()}
    proposed = []
    for check, rule in sorted(protocol.checks.deviations.items()):
        for finding, subject, text, record in con.execute(
            "SELECT finding_id, subject_id, text, record FROM finding WHERE check_id = ? AND subject_id IS NOT NULL "
            "ORDER BY finding_id",
            [check],
        ).fetchall():
            name = proposed_id(finding)
            if name not in known:
                made = Deviation(
                    name, subject, text, rule.category, rule.importance, None, rule.excludes_from, "proposed", check,
                    record,
                )  # fmt: skip
                proposed.append(tuple(vars(made).values()))
    insert_rows(con, "deviation_recorded", sorted(proposed, key=lambda row: str(row[0])))


def insert_desk(con: duckdb.DuckDBPyConnection, inputs: BuildInputs) -> None:
    """finding, query and safety_report: a function of the release's data, the ledger and the protocol."""
    protocol = inputs.protocol.protocol
    insert_rows(con, "device_movement", movement_rows(inputs.ledger_rows))
    insert_rows(con, "unblinding", unblinding_rows(inputs.ledger_rows))
    insert_findings(con, protocol)
    _propose_deviations(con, protocol)
    received = {fact.source_id: fact.received_utc for fact in inputs.facts.sources}
    due = Due(protocol.queries.due_days, protocol.queries.high_due_days)
    queries = fold_queries(inputs.ledger_rows, _raised_by_checks(con, received, due), due)
    insert_rows(con, "query", [tuple(vars(query).values()) for query in queries])
    _insert_safety_reports(con, inputs, received)


def _raised_by_checks(con: duckdb.DuckDBPyConnection, received: Mapping[str, dt.datetime], due: Due) -> list[Query]:
    first = min(received.values(), default=_FIRST_RECEIPT)
    queries = []
    for finding, check, priority, subject, record, field, text, source in con.execute(
        "SELECT finding_id, check_id, priority, subject_id, record, field, text, source_id FROM finding"
    ).fetchall():
        opened = received.get(source, first)
        queries.append(
            Query(
                finding,
                check,
                priority,
                subject,
                record,
                field,
                text,
                "open",
                opened,
                check,
                due.date(priority, opened),
            )  # fmt: skip
        )
    return queries


def _insert_safety_reports(
    con: duckdb.DuckDBPyConnection, inputs: BuildInputs, received: Mapping[str, dt.datetime]
) -> None:
    import duckdb

    times = recorded_times(inputs.ledger_rows)
    rows: list[tuple[object, ...]] = []
    for rule in inputs.protocol.protocol.safety_rule:
        try:
            events = con.execute(
                f"SELECT subject_id, event_seq, source_id FROM adverse_event WHERE ({rule.where}) ORDER BY ALL"
            ).fetchall()
        except duckdb.Error as error:
            raise UsageProblem(
                f"[[safety_rule]] {rule.id}: its condition is not understood: {str(error).splitlines()[0]}",
                remedy="Correct where of that [[safety_rule]] in protocol.toml; it is a condition over adverse_event.",
            ) from error
        for subject, event, source in events:
            aware = times.get((AWARE, report_record(subject, event)))
            at = aware[0] if aware else received.get(source, _FIRST_RECEIPT)
            done = times.get((SUBMIT, report_record(subject, event, rule.id)))
            rows.append(
                (
                    subject,
                    event,
                    rule.id,
                    rule.send_to,
                    at,
                    RECORDED if aware else ASSUMED,
                    due_at(rule, at),
                    done[0] if done else None,
                    done[1] if done else None,
                )  # fmt: skip
            )
    insert_rows(con, "safety_report", sorted(rows, key=lambda row: row[:3]))
