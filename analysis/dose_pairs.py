"""Two amounts of every dose lined up for comparison: delivered, programmed and planned, from the log or the plan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from analysis.dose_cells import CountedPairs, Floats, Pairs, count_pairs
from analysis.dose_log import DoseLog, Int32, among, categories, codes, encoded
from store.protocol import Protocol

Stratum = tuple[str | None, str | None, str | None]
"""Drug, channel, device class."""

ADMISSIBLE_BASES = ("measured", "reported", "rate_x_time", "volume_x_conc")
"""Bases of a delivered amount that enter percent errors; a form's nominal amount and an inferred one never do."""

MATCH_COLUMNS = (
    "subject_id",
    "period_order",
    "in_period",
    "drug",
    "channel",
    "planned_amount",
    "programmed_amount",
    "delivered_amount",
    "delivered_basis",
    "amount_unit",
    "source_id",
    "line",
    "part",
)
"""Columns of dose_match (or of the log) that comparing needs."""


@dataclass(frozen=True)
class DosePair:
    """Which two amounts are compared, and what their conformity is called."""

    parameter: str
    name: str
    compared: str
    reference: str
    from_plan: bool


PAIRS = (
    DosePair("dose_conformity", "delivered/planned", "delivered_amount", "planned_amount", True),
    DosePair("delivery_conformity", "delivered/programmed", "delivered_amount", "programmed_amount", False),
    DosePair("programming_conformity", "programmed/planned", "programmed_amount", "planned_amount", True),
)


@dataclass(frozen=True, slots=True)
class DoseCell:
    """Doses of one pair in one subject, period and stratum from one source format: counts, and sums in percent."""

    subject_id: str
    period: int
    """Period order; -1 none."""
    stratum: Stratum
    format: str
    doses: int
    assessable: int
    conforming: int
    errors: int
    within: tuple[int, ...]
    sum_error: float
    sum_absolute: float


@dataclass
class PairCounts:
    """All doses of one pair, counted."""

    cells: list[DoseCell] = field(default_factory=list)
    absolute: dict[tuple[str | None, Stratum], list[Floats]] = field(default_factory=dict)
    """Arm (None: none) and stratum -> absolute percent errors of the doses, for medians."""
    bases: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    """Arm and basis -> doses with a delivered amount; "not stated" where the source says none."""
    outside: Counter[str] = field(default_factory=Counter)
    """Subject -> doses outside every treatment period."""
    excluded: int = 0
    """Doses left out because the user stopped them part-way."""
    breakdowns: list[pl.DataFrame] = field(default_factory=list)
    """Cells of analysis.accuracy_cells: doses by subject and by what accuracy is broken down by."""
    plan_in_records: bool = False
    """The planned amounts are those the dose records themselves state; the protocol plans no dose."""

    @property
    def assessable(self) -> int:
        return sum(cell.assessable for cell in self.cells)

    def in_order(self) -> PairCounts:
        """The same, cells by subject, period, stratum and format."""
        self.cells.sort(key=lambda c: (c.subject_id, c.period, tuple(part or "" for part in c.stratum), c.format))
        return self


@dataclass(frozen=True)
class SubjectFacts:
    """What counting looks up by subject and file: arm, device class, source format."""

    arm_of: dict[str, str]
    class_of: dict[str, str | None]
    format_of: dict[str, str]


def number_or_codes(values: pl.Series) -> Int32 | int:
    """Codes of an encoded column, or the one code when every row has the same: nothing is then made row by row."""
    if values.null_count() == values.len():
        return -1
    if len(categories(values)) == 1 and not values.null_count():
        return 0
    return codes(values)


