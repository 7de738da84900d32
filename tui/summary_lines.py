"""Which figures the summary prints, in which order and in whose words; every number is a row of the table
`result`.

An overview shows the lines marked `overview`; a family asked for by name shows all of its lines and, after
them, parameters that no line here names. Everything else is a row of `summary --json`, of an export and of
`result` in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Result = dict[str, Any]
POOLED = "ALL"

DIFFERENCES = ("risk_difference", "mean_difference", "rate_difference", "difference")


@dataclass(frozen=True)
class Wanted:
    """One figure of the summary: which rows it is made of, and how they are written."""

    label: str
    parameter: str
    write: Callable[[Cell], str]
    by: str | None = None
    by_value: str | None = None
    overview: bool = True
    compared: bool = False
    """With its interval and its difference to the reference arm on lines of their own."""

    @property
    def name(self) -> str:
        """The figure in a sentence."""
        return self.label.partition(":")[0].strip()


@dataclass
class Cell:
    """All statistics of one figure in one arm."""

    rows: dict[str, Result] = field(default_factory=dict)
    """Statistic -> row."""
    differences: dict[str, Result] = field(default_factory=dict)
    """Comparator -> row."""

    def value(self, statistic: str) -> float | None:
        row = self.rows.get(statistic)
        return None if row is None else row["value"]

    @property
    def main(self) -> Result | None:
        """The figure itself: a share, an incidence, a count, a rate."""
        return next(
            (
                self.rows[name]
                for name in ("share", "ratio", "incidence", "rate", "count", "events")
                if name in self.rows
            ),
            None,
        )


Key = tuple[str, str | None, str | None, str | None, str | None]
"""parameter, by, by_value, period, term."""


def gather(rows: Iterable[Result]) -> dict[Key, dict[str, Cell]]:
    """Figure -> arm -> cell, in stored order; other estimands than the main one are left to --json."""
    figures: dict[Key, dict[str, Cell]] = {}
    for row in rows:
        if row["estimand"]:
            continue
        by, by_value = row["by"], row["by_value"]
        if row["parameter"] == "population":
            by, by_value = "population", row["population"].replace("_", " ")
        key = (row["parameter"], by, by_value, row["period"], row["term"] or row["soc"])
        cell = figures.setdefault(key, {}).setdefault(row["arm"] or POOLED, Cell())
        if row["comparator"] is None:
            cell.rows.setdefault(row["statistic"], row)
        elif row["statistic"] in DIFFERENCES:
            cell.differences.setdefault(row["comparator"], row)
    return figures


def share(cell: Cell) -> str:
    """`677/684 99.0%`"""
    row = cell.main
    if row is None or row["denominator"] is None:
        return ""
    counts = f"{row['numerator']:,.6g}/{row['denominator']:,.6g}"
    return f"{counts} {percent(row['value'])}" if row["value"] is not None else counts


def ratio(cell: Cell) -> str:
    """`2.5/3 0.833`: an amount over another, which may exceed it."""
    row = cell.rows.get("ratio")
    if row is None or row["value"] is None:
        return ""
    return f"{row['numerator']:,.6g}/{row['denominator']:,.6g} {plain(row['value'])}"


def share_and_events(cell: Cell) -> str:
    """`3/5 60.0% [4]`"""
    events = cell.value("events")
    return share(cell) + (f" [{events:,.0f}]" if events is not None else "")


def count(cell: Cell) -> str:
    row = cell.main
    return "" if row is None or row["value"] is None else f"{row['value']:,.0f}"


def events(cell: Cell) -> str:
    found = cell.value("events")
    return "" if found is None else f"{found:,.0f}"


def number(statistic: str) -> Callable[[Cell], str]:
    def write(cell: Cell) -> str:
        found = cell.value(statistic)
        return "" if found is None else plain(found)

    return write


def curve(statistic: str, scale: float) -> Callable[[Cell], str]:
    """A curve read at one day; its limits stand in the table `result`."""

    def write(cell: Cell) -> str:
        found = cell.value(statistic)
        return "" if found is None else f"{scale * found:.3g}"

    return write


def mean_and_sd(cell: Cell) -> str:
    """`69.6 (36.0)`"""
    mean, sd = cell.value("mean"), cell.value("sd")
    return "" if mean is None else f"{plain(mean)} ({plain(sd)})" if sd is not None else plain(mean)


def median_and_range(cell: Cell) -> str:
    """`58 (43 to 133)`"""
    median, low, high = (cell.value(name) for name in ("median", "min", "max"))
    return "" if median is None else f"{plain(median)} ({plain(low)} to {plain(high)})"


def signed_percent(statistic: str) -> Callable[[Cell], str]:
    """A value whose unit is % already, with its interval."""

    def write(cell: Cell) -> str:
        row = cell.rows.get(statistic)
        if row is None or row["value"] is None:
            return ""
        return f"{row['value']:+.1f}%" if statistic.startswith("bias") else f"{row['value']:.1f}%"

    return write


def percent(fraction: float | None) -> str:
    """`99.0%`; 100 and 0 without decimals, and nothing short of all is printed as 100."""
    if fraction is None:
        return ""
    if fraction in (0, 1):
        return f"{100 * fraction:.0f}%"
    return f"{min(max(100 * fraction, 0.1), 99.9):.1f}%"


def points(fraction: float | None) -> str:
    """A share, a difference of shares or a limit of either, times 100, without a sign of unit."""
    if fraction is None:
        return "-"
    return f"{100 * fraction:.0f}" if fraction in (-1, 0, 1) else f"{round(100 * fraction, 1) + 0.0:.1f}"


def plain(value: float | None) -> str:
    """Whole numbers whole, others with four digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


