"""One text cell -> one typed value, as SQL that DuckDB runs over whole columns (7 million amounts: 0.4 s).

Every function returns a ``Cell``: expressions in steps (each step may use the aliases of the steps before), what is
stored, how the stored value is shown as canonical column, and the checks a row must pass. The cleaned text of column
``x`` is ``r_x`` in every expression. Texts never reach SQL other than as quoted literals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Reason = Literal[
    "bad_number", "bad_date", "bad_value", "impossible_time", "missing_value", "too_long", "unknown_unit"
]  # fmt: skip
Doubt = Literal["other_decimal_sign", "other_date_order", "no_date"]
"""A mistake that, when many rows share it, is one of the file's description and not of its rows."""


@dataclass(frozen=True)
class Check:
    """A row for which ``condition`` (SQL) holds is rejected; ``value`` is the SQL of the text at fault."""

    field: str
    reason: Reason
    message: str
    condition: str
    value: str | None = None
    doubt: Doubt | None = None


@dataclass(frozen=True)
class Cell:
    """How one cell becomes the canonical column ``name``."""

    name: str
    steps: tuple[tuple[tuple[str, str], ...], ...]
    """Per step: (alias, SQL); a step may use ``r_<name>`` and the aliases of earlier steps."""
    stored: tuple[str, ...]
    """Aliases worth keeping: everything ``shown`` needs."""
    shown: tuple[tuple[str, str], ...]
    """(canonical column, SQL over stored aliases)."""
    checks: tuple[Check, ...] = ()


def quote(text: str) -> str:
    """A SQL string literal; DuckDB's plain literals have no escapes beside the doubled quote."""
    return "'" + text.replace("'", "''") + "'"


def text_list(values: Sequence[str]) -> str:
    return "[" + ", ".join(map(quote, values)) + "]"


def clean_sql(cell: str, null_values: Sequence[str]) -> str:
    """Text without surrounding blanks, NULL for an empty cell and the source's null values."""
    nulls = ", ".join(quote(value) for value in dict.fromkeys(("", *null_values)))
    trimmed = f"trim({cell}, ' \t')"
    blank = " OR ".join(f"{test}({cell}, {quote(sign)})" for test in ("starts_with", "ends_with") for sign in " \t")
    return (
        f"CASE WHEN {cell} IN ({nulls}) THEN NULL "
        f"WHEN {blank} THEN CASE WHEN {trimmed} IN ({nulls}) THEN NULL ELSE {trimmed} END ELSE {cell} END"
    )


def text_cell(name: str) -> Cell:
    """Text as it stands."""
    return Cell(name, (((f"v_{name}", f"r_{name}"),),), (f"v_{name}",), ((name, f"v_{name}"),))


def list_cell(
    name: str,
    label: str,
    spellings: Mapping[str, str],
    *,
    reason: Reason = "bad_value",
    valid: str,
    result: str = "VARCHAR",
    any_case: bool = True,
) -> Cell:
    """A value of a closed list. ``spellings``: text in the file -> canonical text (cast to ``result``).

    Stored as one or two bytes. ``any_case``: a text outside the list is tried again in lower case.
    """
    words = tuple(spellings)
    kind = f"ENUM({', '.join(map(quote, words))})"
    code = f"enum_code(TRY_CAST(r_{name} AS {kind}))"
    if any_case:
        code = f"coalesce({code}, enum_code(TRY_CAST(lower(r_{name}) AS {kind})))"
    shown = f"{text_list([spellings[word] for word in words])}[v_{name} + 1]"
    return Cell(
        name,
        (((f"v_{name}", f"CAST({code} AS USMALLINT)"),),),
        (f"v_{name}",),
        ((name, shown if result == "VARCHAR" else f"CAST({shown} AS {result})"),),
        (
            Check(
                name,
                reason,
                f"{label}: not one of the values that are known; valid: {valid}",
                f"v_{name} IS NULL AND r_{name} IS NOT NULL",
                f"r_{name}",
            ),
        ),
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
    group = _GROUP_SIGNS.get(thousands, rf"\x{{{ord(thousands):X}}}")
    return rf"[+-]?({plain}|[1-9]\d{{0,2}}({group}\d{{3}})+({sign}\d*)?)"


def _number_text(cell: str, decimal: str, thousands: str | None) -> str:
    text = cell
    if thousands:
        removed = _GROUP_SIGNS.get(thousands)
        text = f"regexp_replace({text}, '{_doubled(removed)}', '', 'g')" if removed else f"replace({text}, {quote(thousands)}, '')"
    if decimal != ".":
        text = f"replace({text}, {quote(decimal)}, '.')"
    pattern = _doubled(number_pattern(decimal, thousands))
    return f"CASE WHEN regexp_full_match({cell}, '{pattern}') THEN {text} END"


def _doubled(pattern: str) -> str:
    return pattern.replace("'", "''")


def amount_cell(name: str, label: str, *, decimal: str, thousands: str | None, whole: bool = False) -> Cell:
    """An exact, non-negative DECIMAL(18,6), or with ``whole`` an INTEGER.

    Noise of binary numbers is rounded at the ninth decimal; what then needs more than six decimals is refused, never
    rounded: 0.30000000000000004 is 0.3, and 0.1234567 is no amount this study can store.
    """
    text, nine, value = f"t_{name}", f"n_{name}", f"v_{name}"
    six = f"CAST({nine} AS DECIMAL(18,6))"
    large = f"TRY_CAST({text} AS DECIMAL(38,9))"
    amount = (
        f"CASE WHEN {nine} IS NOT NULL THEN CASE WHEN {six} = {nine} THEN {six} END "
        f"WHEN {text} IS NOT NULL AND {large} = CAST({large} AS DECIMAL(38,6)) THEN TRY_CAST({large} AS DECIMAL(18,6)) END"
    )
    if whole:
        amount = f"CASE WHEN {amount} = floor({amount}) THEN TRY_CAST({amount} AS INTEGER) END"
    other = "," if decimal == "." else "."
    word = "comma" if other == "," else "point"
    failed = f"{value} IS NULL AND r_{name} IS NOT NULL"
    shape = rf"[+-]?\d*\{other}\d+"
    limit = "a whole number of at most 9 digits" if whole else "at most six decimals and 12 digits before them"
    return Cell(
        name,
        (((text, _number_text(f"r_{name}", decimal, thousands)),), ((nine, f"TRY_CAST({text} AS DECIMAL(18,9))"),), ((value, amount),)),
        (value,),
        ((name, value),),
        (
            Check(
                name,
                "bad_number",
                f'{label}: no number with the decimal sign "{decimal}"; if the {word} is the decimal sign of this file, '
                f'set decimal = "{other}", if it groups thousands, set thousands = "{other}" in its [[source]]',
                f"{failed} AND regexp_full_match(r_{name}, '{shape}')",
                f"r_{name}",
                doubt="other_decimal_sign",
            ),
            Check(name, "bad_number", f"{label}: the number does not fit; it needs {limit}", f"{failed} AND {text} IS NOT NULL", f"r_{name}"),
            Check(name, "bad_number", f"{label}: no number", failed, f"r_{name}"),
            Check(name, "bad_value", f"{label}: negative", f"{value} < 0", f"r_{name}"),
        ),
    )  # fmt: skip


def constant_amount(text: str) -> str | None:
    """SQL of an amount the protocol states for every row; None when it is no amount."""
    try:
        value = Decimal(text.strip())
    except ArithmeticError:
        return None
    fits = value.is_finite() and value >= 0 and value < 10**12 and value == round(value, 6)
    return f"CAST('{value:f}' AS DECIMAL(18,6))" if fits else None
