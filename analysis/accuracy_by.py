"""Dose accuracy broken down by device class, model, firmware, lot, algorithm, month of wear, dose size and alarms,
with what clustering in subjects does to it: variance between and within subjects, limits of agreement, bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from analysis.accuracy_cells import CELL_COUNTS, CELL_KEYS
from analysis.arms import StudyView
from analysis.clustered import cluster_bootstrap, mean_interval, variance_components_of_moments
from analysis.dose_accuracy import basis_label, waiting_arms
from analysis.dose_log import among
from analysis.dose_pairs import PAIRS, DosePair
from analysis.dose_traits import BREAKDOWNS, alarm_on_dose
from analysis.result_rows import LEVEL, ResultRows, result_rows
from analysis.tolerance import k_two_sided

BOOTSTRAP_SEED = 20_240_229
"""Seed of every bootstrap of a study; stands in the method of each figure."""

RESAMPLES = 2000
FEW_SUBJECTS = 10

INCLUSION = {
    "cancelled": "stopped by the user part-way: out of delivered against programmed, amount kept for exposure",
    "not_started": "nothing was delivered, or voided: no dose",
    "partial": "ended early for another reason: in",
    "extended": "given over time: the total counts, in",
    "primed": "prime, fill, air shot or test: out of accuracy and exposure",
    "excluded_other": "entered by hand, aggregate, before enrolment, after the end or another subject's: out",
    "alarmed": "alarm on the entry or stopped by a fault: in; by = alarm shows the doses apart, those during an alarm "
    "of the device too",
    "uncertain": "time uncertain: in, out of timing",
    "unmatched_delivery": "delivered without a programmed amount: not assessable against it",
    "delivery_unknown": "programmed without a delivered amount: not assessable, never zero",
}
"""Rule -> what it does; columns of view dose_inclusion, counted under every table of accuracy."""


def compute_accuracy_by(view: StudyView) -> ResultRows:
    """Rows of analysis ``accuracy`` for each breakdown (populations safety and accuracy_evaluable), and, for each pair
    of amounts over all doses, variance components, limits of agreement, a tolerance interval and bootstrap limits.
    """
    out = result_rows("accuracy", "safety", view.cut)
    for pair in PAIRS:
        parts = view.counts.pairs[pair.name].breakdowns
        if not parts:
            continue
        cells = pl.concat(parts).filter(pl.col("doses") > 0)
        if not cells["assessable"].sum():
            continue
        named = out.within(dose_pair=pair.name)
        for population in ("safety", "accuracy_evaluable"):
            members = view.members(population)
            own = cells.filter(pl.col("subject_id").is_in(sorted(members)))
            for by in BREAKDOWNS:
                # A breakdown nobody states is none; a class of device is always known or a line of its own.
                if own[by].null_count() < own.height:
                    _breakdown(named.within(population=population, by=by), view, pair, own, by)
        _clustering(named.within(population="accuracy_evaluable"), view, pair, cells)
    _inclusion(out, view)
    return out


def _lines(
    view: StudyView, members: frozenset[str], cells: pl.DataFrame, keys: list[str]
) -> Iterator[tuple[dict[str, str | None], str, pl.DataFrame]]:
    """(key, arm, one row per subject) in fixed order: keys sorted, arms as laid out, subjects by name."""
    totals = [pl.col(name).sum() for name in cells.columns if name not in CELL_KEYS]
    groups = [(arm, pl.Series(people, dtype=pl.String).implode()) for arm, people in view.layout.groups(members)]
    summed = (
        cells.sort(CELL_KEYS, nulls_last=True)
        .group_by([*keys, "subject_id"], maintain_order=True)
        .agg(totals)
        .sort([*keys, "subject_id"], nulls_last=True)
    )
    for key, rows in summed.group_by(keys, maintain_order=True):
        for arm, people in groups:
            own = rows.filter(pl.col("subject_id").is_in(people))
            if own["doses"].sum():
                yield dict(zip(keys, key, strict=True)), arm, own


def _breakdown(out: ResultRows, view: StudyView, pair: DosePair, cells: pl.DataFrame, by: str) -> None:
    members = view.members(str(out.shared["population"]))
    limit = view.protocol.accuracy.conformity_pct
    rule = f"by {BREAKDOWNS[by]}; within {limit:g} % of {pair.name.split('/')[1]}, inclusive"
    keys = ["drug", "channel", "device_class", *([by] if by != "device_class" else [])]
    lines = sorted(_lines(view, members, cells, keys), key=lambda line: _order(line[0], by))
    waiting = _waiting(view, pair, members)
    for key, arm, rows in lines:
        if arm in waiting:
            continue
        value = key[by] if by == "device_class" else key.pop(by)
        line = out.within(**key, by_value=value or "not stated", arm=arm)
        label = basis_label(pair, view.counts.pairs[pair.name], arm)
        doses, assessable, conforming, errors = (int(rows[name].sum()) for name in CELL_COUNTS)
        assessed = rows.filter(pl.col("assessable") > 0)
        line.share(
            "assessable", assessable, doses, subjects=rows.height, doses=doses,
            method=f"doses with both amounts of {pair.name} / doses given",
        )  # fmt: skip
        if not assessable:
            continue
        line.share(
            pair.parameter, conforming, assessable, subjects=assessed.height, doses=assessable,
            method=f"{label}; {rule}; pooled over doses",
        )  # fmt: skip
        shares = (assessed["conforming"] / assessed["assessable"]).to_list()
        line.interval(
            pair.parameter, "mean_of_subjects", mean_interval(shares), subjects=len(shares), doses=assessable, unit="1",
            numerator=math.fsum(shares), denominator=len(shares),
            method=f"{label}; {rule}; mean of subject shares, t interval",
        )  # fmt: skip
        counted = rows.filter(pl.col("errors") > 0)
        for statistic, name in (("bias", "sum_error"), ("mape", "sum_absolute")) if errors else ():
            means = (counted[name] / counted["errors"]).to_list()
            line.interval(
                "percent_error", statistic, mean_interval(means), subjects=len(means), doses=errors, unit="%",
                numerator=math.fsum(means), denominator=len(means),
                method=f"{label}; mean of subject means, t interval",
            )  # fmt: skip
            pooled = math.fsum(counted[name].to_list())
            line.add(
                "percent_error", f"{statistic}_pooled", pooled / errors, subjects=len(means), doses=errors, unit="%",
                numerator=pooled, denominator=errors, method=f"{label}; pooled over doses",
            )  # fmt: skip


def _waiting(view: StudyView, pair: DosePair, members: frozenset[str]) -> set[str]:
    """Arms whose plan waits for a line of the protocol."""
    in_records = view.counts.pairs[pair.name].plan_in_records
    return waiting_arms(view, members) if pair.from_plan and not in_records else set()


def _order(key: dict[str, str | None], by: str) -> tuple[object, ...]:
    """Months and sizes in their order, other values in the alphabet's; not stated last."""
    value = key[by]
    head = (value or "").split(" ")[0]
    number = float(head) if by in ("wear_month", "dose_size") and head.replace(".", "", 1).isdigit() else math.inf
    if by == "dose_size" and head == "below":
        number = 0.0
    series = (key["drug"] or "", key["channel"] or "", key["device_class"] or "")
    return *series, value is None, number, value or ""


