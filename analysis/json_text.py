"""JSON with exact numbers: decimals keep every digit, and what JSON has no word for becomes text or null.

The standard encoder has no exact decimal, writes NaN (which no JSON reader must accept) and needs a dict
per row; seven million dose rows are written faster from tuples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal


def json_value(value: object) -> str:
    """One value on one line. Decimals and integers keep all digits, dates are ISO 8601, NaN and infinity
    null.

    Everything outside ASCII is escaped, so the text is safe on any terminal and in any encoding.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value)
        case int():
            return str(int(value))
        case float():
            return repr(value) if math.isfinite(value) else "null"
        case Decimal():
            return format(value, "f") if value.is_finite() else "null"
        case datetime() | date() | time():
            return f'"{value.isoformat()}"'
        case timedelta():
            return repr(value.total_seconds())
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(str(key))}: {json_value(item)}" for key, item in value.items()) + "}"
        case bytes() | bytearray():
            return f'"{value.hex()}"'
        case Sequence() | set() | frozenset():
            return "[" + ", ".join(map(json_value, value)) + "]"
        case _:
            return json.dumps(str(value))


def json_rows(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Each row as one object on one line."""
    keys = [f"{json.dumps(name)}: " for name in names]
    for row in rows:
        yield "{" + ", ".join(key + json_value(value) for key, value in zip(keys, row, strict=True)) + "}"


def json_document(document: Mapping[str, object]) -> str:
    """A document for people and programs: one line per key, and one per element of a list."""
    lines = []
    for key, value in document.items():
        if isinstance(value, (list, tuple)) and value:
            items = ",\n    ".join(map(json_value, value))
            text = f"[\n    {items}\n  ]"
        else:
            text = json_value(value)
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def unique_names(names: Iterable[str]) -> list[str]:
    """Result columns made different, because an object cannot hold two equal keys: a, a -> a, a_1."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate, number = name, 0
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique
