"""One text cell -> one typed value, as SQL that DuckDB runs over whole columns (7 million amounts: 0.4 s).

Every function returns a ``Cell``: expressions in steps (each step may use the aliases of the steps before), what is
stored, how the stored value is shown as canonical column, and the checks a row must pass. The cell of column ``x``
as it stands (NULL for the source's null values) is ``r_x`` in every expression. Texts reach SQL only as quoted
literals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Reason = Literal[
    "bad_number", "bad_date", "bad_value", "impossible_time", "missing_value", "too_long", "unknown_unit"
]  # fmt: skip
Steps = tuple[tuple[tuple[str, str], ...], ...]
"""Steps of (alias, SQL) pairs."""
Doubt = Literal["other_decimal_sign", "other_date_order", "no_date"]
"""A mistake that, when many rows share it, is one of the file's description and not of its rows."""


@dataclass(frozen=True)
class Check:
    """A row for which ``condition`` (SQL) holds is rejected."""

    field: str
    reason: Reason
    message: str
    condition: str = "true"
    doubt: Doubt | None = None


@dataclass(frozen=True)
class Cell:
    """How one cell becomes the canonical column ``name``: its value is ``v_<name>``."""

    name: str
    steps: Steps
    """A step may use ``r_<name>`` and the aliases of earlier steps."""
    shown: tuple[tuple[str, str], ...]
    """(canonical column, SQL over stored aliases)."""
    failures: tuple[Check, ...] = ()
    """What is wrong where the cell holds text and no value came of it: the first condition that holds."""
    checks: tuple[Check, ...] = ()
    """What may be wrong with a value."""
    also_stored: tuple[str, ...] = ()
    """Aliases beside ``v_<name>`` that ``shown`` needs."""

    @property
    def stored(self) -> tuple[str, ...]:
        return (f"v_{self.name}", *self.also_stored)


def quote(text: str) -> str:
    """A SQL string literal; DuckDB's plain literals have no escapes beside the doubled quote."""
    return "'" + text.replace("'", "''") + "'"


def text_list(values: Sequence[str]) -> str:
    return "[" + ", ".join(map(quote, values)) + "]"


def null_sql(cell: str, null_values: Sequence[str]) -> str:
    """A cell, NULL where it holds one of the source's null values (what the reader of delimited text does itself)."""
    nulls = ", ".join(quote(value) for value in dict.fromkeys(("", *null_values)))
    return f"CASE WHEN {cell} NOT IN ({nulls}) THEN {cell} END"


def trimmed_sql(cell: str, null_values: Sequence[str]) -> str:
    """Text without surrounding blanks, NULL for a blank cell and the source's null values.

    Costs more than reading a number; cells that need it rarely use it only where their first reading fails.
    """
    trimmed = f"trim({cell}, ' \t')"
    nulls = ", ".join(quote(value) for value in dict.fromkeys(("", *null_values)))
    return f"CASE WHEN {trimmed} NOT IN ({nulls}) THEN {trimmed} END"


def text_cell(name: str, null_values: Sequence[str]) -> Cell:
    """Text as it stands, without surrounding blanks."""
    raw = f"r_{name}"
    padded = f"ascii({raw}) <= 32 OR ends_with({raw}, ' ') OR ends_with({raw}, '\t')"
    text = f"CASE WHEN {padded} THEN {trimmed_sql(raw, null_values)} ELSE {raw} END"
    return Cell(name, (((f"v_{name}", text),),), ((name, f"v_{name}"),))


def list_cell(
    name: str,
    label: str,
    spellings: Mapping[str, str],
    null_values: Sequence[str],
    *,
    reason: Reason = "bad_value",
    valid: str,
    result: str = "VARCHAR",
    any_case: bool = True,
) -> Cell:
    """A value of a closed list. ``spellings``: text in the file -> canonical text (cast to ``result``).

    Stored as two bytes. A text outside the list is tried again without blanks and, with ``any_case``, in lower case.
    """
    words = tuple(spellings)
    kind = f"ENUM({', '.join(map(quote, words))})"
    trimmed = trimmed_sql(f"r_{name}", null_values)
    first, value = f"a_{name}", f"v_{name}"
    again = [trimmed, *([f"lower({trimmed})"] if any_case else [])]
    others = ", ".join(f"enum_code(TRY_CAST({text} AS {kind}))" for text in again)
    # CASE, because DuckDB computes what repeats inside COALESCE for every row beforehand.
    code = f"CASE WHEN {first} IS NOT NULL THEN {first} WHEN r_{name} IS NOT NULL THEN coalesce({others}) END"
    shown = f"{text_list([spellings[word] for word in words])}[{value} + 1]"
    return Cell(
        name,
        (((first, f"enum_code(TRY_CAST(r_{name} AS {kind}))"),), ((value, f"CAST({code} AS USMALLINT)"),)),
        ((name, shown if result == "VARCHAR" else f"CAST({shown} AS {result})"),),
        failures=(Check(name, reason, f"{label}: not one of the values that are known; valid: {valid}"),),
    )


_EXPONENT = r"([eE][+-]?\d{1,3})?"
_GROUP_SIGNS = {" ": r"[ \x{00A0}\x{202F}]", "'": r"['\x{2019}]"}


def number_pattern(decimal: str, thousands: str | None) -> str:
    """RE2 pattern of a whole number cell. Groups of thousands have three digits and no leading zero: 0.125 under
    ``thousands = "."`` is no number, not 125.
    """
    sign = rf"\{decimal}"
    plain = rf"(\d+({sign}\d*)?|{sign}\d+){_EXPONENT}"
    if not thousands:
        return f"[+-]?{plain}"
    return rf"[+-]?({plain}|[1-9]\d{{0,2}}({_group_sign(thousands)}\d{{3}})+({sign}\d*)?)"