ENROLMENT = (
    Wanted("screened", "screened", count),
    Wanted("screen failures", "screen_failures", count),
    Wanted("randomised", "randomised", count),
    Wanted("treated", "treated", count),
    Wanted("initiated of enrolled", "initiation", share, overview=False),
    Wanted("  days to it: median", "time_to_initiation", number("median"), overview=False),
    Wanted("completed", "disposition", share, by="study participation", by_value="COMPLETED"),
    Wanted("died", "died", count),
    Wanted("ongoing", "ongoing", count),
    Wanted("age, years: mean (sd)", "age", mean_and_sd, overview=False),
    Wanted("  median (range)", "age", median_and_range, overview=False),
)
EXPOSURE = (
    Wanted("days treated: mean (sd)", "treatment_duration", mean_and_sd),
    Wanted("  median (range)", "treatment_duration", median_and_range, overview=False),
    Wanted("person-years", "person_time", number("sum")),
    Wanted("doses: mean (sd)", "number_of_doses", mean_and_sd, overview=False),
    Wanted("  median (range)", "number_of_doses", median_and_range, overview=False),
    Wanted("daily dose: mean (sd)", "average_daily_dose", mean_and_sd),
    Wanted("total dose: mean (sd)", "cumulative_dose", mean_and_sd, overview=False),
    Wanted("dose intensity: mean %", "dose_intensity", number("mean")),
)
ACCURACY = (
    Wanted("delivered as planned", "dose_conformity", share, compared=True),
    Wanted("  without alarms", "dose_conformity", share, by="alarm", by_value="without alarm", overview=False),
    Wanted("delivered as programmed", "delivery_conformity", share, compared=True),
    Wanted("  without alarms", "delivery_conformity", share, by="alarm", by_value="without alarm", overview=False),
    Wanted("programmed as planned", "programming_conformity", share, compared=True),
    Wanted("mean error", "percent_error", signed_percent("bias"), overview=False),
    Wanted("mean absolute error", "percent_error", signed_percent("mape"), overview=False),
    Wanted("error at most 5 %", "percent_error", share, by="within", by_value="5 %", overview=False),
    Wanted("error at most 10 %", "percent_error", share, by="within", by_value="10 %", overview=False),
    Wanted("error at most 15 %", "percent_error", share, by="within", by_value="15 %", overview=False),
    Wanted("assessable doses", "assessable", share),
    Wanted("outside every period", "dose_outside_treatment_element", count, overview=False),
)
COMPLIANCE = (
    Wanted("on treatment", "compliance_on_treatment", share, compared=True),
    Wanted("as recorded", "recorded_compliance", share, compared=True),
    Wanted("without held doses", "compliance_excl_holds", share),
    Wanted("first to last dose", "implementation", share, overview=False),
    Wanted("of all planned", "compliance_planned", share),
    Wanted("days, at least expected", "days_at_least_expected", share, overview=False),
    Wanted("days, exactly expected", "days_exact", share, overview=False),
    Wanted("compliant subjects", "compliant_subjects", share),
    Wanted("missed doses", "missed_doses", count),
    Wanted("late doses", "late_doses", count, overview=False),
    Wanted("extra doses", "extra_doses", count, overview=False),
    Wanted("held doses", "held_doses", count, overview=False),
    Wanted("unmonitored doses", "unmonitored_doses", share, overview=False),
    Wanted("with a drug holiday", "subjects_with_drug_holiday", share, overview=False),
    Wanted("persistent, %", "persistent", curve("kaplan_meier", 100.0), overview=False, compared=True),
    Wanted("median persistence, d", "persistence", number("median"), overview=False),
    Wanted("PDC: mean", "pdc", number("mean_of_subjects"), overview=False),
    Wanted("MPR: mean", "mpr", number("mean_of_subjects"), overview=False),
    *(Wanted(f"CMA{n}: mean", f"cma{n}", number("mean_of_subjects"), overview=False) for n in range(1, 10)),
    Wanted("therapeutic coverage", "therapeutic_coverage", number("mean_of_subjects"), overview=False),
)
DEVICE_ACCURACY = (
    Wanted("bolus error, %: mean (sd)", "bolus_error_pct", mean_and_sd),
    Wanted("small bolus error, steps", "small_bolus_error_steps", mean_and_sd),
    Wanted("basal hours assessable", "basal_hours_assessable", share),
    Wanted("basal hours as programmed", "basal_hour_conformity", share),
    Wanted("basal hour error, %", "basal_hour_error_pct", mean_and_sd),
    Wanted("hourly error to command, %", "commanded_hour_error_pct", mean_and_sd),
    Wanted("daily error to command, %", "commanded_day_error_pct", mean_and_sd),
    Wanted("time in range", "time_in_range", share),
    Wanted("session volume error, %", "session_volume_error_pct", mean_and_sd),
    Wanted("released by assay", "released_amount_by_assay", mean_and_sd),
    Wanted("release interval error, h", "release_interval_error_h", mean_and_sd),
    Wanted("release interval error, %", "release_interval_error_pct", mean_and_sd),
    Wanted("both channels conforming", "both_channels_conforming", share),
    Wanted("advice within bounds", "recommendations_within_bounds", share),
    Wanted("used/logged volume: mean", "reservoir_ratio", mean_and_sd),
    Wanted("intervals assessable", "reservoir_intervals_assessable", share),
    Wanted("administered error, %", "administered_error_pct", mean_and_sd),
    Wanted("witnessed detected", "detection_sensitivity", share),
    Wanted("detection latency, s", "detection_latency_s", median_and_range),
    Wanted("false detections/day", "false_detections_per_day", ratio),
    Wanted("infused volume error, %", "infused_volume_error_pct", mean_and_sd),
    Wanted("rate as ordered", "rate_as_ordered", share),
    Wanted("segments with an order", "segments_with_order", share),
)
DEVICE_COMPLIANCE = (
    Wanted("hours worn", "wear_share", share),
    Wanted("basal given/programmed", "basal_delivered", ratio),
    Wanted("boluses per day", "boluses_per_day", ratio),
    Wanted("algorithm active", "algorithm_active_share", share),
    Wanted("sensor coverage", "sensor_coverage", share),
    Wanted("sessions complete", "sessions_complete", share),
    Wanted("sessions with end record", "sessions_with_end_record", share),
    Wanted("hours with a patch on", "wear_hours", share),
    Wanted("replaced in window", "replaced_in_window", share),
    Wanted("releases done", "releases_done", share),
    Wanted("releases with telemetry", "releases_with_telemetry", share),
    Wanted("both channels done", "both_channels_done", share),
    Wanted("decisions recorded", "decisions_recorded", share),
    Wanted("advice accepted", "recommendations_accepted", share),
    Wanted("advice overridden", "recommendations_overridden", share),
    Wanted("advice expired", "recommendations_expired", share),
    Wanted("accepted in time", "accepted_in_time", share),
    Wanted("refills in time", "refills_in_time", share),
    Wanted("readministered in window", "readministered_in_window", share),
    Wanted("nominal coverage (model)", "nominal_coverage", share),
    Wanted("detected of planned", "detected_planned", share),
    Wanted("  corrected", "detected_planned_corrected", share),
    Wanted("receiver worn", "receiver_worn", share),
    Wanted("order fulfilment", "order_fulfilment", ratio),
)
"""Measures single device classes have of their own (analysis.device_measures)."""

