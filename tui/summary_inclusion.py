"""What a table of the summary leaves to --by, and what stands under it: inclusion rules, further contrasts."""

from __future__ import annotations

from tui.summary_lines import ON_REQUEST, POOLED, Result


def without_breakdowns(rows: list[Result]) -> list[Result]:
    """Rows of the tables nobody has to ask for: of the breakdowns only doses without alarm, beside all doses."""
    return [
        row
        for row in rows
        if row["by"] not in (*ON_REQUEST, "inclusion")
        or (row["by_value"] == "without alarm" and row["population"] != "safety")
    ]


def inclusion_sentences(rows: list[Result], known: list[str]) -> list[str]:
    """How many entries of the dose log each inclusion rule holds for, one sentence per drug, counts arm by arm."""
    by_drug: dict[str | None, dict[str, dict[str, Result]]] = {}
    for row in rows:
        if row["by"] == "inclusion":
            by_drug.setdefault(row["drug"], {}).setdefault(row["by_value"], {})[row["arm"]] = row
    return [_sentence(drug, counts, known) for drug, counts in by_drug.items()]


def _sentence(drug: str | None, counts: dict[str, dict[str, Result]], known: list[str]) -> str:
    entries = next(iter(counts.values()))
    arms = [arm for arm in known if arm in entries] or [POOLED]

    def by_arm(found: dict[str, Result], column: str) -> str:
        return " / ".join(f"{found[arm][column]:,.0f}" for arm in arms)

    named = f" of {drug}" if drug else ""
    head = f"Dose log{named}, {' / '.join('all' if arm == POOLED else arm for arm in arms)}: entries "
    some = [rule for rule, found in counts.items() if any(found[arm]["numerator"] for arm in arms)]
    none = [rule.replace("_", " ") for rule in counts if rule not in some]
    words = [head + by_arm(entries, "denominator")]
    words += [f"{rule.replace('_', ' ')} {by_arm(counts[rule], 'numerator')}" for rule in some]
    words += [f"none {', '.join(none)}"] if none else []
    return "; ".join(words) + "."


CONTRASTS = (
    ("time_to_first_event", "hazard_ratio", None, "Hazard ratio of the first event"),
    ("eaer", "rate_ratio_robust", None, "Rate ratio of all events, robust"),
    ("teae", "risk_difference", "stratified by site", "Difference of any event stratified by site"),
    ("teae", "risk_difference", "stratified by region", "Difference of any event stratified by region"),
)
"""Contrasts of any event that have no line of their own: parameter, statistic, estimand, words."""


def contrast_sentences(rows: list[Result]) -> list[str]:
    """Hazard ratio, robust rate ratio and stratified differences, descriptive like every contrast of the table."""
    sentences = []
    for parameter, statistic, estimand, words in CONTRASTS:
        found = [
            f"{row['arm']}/{row['comparator']} {row['value']:.3g} ({row['lower']:.3g} to {row['upper']:.3g})"
            for row in rows
            if (row["parameter"], row["statistic"], row["estimand"]) == (parameter, statistic, estimand)
            and row["by"] is None
            and row["soc"] is None
            and None not in (row["value"], row["lower"], row["upper"])
        ]
        if found:
            sentences.append(f"{words}: {'; '.join(found)}.")
    return sentences


def estimand_sentences(rows: list[Result]) -> list[str]:
    """The estimand of compliance, once."""
    said = [row["method"] for row in rows if row["parameter"] == "estimand" and row["method"]]
    return [f"Estimand: {said[0]}."] if said else []
