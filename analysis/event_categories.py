"""ISO 14155 categories of events by the protocol's rule, device deficiencies, and shifts of severity grade."""

from __future__ import annotations

import polars as pl

from analysis.arms import StudyView
from analysis.proportions import clopper_pearson
from analysis.result_rows import ALL_ARMS, ResultRows
from analysis.teae import Event

ADE, SADE, USADE, ASADE = "ADE", "SADE", "USADE", "ASADE"
NOT_ASSESSABLE = "device relation not assessable"
NO_RULE = "not assessable: protocol.toml does not state [adverse_events] device_related"
NO_ANTICIPATED = "not assessable: protocol.toml does not state [adverse_events] anticipated"


def device_related(view: StudyView, event: Event) -> bool | None:
    """Whether the recorded relation is one of the protocol's device_related values; None where nothing is recorded."""
    values = {value.strip().upper() for value in view.protocol.adverse_events.device_related}
    recorded = (event.device_relation or "").strip().upper()
    return recorded in values if recorded and values else None


def compute_event_categories(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str]) -> None:
    """Add to ``out``, by arm: subjects and events that are ADE, SADE, USADE and ASADE, those whose relation to the
    device is not recorded, devices with a deficiency, and shifts from the grade before treatment to the worst after.

    ADE: related to the device; SADE: an ADE that is serious; ASADE and USADE: a SADE whose term the protocol lists
    as anticipated, or not.
    """
    rule = view.protocol.adverse_events
    known = {value.strip().casefold() for value in rule.anticipated}
    if events and not rule.device_related:
        out.not_assessable("adverse_device_effects", NO_RULE, statistic="incidence", by="ISO 14155", by_value=ADE)
    elif events:
        related = [event for event in events if device_related(view, event)]
        serious = [event for event in related if event.serious]
        kinds = {
            ADE: (related, f"relation to the device among {', '.join(rule.device_related)}"),
            SADE: (serious, "ADE recorded as serious"),
            NOT_ASSESSABLE: (
                [event for event in events if device_related(view, event) is None], "no relation recorded"
            ),
        }  # fmt: skip
        if known:
            listed = [event for event in serious if event.term.strip().casefold() in known]
            kinds[ASADE] = (listed, "SADE with a term the protocol lists as anticipated")
            kinds[USADE] = ([e for e in serious if e not in listed], "SADE with a term it does not list")
        else:
            out.not_assessable(
                "unanticipated_device_effects", NO_ANTICIPATED, statistic="incidence", by="ISO 14155", by_value=USADE
            )
        for kind, (chosen, words) in kinds.items():
            _incidence(out.within(by="ISO 14155", by_value=kind), view, chosen, members, f"treatment-emergent; {words}")
    _deficiencies(out, view, members)
    _grade_shift(out, view, members)


def _incidence(out: ResultRows, view: StudyView, events: list[Event], members: frozenset[str], method: str) -> None:
    for arm, people in view.layout.groups(members):
        own = [event for event in events if event.subject_id in set(people)]
        x = len({event.subject_id for event in own})
        out.share(
            "teae", x, len(people), statistic="incidence", interval=clopper_pearson(x, len(people)), arm=arm,
            subjects=x, method=f"{method}; Clopper-Pearson",
        )  # fmt: skip
        out.add(
            "teae", "events", len(own), arm=arm, subjects=x, numerator=len(own), denominator=len(people), method=method
        )


def _deficiencies(out: ResultRows, view: StudyView, members: frozenset[str]) -> None:
    """Devices with a deficiency of devices assigned, counted per device, and deficiencies that could have harmed."""
    found = view.frames("device_deficiency", ["device_id", "subject_id", "could_have_harmed"])
    if not found.height:
        return
    assigned = view.frames("device_assignment", ["device_id", "subject_id"]).unique()
    holders: dict[str, set[str]] = {}
    for device, subject in assigned.sort("device_id", "subject_id").iter_rows():
        holders.setdefault(device, set()).add(subject)
    for row in found.sort("device_id", "subject_id", nulls_last=True).iter_rows(named=True):
        if row["subject_id"] is not None:
            holders.setdefault(row["device_id"], set()).add(row["subject_id"])
    for arm, people in view.layout.groups(members):
        wanted = set(people)
        devices = {device for device, subjects in holders.items() if subjects & wanted}
        if arm == ALL_ARMS:
            devices |= set(found["device_id"].to_list())
        own = found.filter(pl.col("device_id").is_in(sorted(devices)))
        out.share(
            "device_deficiency", own["device_id"].n_unique(), len(devices), arm=arm, subjects=len(people),
            method="devices with a deficiency / devices subjects of the arm had; per device, with or without an event",
        )  # fmt: skip
        out.count("deficiencies", own.height, len(devices), arm=arm, subjects=len(people), method="deficiencies")
        out.count(
            "deficiencies_could_have_harmed", int(own["could_have_harmed"].fill_null(False).sum()), own.height,
            arm=arm, subjects=len(people), method="deficiencies that might have led to a serious event",
        )  # fmt: skip


def _grade_shift(out: ResultRows, view: StudyView, members: frozenset[str]) -> None:
    """Subjects by worst grade of events begun before treatment and worst grade of emergent ones, over all terms."""
    graded = (
        view.frames("adverse_event", ["subject_id", "event_seq", "grade"])
        .with_columns(grade=pl.col("grade").str.extract(r"([1-5])").cast(pl.Int32))
        .drop_nulls()
        .join(
            view.frames("adverse_event_derived", ["subject_id", "event_seq", "treatment_emergent"]),
            on=["subject_id", "event_seq"],
        )
    )
    if not graded.height:
        return
    worst: dict[bool, dict[str, int]] = {
        emergent: dict(
            graded.filter(pl.col("treatment_emergent") == emergent)
            .group_by("subject_id").agg(pl.col("grade").max()).iter_rows()
        )
        for emergent in (False, True)
    }  # fmt: skip
    pairs = {person: (worst[False].get(person, 0), worst[True].get(person, 0)) for person in members}
    for before, after in sorted(set(pairs.values())):
        for arm, people in view.layout.groups(members):
            x = sum(pairs[person] == (before, after) for person in people)
            out.share(
                "grade_shift", x, len(people), arm=arm, by="grade before to worst grade",
                by_value=f"{before or 'none'} to {after or 'none'}", subjects=x,
                method="worst CTCAE grade of events begun before treatment to worst of treatment-emergent ones; "
                "none: no graded event recorded",
            )  # fmt: skip