ADVERSE_EVENTS = (
    Wanted("any event", "teae", share, compared=True),
    Wanted("events", "teae", events),
    Wanted("serious", "teae", share_and_events, by="seriousness", by_value="serious"),
    Wanted(
        "serious by outcome", "teae", share_and_events, by="seriousness", by_value="serious_by_outcome", overview=False
    ),
    Wanted("related", "teae", share_and_events, by="relation", by_value="related"),
    Wanted(
        "relation not assessable", "teae", share_and_events, by="relation", by_value="not assessable", overview=False
    ),
    Wanted("mild", "teae", share_and_events, by="severity", by_value="MILD", overview=False),
    Wanted("moderate", "teae", share_and_events, by="severity", by_value="MODERATE", overview=False),
    Wanted("severe", "teae", share_and_events, by="severity", by_value="SEVERE"),
    Wanted("fatal", "teae", share_and_events, by="outcome", by_value="fatal"),
    Wanted("first events/100 years", "eair", number("rate"), overview=False, compared=True),
    Wanted("events/100 years", "eaer", number("rate"), overview=False, compared=True),
    Wanted("device effect (ADE)", "teae", share_and_events, by="ISO 14155", by_value="ADE", overview=False),
    Wanted("  serious (SADE)", "teae", share_and_events, by="ISO 14155", by_value="SADE", overview=False),
    Wanted("  unanticipated (USADE)", "teae", share_and_events, by="ISO 14155", by_value="USADE", overview=False),
    Wanted(
        "  relation not stated",
        "teae",
        share_and_events,
        by="ISO 14155",
        by_value="device relation not assessable",
        overview=False,
    ),
    Wanted("devices with deficiency", "device_deficiency", share, overview=False),
    Wanted("without an event, %", "event_free", curve("kaplan_meier", 100.0), overview=False, compared=True),
    Wanted(
        "first event, % (deaths apart)",
        "first_event_incidence",
        curve("aalen_johansen", 100.0),
        overview=False,
        compared=True,
    ),
    Wanted(
        "events per subject",
        "mean_events_per_subject",
        curve("mean_cumulative_function", 1.0),
        overview=False,
        compared=True,
    ),
)

