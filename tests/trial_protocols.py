"""Protocols of the two sample trials with every line filled in."""

from __future__ import annotations

from typing import Any

from store.protocol import Protocol


def _period(order: int, element: str, epoch: str = "TREATMENT", **more: Any) -> dict[str, Any]:
    return {"order": order, "element": element, "epoch": epoch, **more}


def autoinjector(*, boundary: str | None = "day_after_start", dosed: bool = True, **sections: Any) -> Protocol:
    """Auto-injector trial; `boundary` rules the periods after the first, `dosed` fills in the amounts."""
    screen = _period(1, "SCREEN", "SCREENING")
    edge = {} if boundary is None else {"boundary": boundary}
    arms = [
        {"code": "PLACEBO", "name": "Placebo", "period": [screen, _period(2, "PLACEBO", duration_days=182)]},
        {"code": "ZAN_LOW", "name": "Low dose", "period": [screen, _period(2, "LOW", duration_days=182)]},
        {
            "code": "ZAN_HIGH",
            "name": "High dose",
            "period": [
                screen,
                _period(2, "TITRATE", duration_days=14),
                _period(3, "HIGH", duration_days=154, **edge),
                _period(4, "TITRATE", duration_days=14, **edge),
            ],
        },
    ]
    amounts = [("PLACEBO", None, "0"), ("ZAN_LOW", None, "54"), ("ZAN_HIGH", None, "54"), ("ZAN_HIGH", 3, "81")]
    dosing = [
        {"arm": arm, "drug": "ZANOMALINE", "every_h": 24, "amount": amount, "unit": "mg"}
        | ({} if period is None else {"period": period})
        for arm, period, amount in amounts
    ]
    return Protocol.model_validate(
        {
            "study": {"id": "CDISCPILOT01", "reference_arm": "PLACEBO", "design": "parallel"},
            "arm": arms,
            "drug": [{"name": "ZANOMALINE", "unit": "mg", "also_named": ["PLACEBO"]}],
            "device": [{"type": "Drug Auto-Injector", "class": "auto_injector"}],
            "dosing": dosing if dosed else [],
            "adverse_events": {
                "related": ["RELATED", "POSSIBLY RELATED"],
                "rate_terms": ["INJECTION SITE REACTION"],
            },
        }
        | sections
    )


def pilot(*, dosed: bool = True, **sections: Any) -> Protocol:
    """CDISC pilot (transdermal patch)."""
    screen, follow = _period(1, "SCRN", "SCREENING"), "FOLLOW-UP"
    edge = {"boundary": "day_after_start"}
    arms = [
        {
            "code": "Pbo",
            "name": "Placebo",
            "period": [screen, _period(2, "PBO", duration_days=182), _period(3, "FOLO", follow)],
        },
        {
            "code": "Xan_Lo",
            "name": "Xanomeline Low Dose",
            "period": [screen, _period(2, "LO", duration_days=182), _period(3, "FOLO", follow)],
        },
        {
            "code": "Xan_Hi",
            "name": "Xanomeline High Dose",
            "period": [
                screen,
                _period(2, "HIS", duration_days=14),
                _period(3, "HIM", duration_days=154, **edge),
                _period(4, "HIE", duration_days=14, **edge),
                _period(5, "FOLO", follow),
            ],
        },
    ]
    amounts = [("Pbo", None, "0"), ("Xan_Lo", None, "54"), ("Xan_Hi", None, "54"), ("Xan_Hi", 3, "81")]
    dosing = [
        {"arm": arm, "drug": "XANOMELINE", "every_h": 24, "amount": amount, "unit": "mg"}
        | ({} if period is None else {"period": period})
        for arm, period, amount in amounts
    ]
    return Protocol.model_validate(
        {
            "study": {"id": "CDISCPILOT01", "reference_arm": "Pbo", "design": "parallel"},
            "arm": arms,
            "drug": [{"name": "XANOMELINE", "unit": "mg", "also_named": ["PLACEBO"]}],
            "dosing": dosing if dosed else [],
            "adverse_events": {"related": ["POSSIBLE", "PROBABLE"]},
            "population": [
                {"name": "safety", "flag": "SAFETY"},
                {"name": "intention_to_treat", "flag": "ITT"},
                {"name": "efficacy", "flag": "EFFICACY"},
                {"name": "completed_week_24", "flag": "COMPLT24"},
            ],
        }
        | sections
    )
