"""Canonical rows of Glooko tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from importers.device_identity import UNSTATED, Device, register_device
from importers.device_log import INSULIN_RATE, INSULIN_UNIT
from importers.vendor_dates import Order, find_order, read_moment, split_moment
from importers.vendor_text import glucose_unit, read_amount

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

_SUSPENDED = "suspended"
_RESUMED = ("suspension ended", "resumed")
_REFILLS = ("cartridge", "reservoir change", "pod activated", "pod activation")
_TOTALS = (("total_bolus", "bolus"), ("total_basal", "basal"), ("total_insulin", "all"))
_EXPORT = (("EXPORT", "Glooko"),)
_SPLIT = Decimal("0.01")
_LOST_CLOCK_BEFORE = 2010


@dataclass
class GlookoTable:
    """One table: its kind, headings, rows as text by role, and the days the export says it covers."""

    kind: str
    names: list[str]
    rows: pl.DataFrame
    span: tuple[dt.date, dt.date] | None


def add_tables(tables: Sequence[GlookoTable], log: DeviceLog) -> None:
    """Add every table; alarms first, because only they know when delivery was suspended."""
    texts = [text for table in tables if "at" in table.rows.columns for text in table.rows["at"].drop_nulls().to_list()]
    span = next((table.span for table in tables if table.span), None)
    order = find_order(texts, stated=log.stated_order(), default=None, span=_wider(span))
    glooko = _Glooko(order, log)
    for table in sorted(tables, key=lambda table: table.kind != "alarms"):
        glooko.add(table)
    for name, rows in glooko.rows.items():
        log.add_rows(name, rows)


def _wider(span: tuple[dt.date, dt.date] | None) -> tuple[dt.date, dt.date] | None:
    return (span[0] - dt.timedelta(days=1), span[1] + dt.timedelta(days=1)) if span else None


class _Glooko:
    def __init__(self, order: Order | None, log: DeviceLog) -> None:
        self.order = order
        self.log = log
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.suspensions: dict[str, list[tuple[dt.datetime, dt.datetime | None]]] = {}
        self.has_alarms = False
        self._makers: dict[str, Callable[[GlookoTable, Mapping[str, Any], dict[str, Any]], None]] = {
            "bolus": self._bolus,
            "basal": self._basal,
            "doses": self._dose,
            "daily": self._daily,
            "manual": self._manual,
            "alarms": self._alarm,
            "cgm": self._glucose,
            "bg": self._glucose,
            "carbs": self._carbs,
        }

    def add(self, table: GlookoTable) -> None:
        make = self._makers.get(table.kind)
        if make is None:
            self.log.count(table.rows.height, "are food, exercise, medication or notes")
            return
        self.has_alarms = self.has_alarms or table.kind == "alarms"
        if table.kind == "basal" and not self.has_alarms:
            self.log.note("Without the alarms of the export no suspension is known: scheduled basal is taken as given.")
        placed = [(row, at) for row in table.rows.iter_rows(named=True) if (at := self._place(row)) is not None]
        for row, at in sorted(placed, key=lambda found: found[1]["at"]):
            make(table, row, at)

    def _place(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        text = str(row.get("at") or "")
        stamp = text.strip().removesuffix("Z")
        at = read_moment(stamp, self.order) if stamp else None
        if at is None:
            self._refuse(row, "at", "bad_date", "Timestamp names no moment")
            return None
        if text.strip().endswith("Z"):
            self.log.note("Times end in Z and are local to the device all the same.")
        clock = split_moment(stamp)[1]
        device = register_device(self.log, Device(UNSTATED, None, row.get("serial"), row["line"], _EXPORT))
        return {"at": at, "precision": "second" if clock.count(":") == 2 else "minute", "device_id": device}

    def _refuse(self, row: Mapping[str, Any], role: str, reason: str, message: str, table: str = "dose_event") -> None:
        shown = {name: value for name, value in row.items() if name not in ("line", "value", "alarm_text")}
        self.log.reject(row["line"], reason, message, field=role, value=row.get(role), raw=shown, table=table)

    def _amount(self, row: Mapping[str, Any], role: str, label: str, table: str = "dose_event") -> Decimal | None:
        """An amount; NULL for nothing. Raises ``_Refused`` after rejecting a row whose amount cannot be read."""
        text = row.get(role)
        number = read_amount(text)
        if text and number is None:
            self._refuse(row, role, "bad_number", f"{label} is no number", table)
            raise _Refused
        if number is not None and number < 0:
            self._refuse(row, role, "bad_value", f"{label} is negative", table)
            raise _Refused
        return number

    def _put(self, table: str, row: Mapping[str, Any], at: Mapping[str, Any], **values: Any) -> None:
        self.rows.setdefault(table, []).append({"line": row["line"], "device_id": at["device_id"], **values})

    def _put_dose(self, row: Mapping[str, Any], at: Mapping[str, Any], **values: Any) -> None:
        delivered = values.get("delivered_amount")
        shared = {
            "start_local": at["at"],
            "start_precision": at["precision"],
            "time_anchor": "point",
            "amount_unit": INSULIN_UNIT,
            "programmed_basis": "none",
            "delivered_basis": "none" if delivered is None else "reported",
            "status": "unknown" if delivered is None else "completed",
            "time_uncertain": True if at["at"].year < _LOST_CLOCK_BEFORE else None,
        }
        self._put("dose_event", row, at, **{**shared, **values})

    def _bolus(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            total = self._amount(row, "delivered", "Insulin Delivered")
            total = total if total is not None else self._amount(row, "dose", "Dose")
            initial = self._amount(row, "initial", "Initial Delivery")
            extended = self._amount(row, "extended", "Extended Delivery")
            carbs = self._amount(row, "carbs", "Carbs Input")
            told_bg = self._amount(row, "bg_input", "Blood Glucose Input")
        except _Refused:
            return
        if total is None:
            self._refuse(row, "delivered", "missing_value", "the bolus has no amount")
            return
        kind = str(row.get("insulin_type") or "").lower()
        automatic = "auto" in kind
        common = {
            "kind": "bolus",
            "trigger": "algorithm" if automatic else "calculator" if carbs or told_bg else "unknown",
            "intent": "algorithm" if automatic else "as_needed",
        }
        parts = (initial or Decimal(0)) + (extended or Decimal(0))
        if extended and abs(parts - total) <= _SPLIT:
            if initial:
                self._put_dose(row, at, **common, shape="dual_now", delivered_amount=initial)
            self._put_dose(row, at, **common, shape="dual_later" if initial else "extended", delivered_amount=extended)
        else:
            if extended:
                self.log.count(1, "have parts of a bolus that do not add up; their total was taken")
            shape = "extended" if "extend" in kind or "square" in kind else "immediate"
            self._put_dose(row, at, **common, shape=shape, delivered_amount=total)
        if carbs:
            self._observe(row, at, "carbohydrates", carbs, "g")

    def _basal(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            minutes = self._amount(row, "duration", "Duration")
            rate = self._amount(row, "rate", "Rate")
            given = self._amount(row, "delivered", "Insulin Delivered")
        except _Refused:
            return
        kind = str(row.get("insulin_type") or row.get("basal_type") or "").lower()
        paused = "pause" in kind or "suspend" in kind
        if rate is None and given is None and not paused:
            self._refuse(row, "rate", "missing_value", "the basal row has neither a rate nor an amount")
            return
        seconds = int(minutes * 60) if minutes is not None else None
        end = at["at"] + dt.timedelta(seconds=seconds) if seconds is not None else None
        values: dict[str, Any] = {
            "kind": "basal_segment",
            "shape": "continuous",
            "trigger": "algorithm" if "auto" in kind else "schedule",
            "time_anchor": "start",
            "end_local": end,
            "delivered_duration_s": seconds,
        }
        if given is not None or paused:
            self._put_dose(row, at, **values, delivered_amount=given if given is not None else Decimal(0))
        elif seconds is not None and rate is not None and end is not None:
            self._put_dose(row, at, **values, **self._scheduled(at, rate, seconds, end))
        else:
            self._put_dose(row, at, **values, programmed_rate=rate, rate_unit=INSULIN_RATE)

    def _scheduled(self, at: Mapping[str, Any], rate: Decimal, seconds: int, end: dt.datetime) -> dict[str, Any]:
        held = 0
        for begun, resumed in self.suspensions.get(at["device_id"], ()):
            last = min(end, resumed) if resumed else end
            held += max(0, int((last - max(begun, at["at"])).total_seconds()))
        running = max(0, seconds - held)
        programmed = (rate * seconds / 3600).quantize(Decimal("0.000001"))
        delivered = (rate * running / 3600).quantize(Decimal("0.000001"))
        whole = not held
        return {
            "programmed_amount": programmed,
            "delivered_amount": delivered,
            "programmed_basis": "rate_x_time",
            "delivered_basis": "rate_x_time",
            "programmed_rate": rate,
            "delivered_rate": rate if whole else None,
            "rate_unit": INSULIN_RATE,
            "status": "completed" if whole or not rate else "partial" if running else "none_delivered",
            "stop_reason": None if whole else "unknown",
        }

    def _dose(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            amount = self._amount(row, "dose", "Dose")
        except _Refused:
            return
        method = str(row.get("method") or "").lower()
        if amount is None:
            self._refuse(row, "dose", "missing_value", "the dose has no amount")
        elif "basal" in method:
            trigger = "algorithm" if "auto" in method else "schedule"
            self._put_dose(
                row,
                at,
                kind="basal_segment",
                shape="continuous",
                trigger=trigger,
                time_anchor="start",
                delivered_amount=amount,
            )
        elif any(word in method for word in ("manual", "injection", "pen")):
            self._put_dose(
                row, at, kind="injection", trigger="user", delivered_amount=amount,
                delivered_basis="nominal_crf", exclude_reason="manual_entry",
            )  # fmt: skip
        else:
            self._put_dose(
                row, at, kind="bolus", shape="immediate", trigger="unknown", intent="as_needed", delivered_amount=amount
            )

    def _manual(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            amount = self._amount(row, "value", "Value")
        except _Refused:
            return
        self._put_dose(
            row, at, kind="injection", trigger="user", delivered_amount=amount,
            delivered_basis="nominal_crf", exclude_reason="manual_entry",
        )  # fmt: skip

    def _daily(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            totals = [(measure, self._amount(row, role, role, "control_total")) for role, measure in _TOTALS]
        except _Refused:
            return
        for measure, total in totals:
            if total is not None:
                self._put(
                    "control_total", row, at, total_date=at["at"].date(), measure=measure,
                    reported_total=total, amount_unit=INSULIN_UNIT,
                )  # fmt: skip

    def _alarm(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        text = str(row.get("alarm_text") or "")
        words = text.lower()
        open_ones = self.suspensions.setdefault(at["device_id"], [])
        if any(word in words for word in _RESUMED):
            event = "resume"
            if open_ones and open_ones[-1][1] is None:
                open_ones[-1] = (open_ones[-1][0], at["at"])
        elif _SUSPENDED in words:
            event = "suspend"
            if not open_ones or open_ones[-1][1] is not None:
                open_ones.append((at["at"], None))
        elif "occlusion" in words:
            event = "occlusion"
        else:
            event = "refill" if any(word in words for word in _REFILLS) else "alarm"
        self._put("device_event", row, at, event=event, code=text or None, start_local=at["at"])

    def _glucose(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        role = "cgm" if row.get("cgm") is not None else "glucose"
        try:
            value = self._amount(row, role, "the glucose value", "observation")
        except _Refused:
            return
        unit = next((found for name in table.names if (found := glucose_unit(name))), None)
        if value is not None:
            self._observe(row, at, "glucose" if table.kind == "cgm" else "blood_glucose", value, unit)

    def _carbs(self, table: GlookoTable, row: Mapping[str, Any], at: dict[str, Any]) -> None:
        try:
            value = self._amount(row, "carbs", "Carbohydrates", "observation")
        except _Refused:
            return
        if value is not None:
            self._observe(row, at, "carbohydrates", value, "g")

    def _observe(
        self, row: Mapping[str, Any], at: Mapping[str, Any], code: str, value: Decimal, unit: str | None
    ) -> None:
        self._put("observation", row, at, code=code, observed_at=at["at"], value=float(value), unit=unit)


class _Refused(Exception):
    """The row was rejected."""