BREAKDOWN = (
    Wanted("delivered as planned", "dose_conformity", share, compared=True),
    Wanted("delivered as programmed", "delivery_conformity", share, compared=True),
    Wanted("programmed as planned", "programming_conformity", share, compared=True),
    Wanted("mean error", "percent_error", signed_percent("bias")),
    Wanted("mean error, pooled", "percent_error", signed_percent("bias_pooled")),
    Wanted("mean absolute error", "percent_error", signed_percent("mape")),
    Wanted("assessable doses", "assessable", share),
)
"""Lines under each value of a breakdown that was asked for."""

ON_REQUEST = (
    "device_class",
    "model",
    "firmware",
    "lot",
    "algorithm_version",
    "wear_month",
    "dose_size",
    "alarm",
    "week",
)
"""Breakdowns printed only when asked for by name (--by); doses without alarm also stand beside all doses."""

FAMILIES: dict[str, tuple[str, str, tuple[Wanted, ...]]] = {
    "enrolment": ("ENROLMENT", "subjects", ENROLMENT),
    "exposure": ("EXPOSURE", "", EXPOSURE),
    "accuracy": ("DOSE ACCURACY", "doses", (*ACCURACY, *DEVICE_ACCURACY)),
    "compliance": ("COMPLIANCE", "doses taken/expected", (*COMPLIANCE, *DEVICE_COMPLIANCE)),
    "adverse_events": ("ADVERSE EVENTS", "subjects [events]", ADVERSE_EVENTS),
}
"""Name in the table -> title, what is counted, and lines, in the order of printing."""
