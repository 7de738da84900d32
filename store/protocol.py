"""The trial as data: the models behind protocol.toml.

``reading`` keys (format, mapping, units, decimal sign, time zone of a source) are pinned to a file when it is imported;
all other keys give meaning and are those of the newest recorded protocol. ``store.protocol_file`` reads the file and
reports mistakes with line numbers; ``store.protocol_template`` writes it.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from store.protocol_desk import Check, Checks, Queries, Role, SafetyRule
from store.protocol_model import Model
from store.source_formats import SourceFormat, default_mode
from store.vocabulary import DEVICE_CLASSES

DosingKind = Literal["scheduled", "continuous", "as_needed", "titrated", "algorithm_bounded", "single"]
BoundaryRule = Literal["start_day", "day_after_start"]


@cache
def _known_zones() -> frozenset[str]:
    """Names of all time zones; finding them takes 10 ms, which a trial of forty sites would wait for forty times."""
    return frozenset(zoneinfo.available_timezones())


class StudySection(Model):
    """[study]"""

    id: str
    """Study identifier (SDTM STUDYID)."""
    title: str = ""
    blinding: Literal["open_label", "single_blind", "double_blind", "triple_blind"] = "open_label"
    """Design of the blinding (TS TBLIND)."""
    state: Literal["open", "blinded"] = "open"
    """``blinded`` splits every release in two (definitions: Blinding)."""
    design: Literal["parallel", "single_arm", "crossover", "cluster"] = "parallel"
    reference_arm: str | None = None
    """Arm the others are compared with (placebo or control)."""
    arm_assignment: Literal["planned", "actual"] = "planned"
    """Which arm tables use by default; both are always selectable."""
    data_cut: dt.date | None = None
    """Events after this day (site's zone) do not count; empty: all data."""
    monitored_through: dt.date | None = None
    """Day up to which dosing was monitored, where a data set states no end for ongoing subjects."""


class Site(Model):
    """[[site]]"""

    id: str
    name: str | None = None
    country: str | None = None
    time_zone: str | None = None
    """IANA time zone, e.g. Europe/Berlin."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None and value not in _known_zones():
            raise ValueError("not an IANA time zone; write for example Europe/Berlin or America/New_York")
        return value


class Period(Model):
    """[[arm.period]]: one element of an arm, in order (SDTM TA, TE)."""

    order: Annotated[int, Field(ge=1)]
    """Order in the arm (SDTM TAETORD); the same element may occur twice."""
    element: str
    """Element code (SDTM ETCD)."""
    name: str = ""
    epoch: str = "TREATMENT"
    duration_days: Annotated[int, Field(ge=1)] | None = None
    """Planned length; empty: not stated."""
    start_rule: str = ""
    end_rule: str = ""
    boundary: BoundaryRule | None = None
    """Whether doses of the start day belong to this period (``start_day``) or still to the one before
    (``day_after_start``)."""

    @property
    def is_treatment(self) -> bool:
        return self.epoch.upper() == "TREATMENT"


class Arm(Model):
    """[[arm]]"""

    code: str
    name: str = ""
    period: tuple[Period, ...] = ()

    @model_validator(mode="after")
    def _orders_differ(self) -> Arm:
        orders = [period.order for period in self.period]
        if len(set(orders)) != len(orders):
            raise ValueError(f"arm {self.code}: two periods have the same order; number them 1, 2, 3 in their sequence")
        return self


class Drug(Model):
    """[[drug]]"""

    name: str
    role: Literal["study", "rescue", "background"] = "study"
    unit: str | None = None
    concentration: Decimal | None = None
    concentration_unit: str | None = None
    channel: str | None = None
    acts_h: Annotated[float, Field(gt=0)] | None = None
    """Hours a dose acts (its forgiveness); therapeutic coverage is reported only where it is stated."""
    also_named: tuple[str, ...] = ()
    """Other names of the drug in files (PLACEBO in a blinded trial)."""


class DeviceType(Model):
    """[[device]]: maps a device type or model in the data to a device class."""

    type: str
    """Device type or model as the data name it (SDTM DI DEVTYPE)."""
    class_: Literal[DEVICE_CLASSES] = Field(alias="class")  # type: ignore[valid-type]
    """Device class (definitions of the project)."""
    step: Annotated[Decimal, Field(gt=0)] | None = None
    """Smallest dose the device can give, in the unit of its doses; errors of small doses are counted in it."""


class Dosing(Model):
    """[[dosing]]: the planned dose of an arm, a period or a subject; the most specific entry applies."""

    arm: str | None = None
    period: int | None = None
    """Period order in the arm."""
    subject: str | None = None
    drug: str
    channel: str | None = None
    kind: DosingKind = "scheduled"
    amount: Annotated[Decimal, Field(ge=0, decimal_places=6)] | None = None
    """Amount of one dose in ``unit``; empty: not stated, accuracy against plan is not assessable."""
    unit: str | None = None
    every_h: Annotated[float, Field(gt=0)] | None = None
    at: tuple[dt.time, ...] = ()
    """Clock times in the site's zone."""
    window_before_min: Annotated[float, Field(ge=0)] | None = None
    window_after_min: Annotated[float, Field(ge=0)] | None = None
    amount_min: Decimal | None = None
    amount_max: Decimal | None = None
    amount_step: Decimal | None = None

    @model_validator(mode="after")
    def _complete(self) -> Dosing:
        if self.amount is not None and not self.unit:
            raise ValueError('amount without unit; add unit, for example unit = "mg"')
        if self.every_h is not None and self.at:
            raise ValueError("either every_h or at, not both")
        return self


class Visit(Model):
    """[[visit]] (SDTM TV)"""

    number: float
    name: str = ""
    day: int | None = None
    window_before_d: int | None = None
    window_after_d: int | None = None


class Accuracy(Model):
    """[accuracy]"""

    conformity_pct: Annotated[float, Field(ge=0)] = 5.0
    """A dose conforms when |delivered - planned| is at most this percentage of planned (inclusive)."""
    within_pct: tuple[float, ...] = (5.0, 10.0, 15.0, 20.0, 30.0)


class Compliance(Model):
    """[compliance]"""

    threshold_pct: float = 80.0
    upper_pct: float = 120.0
    day_start: dict[str, dt.time] = Field(default_factory=dict)
    """Start of the dosing day by device class; 03:00 for caps and pens, 00:00 otherwise."""
    session_complete_pct: float = 90.0
    hold_reasons: tuple[str, ...] = ("INVESTIGATOR DECISION", "PHYSICIAN DECISION")
    """Reasons of a dose not given that make it a hold by the investigator; any other reason leaves it missed."""


class AdverseEvents(Model):
    """[adverse_events]"""

    window_days: Annotated[int, Field(ge=0)] | None = None
    """Days after the last dose in which an event still counts as treatment-emergent; empty: no end."""
    treatment_start: Literal["first_dose", "first_procedure", "earlier"] = "earlier"
    related: tuple[str, ...] = ()
    """Causality values that count as related."""
    device_related: tuple[str, ...] = ()
    """Values of the relation to the device that make an event an adverse device effect (ISO 14155)."""
    anticipated: tuple[str, ...] = ()
    """Terms the risk analysis anticipates; a serious adverse device effect with another term is a USADE."""
    rate_terms: tuple[str, ...] = ()
    """Terms whose events are also reported per 1,000 doses (injection site reactions)."""


class Silence(Model):
    """[silence]: hours without data after which a device class is silent."""

    upload_h: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    tolerance_h: Annotated[float, Field(ge=0)] = 24.0

    @field_validator("upload_h")
    @classmethod
    def _known_classes(cls, value: dict[str, float]) -> dict[str, float]:
        wrong = sorted(set(value) - set(DEVICE_CLASSES))
        if wrong:
            raise ValueError(f"{wrong[0]} is no device class; classes are: {', '.join(DEVICE_CLASSES)}")
        return value


class Vital(Model):
    """[vital]: what a closed loop keeps in range, and from when on the sensor tells enough."""

    code: str
    """Code in the observations, such as glucose."""
    unit: str
    low: float
    high: float
    every_min: Annotated[int, Field(ge=1)] = 5
    """Minutes between readings."""
    least_coverage: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Share of the expected readings below which time in range is not reported."""


class Population(Model):
    """[[population]]: a supplied flag that defines a population (SUPPDM QNAM)."""

    name: str
    flag: str
    value: str = "Y"


class Confirmatory(Model):
    """[[confirmatory]]: a comparison for which p values may be printed."""

    order: Annotated[int, Field(ge=1)]
    parameter: str
    arm: str
    comparator: str
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    method: str


class Source(Model):
    """[[source]]: how files that match ``pattern`` are read (all keys are reading keys)."""

    name: str
    pattern: str
    """File name pattern (``*.csv``, ``logs/pen-*.csv.gz``)."""
    format: SourceFormat
    mode: Literal["increment", "snapshot"] | None = None
    """Device logs are increments, data sets, enrolment and adverse events snapshots, unless stated."""
    delimiter: str | None = None
    """Empty: decided from the header among comma, semicolon, tab and pipe."""
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    date_order: Literal["YMD", "DMY", "MDY"] = "YMD"
    datetime_format: str | None = None
    """strptime format when the order alone is not enough."""
    time_zone: str = "site"
    """``site`` (the subject's site), ``utc``, ``offset`` (an offset stands on the value) or an IANA zone."""
    null_values: tuple[str, ...] = ("",)
    sheet: str | None = None
    exported_at: str | None = None
    """Pattern of the file name that holds the export time, e.g. ``pen_{%Y%m%d-%H%M}.csv``."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Canonical column = column in the file."""
    constants: dict[str, str] = Field(default_factory=dict)
    """Canonical column = value for every row."""
    units: dict[str, str] = Field(default_factory=dict)
    """Unit as written in the file = UCUM unit."""
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Canonical column -> (value in the file = canonical value)."""

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in ("site", "utc", "offset") and value not in _known_zones():
            raise ValueError('write "site", "utc", "offset" or an IANA zone such as Europe/Berlin')
        return value

    @property
    def effective_mode(self) -> Literal["increment", "snapshot"]:
        return self.mode or default_mode(self.format)


class Protocol(Model):
    """A whole protocol.toml."""

    study: StudySection
    site: tuple[Site, ...] = ()
    arm: tuple[Arm, ...] = ()
    drug: tuple[Drug, ...] = ()
    device: tuple[DeviceType, ...] = ()
    dosing: tuple[Dosing, ...] = ()
    visit: tuple[Visit, ...] = ()
    accuracy: Accuracy = Accuracy()
    compliance: Compliance = Compliance()
    adverse_events: AdverseEvents = AdverseEvents()
    silence: Silence = Silence()
    vital: Vital | None = None
    population: tuple[Population, ...] = ()
    confirmatory: tuple[Confirmatory, ...] = ()
    queries: Queries = Queries()
    checks: Checks = Checks()
    check: tuple[Check, ...] = ()
    safety_rule: tuple[SafetyRule, ...] = ()
    role: tuple[Role, ...] = ()
    source: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _references_exist(self) -> Protocol:
        codes = [arm.code for arm in self.arm]
        if len(set(codes)) != len(codes):
            raise ValueError("two arms have the same code")
        if self.study.reference_arm is not None and self.study.reference_arm not in codes:
            raise ValueError(
                f"study.reference_arm = {self.study.reference_arm!r} is no arm; arms are: {', '.join(codes) or 'none'}"
            )
        for entry in self.dosing:
            if entry.arm is not None and entry.arm not in codes:
                raise ValueError(f"dosing.arm = {entry.arm!r} is no arm; arms are: {', '.join(codes) or 'none'}")
        return self

    def arm_of(self, code: str) -> Arm | None:
        return next((arm for arm in self.arm if arm.code == code), None)

    def dosing_for(self, arm: str | None, period: int | None, subject: str) -> Dosing | None:
        """The most specific [[dosing]] entry for a study drug: subject beats period beats arm beats everybody."""
        best: tuple[int, Dosing] | None = None
        for entry in self.dosing:
            if (
                entry.subject not in (None, subject)
                or entry.arm not in (None, arm)
                or entry.period not in (None, period)
            ):
                continue
            rank = (entry.subject is not None) * 4 + (entry.period is not None) * 2 + (entry.arm is not None)
            if best is None or rank > best[0]:
                best = (rank, entry)
        return best[1] if best else None

    def missing_for_accuracy(self) -> list[str]:
        """Sentences naming the lines of protocol.toml that must be filled in before doses can be compared with
        the plan."""
        missing: list[str] = []
        for arm in self.arm:
            treatment = [period for period in arm.period if period.is_treatment]
            for position, period in enumerate(treatment):
                entry = self.dosing_for(arm.code, period.order, "")
                label = f"arm {arm.code} period {period.order} ({period.element})"
                if entry is None or (entry.kind in ("scheduled", "single") and entry.amount is None):
                    missing.append(f"[[dosing]] amount of {label}")
                if position > 0 and period.boundary is None:
                    missing.append(f"[[arm.period]] boundary of {label}")
        return missing
