"""Basal of a legacy CareLink file: profile starts, temporary basals and suspensions played through in the pump's
order.

The pump writes a row at each step of a running profile, but none while a temporary basal or a suspension covers
it, so inside those the steps come from the profile settings. A percent basal is a percentage of the step it
covers. A profile of several steps ends with its step: where the next row is missing, the log is, and nothing is
claimed. A profile of one step runs on to the next row or the upload.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from importers.basal import SILENCE_H, segment_rows
from importers.carelink_profiles import Profiles, Steps, parse_raw, rate_at, read_profiles

if TYPE_CHECKING:
    import polars as pl

    from importers.device_log import DeviceLog

_TEMPS = frozenset({"ChangeTempBasal", "ChangeTempBasalPercent"})
_SUSPEND_REASONS = (("low", "low_glucose"), ("alarm", "alarm_other"), ("user", "user"))
_RUNNING = frozenset({"normal_pumping", "user_restart_basal", "auto_resume_reduced", "auto_resume_complete", "resume"})
_SILENCE = dt.timedelta(hours=SILENCE_H)


@dataclass
class _Pump:
    """State of the pump while its rows are played through, and the segments found."""

    profiles: Profiles
    last: dt.datetime
    pattern: str | None = None
    rate: float | None = None
    """Rate of the last profile start; None before the first."""
    rate_line: int = 0
    rate_until: dt.datetime | None = None
    on_schedule: bool = False
    """The last profile start gave the rate the settings state for it; otherwise the settings are not believed."""
    temp: tuple[int, dt.datetime, float | None, float | None] | None = None
    """Line, end, rate in U/h, fraction of the profile."""
    suspended: tuple[int, str] | None = None
    segments: list[dict[str, Any]] = field(default_factory=list)

    def run(self, start: dt.datetime, end: dt.datetime) -> None:
        """What was programmed and given between two rows of the pump."""
        while start < end:
            if self.temp is not None and self.temp[1] <= start:
                self._after_temp(self.temp[1])
            piece = self._next_piece(start, end)
            if piece is None:
                return
            line, rate, until = piece
            self._add(self.suspended[0] if self.suspended else line, start, until, rate)
            start = until

    def _add(self, line: int, start: dt.datetime, end: dt.datetime, rate: float) -> None:
        """A segment, or the continuation of the last one."""
        reason = self.suspended[1] if self.suspended else None
        before = self.segments[-1] if self.segments else None
        if before and (before["line"], before["end"], before["rate"], before["reason"]) == (line, start, rate, reason):
            start = self.segments.pop()["start"]
        self.segments.append(
            {
                "line": line,
                "start": start,
                "end": end,
                "seconds": int((end - start).total_seconds()),
                "rate": rate,
                "suspended": self.suspended is not None,
                "reason": reason,
                "last": end == self.last,
            }
        )

    def _after_temp(self, ended: dt.datetime) -> None:
        assert self.temp is not None
        self.rate_line, self.temp = self.temp[0], None
        self._back_to_profile(ended)

    def _steps(self, at: dt.datetime) -> Steps | None:
        return self.profiles.steps(self.pattern, at) if self.on_schedule else None

    def _back_to_profile(self, at: dt.datetime) -> None:
        steps = self._steps(at)
        if steps is not None:
            self.rate, boundary = rate_at(steps, at)
            self.rate_until = boundary if len(steps) > 1 else None

    def _next_piece(self, start: dt.datetime, end: dt.datetime) -> tuple[int, float, dt.datetime] | None:
        """Line, programmed rate and end of the longest piece from ``start`` on with one rate; None: nothing is
        known.
        """
        steps = self._steps(start)
        scheduled, boundary = rate_at(steps, start) if steps else (self.rate, None)
        several = steps is not None and len(steps) > 1
        if self.temp is not None:
            line, ends, rate, fraction = self.temp
            end = min(end, ends)
            if rate is not None:
                return line, rate, end
            if scheduled is None or fraction is None:
                return None
            return line, scheduled * fraction, min(end, boundary) if boundary and several else end
        if self.suspended is not None:
            if scheduled is None:
                return None
            return 0, scheduled, min(end, boundary) if boundary and several else end
        if self.rate is None or (self.rate_until is not None and start >= self.rate_until):
            return None
        if self.rate_until is not None:
            end = min(end, self.rate_until)
        elif steps is None and end - start > _SILENCE:
            return None
        return self.rate_line, self.rate, end

    def start_profile(self, row: dict[str, Any], values: dict[str, str]) -> None:
        self.pattern = values.get("PATTERN_NAME", self.pattern)
        self.rate, self.rate_line, self.rate_until = float(values["RATE"]), row["line"], None
        steps = self.profiles.steps(self.pattern, row["at"])
        self.on_schedule = False
        if steps is not None:
            scheduled, boundary = rate_at(steps, row["at"])
            self.on_schedule = scheduled == self.rate
            self.rate_until = boundary if self.on_schedule and len(steps) > 1 else None

    def set_temp(self, row: dict[str, Any], values: dict[str, str]) -> None:
        lasts = dt.timedelta(milliseconds=float(values.get("DURATION", "0")))
        if not lasts:
            if self.temp is not None:
                self.temp = (row["line"], row["at"], self.temp[2], self.temp[3])
                self._after_temp(row["at"])
            return
        percent = values.get("PERCENT_OF_RATE")
        rate = float(values["RATE"]) if "RATE" in values else None
        self.temp = (row["line"], row["at"] + lasts, rate, float(percent) / 100 if percent else None)

    def set_suspended(self, row: dict[str, Any], values: dict[str, str]) -> None:
        state = values.get("ENABLE", str(row["suspend"] or "")).lower()
        if state in _RUNNING or state.startswith("resume"):
            if self.suspended is not None:
                self._resume(row)
            self.suspended = None
        elif self.suspended is None:
            reason = next((found for word, found in _SUSPEND_REASONS if word in state), "user")
            self.suspended = (row["line"], reason)

    def _resume(self, row: dict[str, Any]) -> None:
        if self.temp is None:
            self.rate_line = row["line"]
            self._back_to_profile(row["at"])


def add_legacy_basal(rows: pl.DataFrame, device_id: str, log: DeviceLog) -> pl.Series:
    """Add basal segments, temporary basals and suspensions of one pump; returns the lines used."""
    import polars as pl

    temps = rows.filter(pl.col("raw_type").is_in(sorted(_TEMPS)))
    suspends = rows.filter(pl.col("raw_type").str.starts_with("ChangeSuspend") | pl.col("suspend").is_not_null())
    starts = rows.filter(pl.col("raw_type") == "BasalProfileStart")
    _add_events(temps, suspends, log)
    segments = derive_legacy_segments(rows)
    if segments:
        log.add("dose_event", segment_rows(pl.DataFrame(segments), device_id))
    known = {segment["line"] for segment in segments}
    log.count(sum(line not in known for line in starts["line"]), "start a basal profile for no time of its own")
    return pl.concat([temps["line"], suspends["line"], starts["line"]])


def derive_legacy_segments(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Segments of one pump as ``importers.basal.derive_segments`` gives them; ``rows``: line, seq, at, raw
    columns.
    """
    ordered = rows.sort("seq").select("line", "at", "raw_type", "raw_values", "raw_id", "suspend")
    entries = list(ordered.iter_rows(named=True))
    if not entries:
        return []
    last = max(row["at"] for row in entries)
    pump = _Pump(read_profiles(entries), last)
    now: dt.datetime | None = None
    for row, values in _basal_rows(entries):
        if now is not None:
            pump.run(now, row["at"])
        now = row["at"]
        kind = row["raw_type"]
        if kind == "BasalProfileStart" and "RATE" in values:
            pump.start_profile(row, values)
        elif kind == "ChangeActiveBasalProfilePattern":
            pump.pattern = values.get("PATTERN_NAME", pump.pattern)
        elif kind in _TEMPS:
            pump.set_temp(row, values)
        else:
            pump.set_suspended(row, values)
    if now is not None:
        pump.run(now, last)
    return pump.segments


def _basal_rows(entries: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    for row in entries:
        kind = row["raw_type"] or ""
        if (
            kind in _TEMPS
            or kind in ("BasalProfileStart", "ChangeActiveBasalProfilePattern")
            or kind.startswith("ChangeSuspend")
        ):
            yield row, parse_raw(row["raw_values"])


def _add_events(temps: pl.DataFrame, suspends: pl.DataFrame, log: DeviceLog) -> None:
    import polars as pl

    log.add(
        "device_event",
        temps.with_columns(
            event=pl.lit("temp_basal"),
            code="temp_type",
            start_local="at",
            detail=pl.format(
                "{} for {} s",
                pl.col("temp_amount").cast(pl.String).fill_null("?"),
                pl.col("temp_duration").fill_null(0),
            ),
        ),
    )
    state = pl.coalesce(pl.col("raw_values").str.extract(r"(?:^|, )ENABLE=([^,]*)", 1), "suspend")
    running = state.str.to_lowercase().is_in(sorted(_RUNNING)) | state.str.to_lowercase().str.starts_with("resume")
    log.add(
        "device_event",
        suspends.with_columns(
            event=pl.when(running).then(pl.lit("resume")).otherwise(pl.lit("suspend")), code=state, start_local="at"
        ),
    )
