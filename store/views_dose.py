"""The rules by which an entry of the dose log enters accuracy, as columns beside the entry."""

from __future__ import annotations

from store.views import View, ViewColumn, text

_ALARM_ROW = "(d.alarm IS NOT NULL OR d.stop_reason IN ('occlusion', 'empty', 'alarm_other', 'power'))"
_PRIMED = "(d.kind = 'prime' OR coalesce(d.exclude_reason IN ('prime', 'air_shot', 'fill', 'test'), false))"
_NOTHING = "coalesce(d.status IN ('voided', 'none_delivered'), false)"
_CANCELLED = "coalesce(d.status = 'partial' AND d.stop_reason = 'user', false)"
_GIVEN = f"(d.exclude_reason IS NULL AND d.kind <> 'prime' AND NOT {_NOTHING})"


def _flag(name: str, sql: str, comment: str) -> ViewColumn:
    return ViewColumn(name, "BOOLEAN", sql, comment)


DOSE_INCLUSION = View(
    "dose_inclusion",
    "One row per entry of the dose log with the inclusion rules of accuracy as columns; their sums stand in table "
    "result (parameter dose_entries, by = inclusion). Alarms of the device while a dose ran are in by = alarm",
    (
        text("subject_id", "d.subject_id", "Subject"),
        text("drug", "d.drug", "Drug as the source names it"),
        text("source_id", "d.source_id", "Source file"),
        ViewColumn("line", "BIGINT", "d.line", "Line in it"),
        ViewColumn("part", "SMALLINT", "d.part", "Part of that line"),
        ViewColumn("start_local", "TIMESTAMP", "d.start_local", "Start as the device or form shows it"),
        _flag("given", _GIVEN, "A therapeutic dose that took place (detections of a witnessed ingestion too)"),
        _flag("cancelled", f"{_GIVEN} AND {_CANCELLED}", "Stopped by the user: out of delivered against programmed"),
        _flag("not_started", f"{_NOTHING} AND NOT {_PRIMED}", "Voided, or nothing was delivered: no dose"),
        _flag(
            "partial",
            f"{_GIVEN} AND coalesce(d.status = 'partial', false) AND NOT {_CANCELLED}",
            "Ended early, not by the user: in",
        ),
        _flag(
            "extended",
            f"{_GIVEN} AND coalesce(d.shape IN ('extended', 'dual_now', 'dual_later'), false)",
            "Given over time: in",
        ),
        _flag("primed", _PRIMED, "Prime, air shot, fill or test: out of accuracy and exposure"),
        _flag(
            "excluded_other",
            f"d.exclude_reason IS NOT NULL AND NOT {_PRIMED} AND NOT {_NOTHING}",
            "No dose of the trial for another reason: out",
        ),
        _flag("alarmed", f"{_GIVEN} AND coalesce({_ALARM_ROW}, false)", "Alarm on the entry or stopped by a fault: in"),
        _flag("uncertain", f"{_GIVEN} AND coalesce(d.time_uncertain, false)", "Time uncertain: in, out of timing"),
        _flag(
            "unmatched_delivery",
            f"{_GIVEN} AND d.delivered_amount IS NOT NULL AND d.programmed_amount IS NULL",
            "Delivered without a programmed amount: not assessable against it",
        ),
        _flag(
            "delivery_unknown",
            f"{_GIVEN} AND d.delivered_amount IS NULL AND d.programmed_amount IS NOT NULL",
            "Programmed without a delivered amount: not assessable, never zero",
        ),
    ),
    "dose_event d",
)

DOSE_VIEWS: tuple[View, ...] = (DOSE_INCLUSION,)