class DoseRows:
    """Doses of one origin (a part of dose_match, or the log), encoded, in subject order; shared by several pairs."""

    def __init__(self, facts: SubjectFacts, rows: pl.DataFrame) -> None:
        rows = pl.DataFrame([encoded(column) for column in rows.iter_columns()])
        subject = codes(rows["subject_id"])
        if bool((subject[1:] < subject[:-1]).any()):
            order = np.lexsort((rows["line"].to_numpy(), codes(rows["source_id"]), subject))
            rows, subject = rows[order], subject[order]
        self._facts = facts
        self.rows = rows
        self.subject = subject
        self.names = categories(rows["subject_id"])
        present = subject[np.r_[True, subject[1:] != subject[:-1]]] if subject.size else subject
        self._present: list[int] = present.tolist()
        """Numbers of the subjects with rows: a part of a large table names all subjects and holds a few."""
        self._floats: dict[str, Floats] = {}

    def _numbered(self, of_subject: Mapping[str, str | None]) -> tuple[list[str], Int32]:
        """Values of the subjects with rows in order, "" for none, and the number of each subject's."""
        own = {number: of_subject.get(self.names[number]) or "" for number in self._present}
        values = sorted(set(own.values())) or [""]
        position = {value: i for i, value in enumerate(values)}
        numbers = np.zeros(len(self.names) + 1, dtype=np.int32)
        for number, value in own.items():
            numbers[number] = position[value]
        return values, numbers

    @cached_property
    def _arms(self) -> tuple[list[str], Int32]:
        return self._numbered(self._facts.arm_of)

    @cached_property
    def strata(self) -> tuple[list[Stratum], Int32]:
        """Distinct (drug, channel, class of the subject's device), and the number of each row's."""
        rows = self.rows
        classes, class_of = self._numbered(self._facts.class_of)
        drugs, channels = categories(rows["drug"]), categories(rows["channel"])
        series = (number_or_codes(rows["drug"]) + 1) * (len(channels) + 1) + number_or_codes(rows["channel"]) + 1
        own_class = 0 if len(classes) == 1 else class_of[self.subject]
        combined = np.broadcast_to(np.asarray(series * len(classes) + own_class, dtype=np.int32), rows.height)
        present = np.zeros((len(drugs) + 1) * (len(channels) + 1) * len(classes), dtype=np.bool_)
        present[combined[:1] if combined.strides == (0,) else combined] = True
        distinct = np.flatnonzero(present)
        number = np.zeros(present.size, dtype=np.int32)
        number[distinct] = np.arange(distinct.size)
        strata: list[Stratum] = []
        for value in distinct.tolist():
            of_series, device = divmod(value, len(classes))
            drug, channel = divmod(of_series, len(channels) + 1)
            strata.append(
                (
                    drugs[drug - 1] if drug else None,
                    channels[channel - 1] if channel else None,
                    classes[device] or None,
                )
            )
        return strata, number[combined] if combined.strides != (0,) else np.broadcast_to(np.int32(0), rows.height)

    @cached_property
    def formats(self) -> tuple[list[str], Int32]:
        """Source formats, and the number of each row's."""
        files = self._facts.format_of
        sources = categories(self.rows["source_id"])
        formats = sorted({files.get(source) or "not stated" for source in sources}) or ["not stated"]
        of_category = np.array(
            [*(formats.index(files.get(source) or "not stated") for source in sources), 0], dtype=np.int32
        )
        return formats, np.broadcast_to(of_category[number_or_codes(self.rows["source_id"])], self.rows.height)

    @cached_property
    def bases(self) -> Counter[tuple[str | None, str]]:
        """Doses with a delivered amount by arm and basis."""
        bases = [*categories(self.rows["delivered_basis"]), "not stated"]
        arms, arm_of = self._arms
        counted = self.rows["delivered_amount"].is_not_null().to_numpy()
        code = np.asarray(number_or_codes(self.rows["delivered_basis"]))
        code = np.broadcast_to(np.where(code < 0, len(bases) - 1, code), self.rows.height)[counted]
        arm = arm_of[self.subject[counted]]
        tally = np.bincount(arm * len(bases) + code, minlength=len(arms) * len(bases)).reshape(-1, len(bases))
        return Counter(
            {
                (arm_code or None, basis): int(n)
                for arm_code, counts in zip(arms, tally, strict=True)
                for basis, n in zip(bases, counts, strict=True)
                if n
            }
        )

    @cached_property
    def outside(self) -> Counter[str]:
        """Doses outside every treatment period, by subject."""
        out = self.rows["in_period"].eq(False).fill_null(False).to_numpy()
        tally = np.bincount(self.subject[out], minlength=len(self.names))
        return Counter({self.names[number]: int(tally[number]) for number in np.flatnonzero(tally)})

    def floats(self, name: str) -> Floats:
        """Amounts as floats, NaN where not reported."""
        if name not in self._floats:
            self._floats[name] = self.rows[name].cast(pl.Float64).fill_null(math.nan).to_numpy()
        return self._floats[name]

    def pairs(self, pair: DosePair) -> Pairs:
        """The pair's two amounts, dose by dose."""
        rows, basis = self.rows, self.rows["delivered_basis"]
        _, stratum = self.strata
        _, source = self.formats
        everything = np.broadcast_to(np.bool_(True), rows.height)
        of_delivery = pair.compared == "delivered_amount"
        period = rows["period_order"]
        return Pairs(
            subject=self.subject,
            period=np.broadcast_to(np.int32(-1), rows.height)
            if period.null_count() == rows.height
            else period.cast(pl.Int32).fill_null(-1).to_numpy(),
            stratum=stratum,
            source=source,
            compared=self.floats(pair.compared),
            reference=self.floats(pair.reference),
            comparable=~among(basis, ["inferred_equal", "none"]) if of_delivery else everything,
            measurable=among(basis, ADMISSIBLE_BASES) | basis.is_null().to_numpy() if of_delivery else everything,
        )

    def count(self, pair: DosePair, protocol: Protocol, into: PairCounts) -> None:
        """Compare a pair's amounts dose by dose and add the counts."""
        strata, formats = self.strata[0], self.formats[0]
        counted = count_pairs(self.pairs(pair), protocol.accuracy.conformity_pct, protocol.accuracy.within_pct)
        self._add_cells(counted, strata, formats, into)
        self._add_absolute(counted, strata, into)
        into.bases += self.bases
        into.outside += self.outside

    def _add_cells(self, counted: CountedPairs, strata: list[Stratum], formats: list[str], into: PairCounts) -> None:
        rows: list[Any] = [counted.keys.tolist(), counted.counts.tolist(), counted.sums.tolist()]
        for (subject, period, stratum, source), counts, (error, absolute) in zip(*rows, strict=True):
            doses, assessable, conforming, errors, *within = counts
            into.cells.append(
                DoseCell(
                    self.names[subject], period, strata[stratum], formats[source], doses, assessable, conforming,
                    errors, tuple(within), error, absolute,
                )
            )  # fmt: skip

    def _add_absolute(self, counted: CountedPairs, strata: list[Stratum], into: PairCounts) -> None:
        arms, arm_of = self._arms
        key = arm_of[counted.error_subject]
        if len(strata) > 1:
            key = key * len(strata) + counted.error_stratum
        # Sorted by key once (stable: dose order stays), then cut: cheaper than one mask per arm.
        order = np.argsort(key.astype(np.int16), kind="stable")
        sizes = np.bincount(key, minlength=len(arms) * len(strata))
        ends = np.cumsum(sizes)
        ordered = counted.absolute[order]
        for number in np.flatnonzero(sizes).tolist():
            arm, stratum = divmod(number, len(strata))
            part = ordered[ends[number] - sizes[number] : ends[number]]
            into.absolute.setdefault((arms[arm] or None, strata[stratum]), []).append(part)


def logged_rows(facts: SubjectFacts, log: DoseLog) -> DoseRows:
    """Given doses straight from the log, with the amounts their own records state."""
    rows = log.events.select(
        pl.lit(None, dtype=pl.Int32).alias("period_order"), pl.lit(None, dtype=pl.Boolean).alias("in_period"),
        *(name for name in MATCH_COLUMNS if name not in ("period_order", "in_period")),
    )  # fmt: skip
    counted = log.given & ~log.cancelled
    return DoseRows(facts, rows if bool(counted.all()) else rows.filter(pl.Series(counted)))
