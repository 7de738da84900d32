"""The part of protocol.toml that the coordinator's day rests on: queries, checks, safety reports, roles."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from store.protocol_model import Model

Priority = Literal["high", "medium", "low"]


class Queries(Model):
    """[queries]: how long a query may wait."""

    due_days: Annotated[int, Field(ge=1)] = 14
    high_due_days: Annotated[int, Field(ge=1)] = 7


class DeviationRule(Model):
    """What a check proposes where it finds something; a person confirms or dismisses it."""

    category: str | None = None
    importance: Literal["major", "minor"] = "minor"
    excludes_from: Literal["per_protocol"] | None = None


class Checks(Model):
    """[checks]: which built-in checks raise queries, and their limits."""

    disable: tuple[str, ...] = ()
    """Ids of built-in checks that are not wanted."""
    days_without_dose: Annotated[int, Field(ge=1)] = 3
    """Missed days in a row from which a query is raised."""
    deviations: dict[str, DeviationRule] = Field(default_factory=dict)
    """Id of a check, built-in or [[check]] -> the deviation that each of its findings proposes."""
    control_total_pct: Annotated[float, Field(ge=0)] = 5.0
    """Difference of a device's own daily total to the sum of its events, in percent of the total."""


class Check(Model):
    """[[check]]: a rule of this trial over one table."""

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{2,30}$")]
    table: str
    """A table with subject_id."""
    where: str
    """SQL condition over its columns: rows for which it holds are findings."""
    text: str
    """Question to the site; no values, because a blinded user reads it."""
    field: str | None = None
    priority: Priority = "medium"


class SafetyRule(Model):
    """[[safety_rule]]: which serious events are reported to whom by when; check it with your regulator."""

    id: str
    send_to: str
    where: str = "serious"
    """SQL condition over adverse_event."""
    hours: Annotated[float, Field(gt=0)] | None = None
    calendar_days: Annotated[int, Field(ge=1)] | None = None
    working_days: Annotated[int, Field(ge=1)] | None = None
    holidays: tuple[dt.date, ...] = ()

    @model_validator(mode="after")
    def _one_limit(self) -> SafetyRule:
        if sum(limit is not None for limit in (self.hours, self.calendar_days, self.working_days)) != 1:
            raise ValueError("give one of hours, calendar_days and working_days")
        return self


class Role(Model):
    """[[role]]: who does what; a user or group of the operating system has it."""

    name: Literal["coordinator", "monitor", "data_manager", "statistician", "unblinded", "operator"]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
