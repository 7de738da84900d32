"""The filter line's language: `site:701 arm:placebo comp<80 !status:completed "site 12"` as a SQL condition.

Words are joined by AND. `word:text` looks for text in that field, `word<80` compares a number, `word:` alone asks for
any value, plain text is looked for in every text field, `!` before a word turns it around. Case never matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?%?$")


@dataclass(frozen=True)
class Field:
    """A value of each row: shown in a column, searched by the filter, or both."""

    key: str
    """Name in the rows, and the word in the filter line."""
    kind: Literal["text", "number", "time"] = "text"
    word: bool = True
    """May stand before `:` in the filter line."""
    searched: bool = True
    """Text fields: plain text is looked for here."""


@dataclass(frozen=True)
class Condition:
    """A SQL condition over the fields with its parameters."""

    sql: str = ""
    parameters: tuple[str | float, ...] = ()


class FilterProblem(ValueError):
    """The filter cannot be understood; the text is a sentence that says which words are valid."""


def read_filter(text: str, fields: Sequence[Field]) -> Condition:
    """The condition for a filter line. Raises FilterProblem for an unknown word or a number that is none."""
    clauses: list[str] = []
    parameters: list[str | float] = []
    for token in _split(text):
        clause, values = _read_word(token, fields)
        if clause:
            clauses.append(clause)
            parameters.extend(values)
    return Condition(" AND ".join(clauses), tuple(parameters))


def words_of(fields: Sequence[Field]) -> list[str]:
    """The words of the filter line with their sign: `site:` for text, `day<` for numbers."""
    return [f"{field.key}{'<' if field.kind == 'number' else ':'}" for field in fields if field.word]


def complete(text: str, fields: Sequence[Field]) -> str:
    """`text` with its last word completed to a word of the filter line, when only one fits."""
    start = max(text.rfind(" "), text.rfind("!")) + 1
    typed = text[start:]
    fitting = [word for word in words_of(fields) if typed and word.startswith(typed.lower())]
    return text[:start] + fitting[0] if len(fitting) == 1 else text


def alike(field: Field, value: object) -> str:
    """The filter word that rows with this value of a field match: an exact one, and `!word:` for no value."""
    if value is None or value == "":
        return f"!{field.key}:"
    text = str(value).replace('"', "")
    quoted = f'"{text}"' if " " in text else text
    return f"{field.key}={quoted}"


def _split(text: str) -> list[str]:
    tokens, token, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        if char == " " and not quoted:
            tokens.append(token)
            token = ""
        else:
            token += char
    return [token for token in (*tokens, token) if token]


def _read_word(token: str, fields: Sequence[Field]) -> tuple[str, list[str | float]]:
    negated = token.startswith("!")
    token = token.removeprefix("!")
    if token.startswith('"'):
        name, sign, value = "", "", token
    else:
        found = re.match(r"([A-Za-z_]+)(<=|>=|<|>|=|:)(.*)$", token, re.DOTALL)
        name, sign, value = found.groups() if found else ("", "", token)
    value = value.strip('"')
    if not name:
        clause, values = _any_text(value, fields)
    else:
        field = next((field for field in fields if field.word and field.key == name.lower()), None)
        if field is None:
            raise FilterProblem(f"no word {name}: here; words are {' '.join(words_of(fields))}")
        clause, values = _one_field(field, sign, value)
    return (f"NOT coalesce(({clause}), false)" if negated and clause else clause), values


def _any_text(value: str, fields: Sequence[Field]) -> tuple[str, list[str | float]]:
    searched = [field.key for field in fields if field.kind == "text" and field.searched]
    if not value or not searched:
        return "", []
    # One field after the other: joining them into one text first takes 1.6 times as long.
    found = " OR ".join(f'contains(lower("{key}"), ?)' for key in searched)
    return f"({found})", [value.lower()] * len(searched)


def _one_field(field: Field, sign: str, value: str) -> tuple[str, list[str | float]]:
    name = f'"{field.key}"'
    if not value:
        return (f"{name} IS NOT NULL AND {name}::VARCHAR <> ''" if sign == ":" else ""), []
    if field.kind == "number":
        if not _NUMBER.match(value):
            raise FilterProblem(f"{field.key}{sign} wants a number, not {value}")
        number = float(value.rstrip("%").replace(",", "."))
        return f"{name} {'=' if sign == ':' else sign} ?", [number]
    if sign in ("<", ">", "<=", ">="):
        return f"{name}::VARCHAR {sign} ?", [value]
    if sign == "=":
        return f"lower({name}::VARCHAR) = ?", [value.lower()]
    return f"contains(lower({name}::VARCHAR), ?)", [value.lower()]
