"""Small cells of the result table: figures about so few subjects that they would tell about one of them.

A figure is small when it is about more than none and fewer than `smallest` subjects, or when what it counts, or what it
leaves, is (counts of doses and days, which exceed the number of subjects, are judged by their subjects alone). With a
small figure all arms, comparisons and statistics of the same question go, since one arm could be had by subtraction
from the pooled figure; and a lone suppressed value of a breakdown, or term of an organ class, takes the next smallest
with it, and further ones until what is suppressed together is not small either (complementary suppression; Hundepool et
al., Statistical Disclosure Control, 2012, chapter 4). A smallest or largest value is always one subject's own. Of two
populations that differ by few subjects, with another figure, one is shown: the safety population, else the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]

BLANKED = ("value", "lower", "upper", "numerator", "denominator", "subjects", "doses")
_QUESTION = (
    "analysis", "population", "drug", "channel", "device_class", "period", "by", "by_value", "soc", "term", "parameter",
    "dose_pair", "estimand",
)  # fmt: skip
_BREAKDOWN = tuple(name for name in _QUESTION if name != "by_value")
_CLASS = tuple(name for name in _QUESTION if name not in ("term", "by_value"))
EXTREMES = ("min", "max")
"""Statistics that are the value of one subject."""
SHOWN_FIRST = "safety"
"""Population whose figures stay where another's differ from them by few subjects."""
_IDENTIFIER = ("site", "lot", "serial", "device", "subject", "kit", "udi")
"""Breakdowns whose values are identifiers."""


def suppress_small_cells(rows: Sequence[Result], smallest: int, screened: int) -> list[Result]:
    """The rows of table result with small figures blanked and the sentence why; `screened`: subjects of the study.

    Terms and values of suppressed rows are blanked too: a term of one subject may be that subject's own words.
    """
    questions: dict[tuple[Any, ...], list[Result]] = {}
    for row in rows:
        questions.setdefault(_key(row, _QUESTION), []).append(row)
    small = {
        key
        for key, same in questions.items()
        if any(_is_small(row, smallest, screened) for row in same) or not _has_counts(same)
    }
    small |= _differences(questions, small, smallest)
    small |= _complements(questions, small, _BREAKDOWN, "by_value", smallest)
    small |= _complements(questions, small, _CLASS, "term", smallest)
    sentence = f"suppressed: fewer than {smallest} subjects, or could be had by subtraction"
    made = []
    for row in rows:
        copy = dict(row)
        if copy["by"] in _IDENTIFIER:
            copy["by_value"] = None
        if _key(row, _QUESTION) in small:
            copy.update(dict.fromkeys(BLANKED), not_assessable=sentence)
            if copy["term"] is not None:
                copy["term"] = "(rare term)"
            if copy["by_value"] is not None:
                copy["by_value"] = "(rare value)"
        elif copy["statistic"] in EXTREMES and copy["value"] is not None:
            copy.update(dict.fromkeys(BLANKED), not_assessable="suppressed: the value of one subject")
        made.append(copy)
    return made


def _key(row: Result, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def _has_counts(rows: Sequence[Result]) -> bool:
    """Whether anything says how many subjects share the term or value; rows without either need not say it."""
    named = any(row["term"] is not None or row["by_value"] is not None for row in rows)
    return not named or any(row[name] is not None for row in rows for name in ("subjects", "numerator"))


def _is_small(row: Result, smallest: int, screened: int) -> bool:
    subjects, numerator, denominator = row["subjects"], row["numerator"], row["denominator"]
    counts = [subjects]
    if subjects is None:
        counts.append(numerator)
    if denominator is not None and denominator <= screened:
        counts += [numerator, denominator, denominator - numerator if numerator is not None else None]
    return any(count is not None and 0 < count < smallest for count in counts)


def _differences(
    questions: dict[tuple[Any, ...], list[Result]], small: set[tuple[Any, ...]], smallest: int
) -> set[tuple[Any, ...]]:
    """Questions whose figures, less those of a population that is shown, are about few subjects."""
    place = _QUESTION.index("population")
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key, same in questions.items():
        # How many belong to a population is no figure about them.
        if key not in small and same[0]["parameter"] != "population":
            groups.setdefault((*key[:place], *key[place + 1 :]), []).append(key)
    found = set()
    for keys in groups.values():
        shown: list[tuple[Any, ...]] = []
        for key in sorted(keys, key=lambda one: (one[place] != SHOWN_FIRST, str(one[place]))):
            if any(_differ_by_few(questions[key], questions[other], smallest) for other in shown):
                found.add(key)
            else:
                shown.append(key)
    return found


def _differ_by_few(rows: Sequence[Result], others: Sequence[Result], smallest: int) -> bool:
    told = {(row["arm"], row["statistic"], row["comparator"], row["period"]): row for row in others}
    for row in rows:
        other = told.get((row["arm"], row["statistic"], row["comparator"], row["period"]))
        if other is None or (row["numerator"], row["value"]) == (other["numerator"], other["value"]):
            continue
        names = (
            ("subjects", "numerator")
            if row["subjects"] is None or row["subjects"] == row["numerator"]
            else ("subjects",)
        )
        for name in names:
            if row[name] is not None and other[name] is not None and 0 < abs(row[name] - other[name]) < smallest:
                return True
    return False


def _complements(
    questions: dict[tuple[Any, ...], list[Result]],
    small: set[tuple[Any, ...]],
    group: Sequence[str],
    member: str,
    smallest: int,
) -> set[tuple[Any, ...]]:
    """The next smallest of every group in which one member alone is suppressed, or all suppressed ones are few."""
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key, same in questions.items():
        if same[0][member] is not None and (member != "term" or same[0]["soc"] is not None):
            groups.setdefault(_key(same[0], group), []).append(key)
    found = set()
    for members in groups.values():
        gone = [_size(questions[key]) for key in members if key in small]
        others = sorted((_size(questions[key]), str(key), key) for key in members if key not in small)
        for size, _, key in others:
            if not gone or (len(gone) > 1 and sum(gone) >= smallest):
                break
            if size > 0:
                gone.append(size)
                found.add(key)
    return found


def _size(rows: Sequence[Result]) -> float:
    """Of the arm with the fewest, but not none."""
    counts = (row[name] for row in rows for name in ("subjects", "numerator"))
    return min((count for count in counts if count), default=0)