def _clustering(out: ResultRows, view: StudyView, pair: DosePair, cells: pl.DataFrame) -> None:
    members = view.members("accuracy_evaluable")
    keys = ["drug", "channel", "device_class"]
    waiting = _waiting(view, pair, members)
    for key, arm, rows in _lines(view, members, cells, keys):
        line = out.within(**key, arm=arm)
        assessed = rows.filter(pl.col("assessable") > 0)
        if not assessed.height or arm in waiting:
            continue
        found = cluster_bootstrap(
            assessed["conforming"].to_list(), assessed["assessable"].to_list(), BOOTSTRAP_SEED, LEVEL, RESAMPLES
        )
        label = basis_label(pair, view.counts.pairs[pair.name], arm)
        few = f"; fewer than {FEW_SUBJECTS} subjects: too narrow" if assessed.height < FEW_SUBJECTS else ""
        line.interval(
            pair.parameter, "share_bootstrap", found, unit="1", subjects=assessed.height,
            numerator=int(assessed["conforming"].sum()), denominator=int(assessed["assessable"].sum()),
            method=f"{label}; pooled share; percentile interval, {RESAMPLES} resamples of subjects, "
            f"seed {BOOTSTRAP_SEED}{few}",
        )  # fmt: skip
        _agreement(line, rows.filter(pl.col("errors") > 0), label)


