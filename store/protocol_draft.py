"""What files tell about a trial before its protocol.toml is written; what remains open is None.

``importers.trial_design`` fills it from data sets; ``store.protocol_template`` renders it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class DraftPeriod:
    """One element of an arm (TA, TE). ``proposed_amount`` is what the element's own text names."""

    order: int
    element: str
    name: str
    epoch: str
    duration_days: int | None = None
    duration_text: str = ""
    start_rule: str = ""
    end_rule: str = ""
    proposed_amount: Decimal | None = None
    proposed_unit: str | None = None

    @property
    def is_treatment(self) -> bool:
        return self.epoch.upper() == "TREATMENT"


@dataclass(frozen=True)
class DraftArm:
    code: str
    name: str
    periods: tuple[DraftPeriod, ...] = ()


@dataclass(frozen=True)
class DraftSite:
    id: str
    country: str | None = None


@dataclass(frozen=True)
class DraftDrug:
    name: str
    unit: str | None = None
    also_named: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftDevice:
    """A device type of the data; ``device_class`` None when its words name no class."""

    type: str
    count: int
    device_class: str | None = None


@dataclass(frozen=True)
class DraftDosing:
    """The dosing rule all treatment periods share, as TS states it (DOSFRQ, DOSE)."""

    kind: str | None = None
    every_h: float | None = None
    frequency: str = ""
    stated_doses: tuple[str, ...] = ()


@dataclass(frozen=True)
class DraftVisit:
    number: float
    name: str
    day: int | None = None
    rule: str = ""


@dataclass(frozen=True)
class DraftPopulation:
    name: str
    flag: str
    label: str = ""


@dataclass(frozen=True)
class Draft:
    """A trial as far as files tell it. An empty draft renders as the template for a trial without data."""

    study_id: str
    title: str = ""
    blinding: str | None = None
    blinding_text: str = ""
    design: str | None = None
    design_text: str = ""
    reference_arm: str | None = None
    arm_in_data: bool = False
    data_cut: dt.date | None = None
    data_cut_text: str = ""
    arms: tuple[DraftArm, ...] = ()
    sites: tuple[DraftSite, ...] = ()
    drugs: tuple[DraftDrug, ...] = ()
    devices: tuple[DraftDevice, ...] = ()
    dosing: DraftDosing = DraftDosing()
    visits: tuple[DraftVisit, ...] = ()
    populations: tuple[DraftPopulation, ...] = ()
    related: tuple[str, ...] = ()
    causality_values: tuple[str, ...] = ()
    rate_terms: tuple[str, ...] = ()
    read_from: tuple[str, ...] = ()
    """Data sets the draft rests on, as ``TS (ts.xpt)``."""
