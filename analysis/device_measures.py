"""The measures each device class has of its own, beside what every scheduled dose gives."""

from __future__ import annotations

from collections.abc import Callable

from analysis.arms import StudyView
from analysis.class_rows import ClassRows, Measure, write_measure
from analysis.implants import measure_ai_implant, measure_dual_implant, measure_programmable_implant
from analysis.infusions import measure_infusion_pump
from analysis.ingestibles import measure_ingestible
from analysis.patches import measure_patch_injector, measure_transdermal_patch
from analysis.pump_delivery import measure_closed_loop, measure_pump
from analysis.reservoirs import measure_depot, measure_reservoir
from analysis.result_rows import ResultRows, result_rows

MEASURES: dict[str, Callable[[ClassRows], list[Measure]]] = {
    "pump": measure_pump,
    "patch_pump": measure_pump,
    "closed_loop": measure_closed_loop,
    "patch_injector": measure_patch_injector,
    "transdermal_patch": measure_transdermal_patch,
    "programmable_implant": measure_programmable_implant,
    "ai_implant": measure_ai_implant,
    "dual_implant": measure_dual_implant,
    "refillable_reservoir": measure_reservoir,
    "depot": measure_depot,
    "ingestible": measure_ingestible,
    "infusion_pump": measure_infusion_pump,
}
"""Pens, auto-injectors and caps have none: their doses are scheduled, matched and compared one by one."""


def compute_device_measures(view: StudyView) -> ResultRows:
    """Rows of analyses ``accuracy`` and ``compliance`` in the safety population, by device class, drug and channel.

    Every measure of a class that the study uses is there, as a figure or as the sentence why it cannot be given.
    """
    out = result_rows("accuracy", "safety", view.cut)
    for device_class, measures in MEASURES.items():
        rows = ClassRows(view, device_class)
        if not rows.is_present:
            continue
        for measure in measures(rows):
            write_measure(out.within(analysis=measure.family, device_class=device_class), view, measure)
    return out