def _agreement(out: ResultRows, rows: pl.DataFrame, label: str) -> None:
    """Spread of percent errors: between and within subjects, limits of agreement, tolerance interval."""
    if not rows.height:
        return
    counts = rows["errors"].to_list()
    means = (rows["sum_error"] / rows["errors"]).to_list()
    squares = (rows["sum_squares"] - rows["sum_error"] ** 2 / rows["errors"]).clip(lower_bound=0.0).to_list()
    parts = variance_components_of_moments(counts, means, math.fsum(squares))
    out = out.within(subjects=len(counts), doses=parts.n, unit="%")
    between = None if parts.between is None else math.sqrt(parts.between)
    within = None if parts.within is None else math.sqrt(parts.within)
    out.add(
        "percent_error", "sd_between_subjects", between, method=f"{label}; analysis of variance, one-way random effects"
    )
    out.add(
        "percent_error", "sd_within_subjects", within, method=f"{label}; analysis of variance, one-way random effects"
    )
    if parts.mean is None or parts.total_sd is None:
        return
    half = 1.96 * parts.total_sd
    out.add(
        "percent_error", "limits_of_agreement", parts.mean, lower=parts.mean - half, upper=parts.mean + half,
        level=0.95,
        method=f"{label}; Bland-Altman with repeated doses: pooled mean +- 1.96 x square root of both variances",
    )  # fmt: skip
    effective = _effective_size(parts.between or 0.0, parts.within or 0.0, parts.sum_of_squared_shares, parts.n)
    k = k_two_sided(effective, 0.975, 0.95) if effective >= 2 else None
    if k is not None:
        spread = k * parts.total_sd
        out.add(
            "percent_error", "tolerance_interval", parts.mean, lower=parts.mean - spread, upper=parts.mean + spread,
            level=0.95, denominator=effective,
            method=f"{label}; holds 97.5 % of doses with 95 % confidence if normal; doses of a subject are not "
            "independent: both variances, number of doses reduced to the effective one (denominator)",
        )  # fmt: skip


def _effective_size(between: float, within: float, squared_shares: float, n: int) -> int:
    """Independent doses with the same variance of the mean, at most n and rounded down."""
    total = between + within
    if total == 0.0:
        return n
    variance = between * squared_shares + within / n
    return max(1, min(n, math.floor(total / variance)))


def inclusion_counts(view: StudyView) -> pl.DataFrame:
    """Entries of the dose log under each rule of INCLUSION, by subject and drug: subject_id, drug, entries, rules."""
    log = view.log
    events = log.events
    given = pl.Series(log.given)
    programmed, delivered = events["programmed_amount"].is_not_null(), events["delivered_amount"].is_not_null()
    prime = pl.Series(among(events["kind"], ["prime"]))
    prime |= pl.Series(among(events["exclude_reason"], ["prime", "air_shot", "fill", "test"]))
    nothing = pl.Series(among(events["status"], ["voided", "none_delivered"]))
    flags = {
        "cancelled": given & pl.Series(log.cancelled),
        "not_started": nothing & ~prime,
        "partial": given & pl.Series(among(events["status"], ["partial"]) & ~log.cancelled),
        "extended": given & pl.Series(among(events["shape"], ["extended", "dual_now", "dual_later"])),
        "primed": prime,
        "excluded_other": events["exclude_reason"].is_not_null() & ~prime & ~nothing,
        "alarmed": given & pl.Series(alarm_on_dose(log)),
        "uncertain": given & events["time_uncertain"].fill_null(False),
        "unmatched_delivery": given & delivered & ~programmed,
        "delivery_unknown": given & programmed & ~delivered,
    }
    # Grouped by what the log holds, a number for each name: as text the names alone were 200 MB of 7,000,000 entries.
    counted = (
        events.select("subject_id", "drug", *(series.alias(name) for name, series in flags.items()))
        .group_by("subject_id", "drug")
        .agg(pl.len().cast(pl.Int64).alias("entries"), *(pl.col(name).sum().cast(pl.Int64) for name in flags))
    )
    return counted.with_columns(pl.col("subject_id", "drug").cast(pl.String)).sort(
        "subject_id", "drug", nulls_last=True
    )


def _inclusion(out: ResultRows, view: StudyView) -> None:
    members = view.members("safety")
    counted = inclusion_counts(view).filter(pl.col("subject_id").is_in(sorted(members)))
    for drug in counted["drug"].unique().sort(nulls_last=True).to_list():
        of_drug = counted.filter(pl.col("drug").eq_missing(drug))
        for arm, people in view.layout.groups(members):
            own = of_drug.filter(pl.col("subject_id").is_in(people))
            entries = int(own["entries"].sum())
            for rule, words in INCLUSION.items() if entries else ():
                out.count(
                    "dose_entries", int(own[rule].sum()), entries, arm=arm, drug=drug, by="inclusion", by_value=rule,
                    subjects=own.height, doses=entries, method=f"entries of the dose log: {words}",
                )  # fmt: skip
