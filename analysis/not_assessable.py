"""Sentences that say why a figure cannot be given: by device class, by what the data hold, by protocol line."""

from __future__ import annotations

from store.protocol import Protocol

INTERVALS_ONLY = "not assessable: exposure intervals only, no dose events"
NO_DOSE_EVENTS = "not assessable: no dose events were received"
NO_AMOUNTS = "not assessable: no dose has both amounts of the pair"

ACCURACY_BY_CLASS = {
    "transdermal_patch": "not assessable: a wear log holds no amount; only a residual assay could tell",
    "adherence_cap": "not assessable: an opening is no amount",
    "ingestible": "not assessable: a detection is no amount; detection rates need witnessed ingestions",
    "depot": "not assessable: release per day is a model, never a delivered amount",
    "refillable_reservoir": "not assessable: needs residual volumes between refills (reservoir_fill)",
}
"""Device classes whose dose events carry no delivered amount, whatever the source."""

COMPLIANCE_BY_CLASS = {
    "pump": "not assessable: boluses are counted, never taken or missed; wear share needs wear intervals",
    "patch_pump": "not assessable: boluses are counted, never taken or missed; wear share needs wear intervals",
    "closed_loop": "not assessable: needs the time the algorithm was active and the sensor worn",
    "patch_injector": "not assessable: needs the end of each session",
    "transdermal_patch": "not assessable: needs the times each patch was put on and taken off",
    "programmable_implant": "not assessable: needs telemetry of programmed and done releases",
    "ai_implant": "not assessable: needs the decision record of each recommendation",
    "dual_implant": "not assessable: needs the drug of each channel and its programmed releases",
    "refillable_reservoir": "not assessable: needs refill dates and low-reservoir dates",
    "depot": "not assessable: needs the insertion schedule",
    "ingestible": "not assessable: needs the time the receiver was worn; not detected is not missed",
    "infusion_pump": "not assessable: needs the order in force at each minute",
}
"""Device classes without a schedule of single doses; used where the protocol schedules none."""

UNSCHEDULED = {
    "as_needed": "not assessable: as-needed doses are never expected, extra or missed",
    "continuous": "not assessable: continuous dosing has no single expected doses",
    "algorithm_bounded": "not assessable: an algorithm decides each dose; none is expected in advance",
    "titrated": "not assessable: no prescription record says which dose was due",
}
"""Kinds of dosing without single expected doses (titrated: until prescriptions are received)."""


def missing_lines(protocol: Protocol, arm: str | None) -> str | None:
    """The sentence naming the lines of protocol.toml an arm's accuracy waits for; None when nothing is missing."""
    missing = protocol.missing_for_accuracy()
    own = [line for line in missing if arm is None or f"of arm {arm} " in line]
    return "not assessable: protocol.toml does not state " + "; ".join(own) if own else None


def missing_schedule(protocol: Protocol, arm: str) -> str | None:
    """The sentence naming what the planned number of doses of an arm waits for; None when nothing is missing."""
    found = protocol.arm_of(arm)
    if found is None:
        return f"not assessable: protocol.toml has no [[arm]] {arm}"
    missing: list[str] = []
    treatment = [period for period in found.period if period.is_treatment]
    if not treatment:
        missing.append(f"[[arm.period]] of arm {arm}")
    for period in treatment:
        label = f"arm {arm} period {period.order} ({period.element})"
        rule = protocol.dosing_for(arm, period.order, "")
        if period.duration_days is None:
            missing.append(f"[[arm.period]] duration_days of {label}")
        if rule is None or (rule.kind in ("scheduled", "titrated") and rule.every_h is None and not rule.at):
            missing.append(f"[[dosing]] every_h or at of {label}")
    return "not assessable: protocol.toml does not state " + "; ".join(missing) if missing else None
