"""The same dose from the pump's own export and from a hub that collects pumps: the hub's row is a duplicate.

A hub (Glooko, Tidepool, Nightscout, Diasend) passes on what a pump logged, with times cut to minutes and amounts to
hundredths, under keys of its own. Where a pump's own export (CareLink, Tandem) is in the study too, a bolus of the hub
is the pump's if device (serial number), minute and amount in hundredths are equal; of several equal ones the first of
the hub is the first of the pump, and so on, so that two real boluses in one minute stay two. A hub's minute is that of
the start or of the end of the pump's bolus, as the hub reads it. A basal segment of the hub is a copy where the pump's
own log covers the moment it starts. Nothing is compared within a window of time, and rows that no pump's export
confirms stay doses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from store.received import ReceivedTable

HUBS = ("glooko", "tidepool", "nightscout", "diasend")
PUMPS = ("carelink", "tandem_csv", "tandem_xml", "tandem_source")

_NEEDED = {"device_id", "kind", "start_local", "end_local", "delivered_amount"}
_SERIAL = r"regexp_extract(r.device_id, '-([0-9a-z_]*[0-9][0-9a-z_]*)$', 1)"
_SHORTEST_SERIAL = 4


def resolve_hub_copies(con: duckdb.DuckDBPyConnection, received: ReceivedTable) -> None:
    """Add rows of hubs that repeat the pump's own to ``exc_dose_event``."""
    formats = {found for (found,) in con.execute("SELECT DISTINCT format FROM file_rank").fetchall()}
    if not (formats & set(HUBS) and formats & set(PUMPS)) or not set(received.columns) >= _NEEDED:
        return
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hub_side AS
        SELECT r.source_id, r.line, r.part, f.format, f.prec, f.format IN {PUMPS} AS of_pump, r.kind,
            {_SERIAL} AS serial, r.start_local, r.end_local, round(r.delivered_amount, 2) AS amount
        FROM {received.view} r JOIN file_rank f USING (source_id)
        WHERE f.format IN {(*HUBS, *PUMPS)} AND r.kind IN ('bolus', 'basal_segment')
            AND length({_SERIAL}) >= {_SHORTEST_SERIAL} AND NOT starts_with({_SERIAL}, 'unstated')
            AND (r.source_id, r.line, r.part) NOT IN (SELECT source_id, line, part FROM exc_dose_event)
        """
    )
    for moment in ("start_local", "end_local"):
        _match_boluses(con, moment)
    con.execute(
        """
        INSERT INTO exc_dose_event
        SELECT h.source_id, h.line, h.part, 'duplicate', min(concat_ws(':', p.source_id, p.line, p.part))
        FROM hub_side h JOIN hub_side p ON p.serial = h.serial AND p.of_pump AND NOT h.of_pump
            AND p.kind = 'basal_segment' AND h.start_local >= p.start_local AND h.start_local < p.end_local
        WHERE h.kind = 'basal_segment'
        GROUP BY ALL
        """
    )
    con.execute("DROP TABLE hub_side")


def _match_boluses(con: duckdb.DuckDBPyConnection, moment: str) -> None:
    """Pair boluses one to one by serial, minute and amount, and take both sides out of what is still to be paired."""
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hub_pairs AS
        WITH numbered AS (
            SELECT *, date_trunc('minute', CASE WHEN of_pump THEN {moment} ELSE start_local END) AS minute,
                row_number() OVER (
                    PARTITION BY CASE WHEN of_pump THEN 'pump' ELSE format END, serial, amount,
                        date_trunc('minute', CASE WHEN of_pump THEN {moment} ELSE start_local END)
                    ORDER BY start_local, prec, source_id, line, part) AS place
            FROM hub_side WHERE kind = 'bolus' AND amount > 0
        )
        SELECT h.source_id, h.line, h.part, p.source_id AS pump_source, p.line AS pump_line, p.part AS pump_part
        FROM numbered h JOIN numbered p USING (serial, minute, amount, place) WHERE p.of_pump AND NOT h.of_pump
        """
    )
    con.execute(
        "INSERT INTO exc_dose_event SELECT source_id, line, part, 'duplicate', "
        "concat_ws(':', pump_source, pump_line, pump_part) FROM hub_pairs"
    )
    con.execute(
        "DELETE FROM hub_side WHERE (source_id, line, part) IN (SELECT source_id, line, part FROM hub_pairs) "
        "OR (source_id, line, part) IN (SELECT pump_source, pump_line, pump_part FROM hub_pairs)"
    )
    con.execute("DROP TABLE hub_pairs")