def _group_sign(thousands: str) -> str:
    return _GROUP_SIGNS.get(thousands, rf"\x{{{ord(thousands):X}}}")


def _number_text(cell: str, decimal: str, thousands: str | None, trimmed: str) -> str:
    """SQL text of a number with a decimal point, NULL for anything else; blanks around it cost only where there are."""
    pattern = quote(number_pattern(decimal, thousands))

    def plain(text: str) -> str:
        if thousands:
            text = f"regexp_replace({text}, {quote(_group_sign(thousands))}, '', 'g')"
        return text if decimal == "." else f"replace({text}, {quote(decimal)}, '.')"

    return (
        f"CASE WHEN regexp_full_match({cell}, {pattern}) THEN {plain(cell)} "
        f"WHEN regexp_full_match({trimmed}, {pattern}) THEN {plain(trimmed)} END"
    )


def amount_cell(
    name: str,
    label: str,
    null_values: Sequence[str],
    *,
    decimal: str,
    thousands: str | None,
    whole: bool = False,
) -> Cell:
    """An exact, non-negative DECIMAL(18,6), or with ``whole`` an INTEGER.

    Noise of binary numbers is rounded at the ninth decimal; what then needs more than six decimals is refused, never
    rounded: 0.30000000000000004 is 0.3, and 0.1234567 is no amount this study can store.
    """
    raw, text, nine, six, value = f"r_{name}", f"t_{name}", f"n_{name}", f"d_{name}", f"v_{name}"
    short = f"CAST({nine} AS DECIMAL(18,6))"
    large = f"TRY_CAST({text} AS DECIMAL(38,9))"
    amount = (
        f"CASE WHEN {nine} IS NOT NULL THEN CASE WHEN {short} = {nine} THEN {short} END "
        f"WHEN {text} IS NOT NULL THEN CASE WHEN {large} = CAST({large} AS DECIMAL(38,6)) "
        f"THEN TRY_CAST({large} AS DECIMAL(18,6)) END END"
    )
    number_text = _number_text(raw, decimal, thousands, trimmed_sql(raw, null_values))
    to_nine = "TRY_CAST({} AS DECIMAL(18,9))"
    if decimal == "." and not thousands:
        # DuckDB's own cast takes what the pattern takes, and digits grouped by underscores; the pattern costs more.
        first = ((nine, f"CASE WHEN NOT contains({raw}, '_') THEN {to_nine.format(raw)} END"),)
        second = ((text, f"CASE WHEN {nine} IS NULL AND {raw} IS NOT NULL THEN {number_text} END"),)
    else:
        first = ((text, number_text),)
        second = ((nine, to_nine.format(text)),)
    steps = [first, second, ((six if whole else value, amount),)]
    if whole:
        steps.append(((value, f"CASE WHEN {six} = floor({six}) THEN TRY_CAST({six} AS INTEGER) END"),))
    return Cell(
        name,
        tuple(steps),
        ((name, value),),
        _amount_failures(name, label, decimal, whole=whole),
        (Check(name, "bad_value", f"{label}: negative", f"{value} < 0"),),
    )


def float_cell(name: str, label: str, null_values: Sequence[str], *, decimal: str, thousands: str | None) -> Cell:
    """A DOUBLE of any sign, as measurements are; amounts are never read this way."""
    raw, text, value = f"r_{name}", f"t_{name}", f"v_{name}"
    number_text = _number_text(raw, decimal, thousands, trimmed_sql(raw, null_values))
    steps: Steps = (((text, number_text),), ((value, f"TRY_CAST({text} AS DOUBLE)"),))
    return Cell(
        name,
        steps,
        ((name, value),),
        (Check(name, "bad_number", f'{label}: no number with the decimal sign "{decimal}"'),),
    )


def _amount_failures(name: str, label: str, decimal: str, *, whole: bool) -> tuple[Check, ...]:
    other, word = (",", "comma") if decimal == "." else (".", "point")
    limit = "a whole number up to 2147483647" if whole else "at most six decimals and 12 digits before them"
    return (
        Check(
            name,
            "bad_number",
            f'{label}: no number with the decimal sign "{decimal}"; if the {word} is the decimal sign of this file, '
            f'set decimal = "{other}", if it groups thousands, set thousands = "{other}" in its [[source]]',
            rf"n_{name} IS NULL AND t_{name} IS NULL AND regexp_full_match(r_{name}, '\s*[+-]?\d*\{other}\d+\s*')",
            doubt="other_decimal_sign",
        ),
        Check(
            name,
            "bad_number",
            f'{label}: no number; if "{other}" groups thousands, set thousands = "{other}" in its [[source]]',
            rf"n_{name} IS NULL AND t_{name} IS NULL AND contains(r_{name}, '{other}')",
        ),
        Check(name, "bad_number", f"{label}: no number", f"n_{name} IS NULL AND t_{name} IS NULL"),
        Check(name, "bad_number", f"{label}: the number does not fit; it needs {limit}"),
    )


def constant_amount(text: str) -> str | None:
    """SQL of an amount the protocol states for every row; None when it is no amount."""
    try:
        value = Decimal(text.strip())
    except ArithmeticError:
        return None
    fits = value.is_finite() and value >= 0 and value < 10**12 and value == round(value, 6)
    return f"CAST('{value:f}' AS DECIMAL(18,6))" if fits else None
