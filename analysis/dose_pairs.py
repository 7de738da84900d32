"""Two amounts of every dose lined up for comparison: delivered, programmed and planned, from the log or the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.arms import StudyView
from analysis.dose_cells import DoseCells, DoseErrors, Floats, Pairs, count_cells
from analysis.dose_log import Int32, Mask, among, categories, codes, encoded
from analysis.populations import ADMISSIBLE_BASES
from analysis.result_rows import ALL_ARMS

Stratum = tuple[str | None, str | None, str | None]
"""Drug, channel, device class."""


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


@dataclass(frozen=True)
class Compared:
    """The doses of one pair, counted, with what their numbers stand for."""

    subjects: list[str]
    arm_of_subject: npt.NDArray[np.int8]
    periods: dict[tuple[str, int], str]
    """Arm and period order -> label."""
    strata: list[Stratum]
    formats: list[str]
    cells: DoseCells
    errors: DoseErrors
    bases: dict[str, dict[str, int]]
    """Arm -> basis -> doses with a delivered amount."""
    outside: dict[str, int]
    """Subject -> doses outside every treatment period."""
    excluded: int
    """Doses left out because the user stopped them part-way."""


class DoseRows:
    """Doses of one origin (the matched table or the log), encoded, in subject order; shared by several pairs."""

    def __init__(self, view: StudyView, rows: pl.DataFrame, is_dose: Mask) -> None:
        rows = pl.DataFrame([encoded(column) for column in rows.iter_columns()])
        subject = codes(rows["subject_id"])
        if bool((subject[1:] < subject[:-1]).any()):
            order = np.lexsort((rows["line"].fill_null(0).to_numpy(), codes(rows["source_id"]), subject))
            rows, is_dose, subject = rows[order], is_dose[order], subject[order]
        self._view = view
        self.rows = rows
        self.is_dose = is_dose
        self.subject = subject
        self.names = categories(rows["subject_id"])

    @cached_property
    def strata(self) -> tuple[list[Stratum], Int32]:
        """Distinct (drug, channel, class of the subject's device) in order, and the number of each row's."""
        rows, people = self.rows, self._view.people
        classes = sorted({person["device_class"] or "" for person in people.values()})
        class_of = np.array(
            [classes.index(people[name]["device_class"] or "") if name in people else 0 for name in self.names],
            dtype=np.int32,
        )
        drugs, channels = categories(rows["drug"]), categories(rows["channel"])
        combined = (codes(rows["drug"]) + 1) * (len(channels) + 1) + codes(rows["channel"]) + 1
        combined = combined * len(classes) + class_of[self.subject]
        present = np.zeros((len(drugs) + 1) * (len(channels) + 1) * len(classes), dtype=np.bool_)
        present[combined] = True
        distinct = np.flatnonzero(present)
        number = np.zeros(present.size, dtype=np.int32)
        number[distinct] = np.arange(distinct.size)
        strata: list[Stratum] = []
        for value in distinct.tolist():
            series, device = divmod(value, len(classes))
            drug, channel = divmod(series, len(channels) + 1)
            strata.append(
                (
                    drugs[drug - 1] if drug else None,
                    channels[channel - 1] if channel else None,
                    classes[device] or None,
                )
            )
        return strata, number[combined]

    @cached_property
    def formats(self) -> tuple[list[str], Int32]:
        """Source formats in order, and the number of each row's (0 for a row without a source)."""
        files = dict(self._view.frames("source_file", ["source_id", "format"]).iter_rows())
        sources = categories(self.rows["source_id"])
        formats = sorted({files.get(source) or "not stated" for source in sources}) or ["not stated"]
        of_category = np.array(
            [*(formats.index(files.get(source) or "not stated") for source in sources), 0], dtype=np.int32
        )
        return formats, of_category[codes(self.rows["source_id"])]

    @cached_property
    def arm_of_subject(self) -> npt.NDArray[np.int8]:
        """Position of each subject's arm in the layout; one past the last for none."""
        layout = self._view.layout
        return np.array(
            [layout.arms.index(layout.arm_of[n]) if n in layout.arm_of else len(layout.arms) for n in self.names],
            dtype=np.int8,
        )

    @cached_property
    def bases(self) -> dict[str, dict[str, int]]:
        """Doses with a delivered amount by arm and basis ("not stated" where the source says none)."""
        bases = [*categories(self.rows["delivered_basis"]), "not stated"]
        arms = self._view.layout.arms
        counted = self.is_dose & self.rows["delivered_amount"].is_not_null().to_numpy()
        code = codes(self.rows["delivered_basis"])[counted]
        code = np.where(code < 0, len(bases) - 1, code)
        arm = self.arm_of_subject[self.subject[counted]].astype(np.int32)
        tally = np.bincount(arm * len(bases) + code, minlength=(len(arms) + 1) * len(bases)).reshape(-1, len(bases))
        found = {
            arm: {basis: int(n) for basis, n in zip(bases, counts, strict=True) if n}
            for arm, counts in zip([*arms, ""], tally, strict=True)
        }
        found[ALL_ARMS] = {basis: int(n) for basis, n in zip(bases, tally.sum(axis=0), strict=True) if n}
        return found

    @cached_property
    def outside(self) -> dict[str, int]:
        """Doses outside every treatment period, by subject."""
        out = self.rows["in_period"].eq(False).fill_null(False).to_numpy() & self.is_dose
        tally = np.bincount(self.subject[out], minlength=len(self.names)).tolist()
        return {name: n for name, n in zip(self.names, tally, strict=True) if n}

    def floats(self, name: str) -> Floats:
        """Amounts as floats, NaN where not reported."""
        return self.rows[name].cast(pl.Float64).fill_null(math.nan).to_numpy()


def matched_rows(view: StudyView) -> DoseRows | None:
    """Doses of table dose_match (with or without a plan); None where the table has none."""
    rows = view.frames(
        "dose_match",
        [
            "subject_id", "period_order", "in_period", "drug", "channel", "planned_amount", "programmed_amount",
            "delivered_amount", "delivered_basis", "source_id", "line",
        ],
    )  # fmt: skip
    is_dose = rows["source_id"].is_not_null().to_numpy()
    return DoseRows(view, rows, is_dose) if bool(is_dose.any()) else None


def logged_rows(view: StudyView) -> DoseRows | None:
    """Given doses straight from the log, with the amounts their own records state; None without any."""
    log = view.log
    if not log.height:
        return None
    rows = log.events.select(
        "subject_id", "drug", "channel", "planned_amount", "programmed_amount", "delivered_amount",
        "delivered_basis", "source_id", "line",
        period_order=pl.lit(None, dtype=pl.Int32), in_period=pl.lit(None, dtype=pl.Boolean),
    )  # fmt: skip
    return DoseRows(view, rows, log.given & ~log.cancelled)


def compare(view: StudyView, pair: DosePair, doses: DoseRows | None) -> Compared | None:
    """Compare a pair's amounts dose by dose; None where no dose can have both."""
    if doses is None:
        return None
    rows = doses.rows
    if any(rows[name].null_count() == rows.height for name in (pair.compared, pair.reference)):
        return None
    strata, stratum = doses.strata
    formats, source = doses.formats
    basis = rows["delivered_basis"]
    everything = np.ones(rows.height, dtype=np.bool_)
    of_delivery = pair.compared == "delivered_amount"
    pairs = Pairs(
        subject=doses.subject,
        period=rows["period_order"].cast(pl.Int32).fill_null(-1).to_numpy(),
        stratum=stratum,
        source=source,
        compared=doses.floats(pair.compared),
        reference=doses.floats(pair.reference),
        is_dose=doses.is_dose,
        comparable=~among(basis, ["inferred_equal", "none"]) if of_delivery else everything,
        measurable=among(basis, ADMISSIBLE_BASES) | basis.is_null().to_numpy() if of_delivery else everything,
    )
    accuracy = view.protocol.accuracy
    cells, errors = count_cells(pairs, accuracy.conformity_pct, accuracy.within_pct)
    return Compared(
        subjects=doses.names,
        arm_of_subject=doses.arm_of_subject,
        periods=period_labels(view),
        strata=strata,
        formats=formats,
        cells=cells,
        errors=errors,
        bases=doses.bases,
        outside=doses.outside,
        excluded=0 if pair.from_plan else int((view.log.given & view.log.cancelled).sum()),
    )


def period_labels(view: StudyView) -> dict[tuple[str, int], str]:
    """Label of each arm's period by order; of all arms together only where every arm with it calls it the same."""
    labels = dict[tuple[str, int], str]()
    shared: dict[int, set[str]] = {}
    rows = view.frames("treatment_period", ["arm_code", "period_order", "period"]).unique().sort(pl.all())
    for arm, order, label in rows.iter_rows():
        labels[arm, order] = label
        shared.setdefault(order, set()).add(label)
    return labels | {(ALL_ARMS, order): names.pop() for order, names in shared.items() if len(names) == 1}
