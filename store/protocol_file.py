"""Reading protocol.toml: mistakes name file, line, key, what was found and what would be valid."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from store.errors import DosetrailError
from store.protocol import Protocol


@dataclass(frozen=True)
class ProtocolProblem:
    """One mistake: 1-based line (None when the key is absent), dotted key, what was found, what would be valid."""

    line: int | None
    key: str
    found: str
    valid: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "not in the file"
        return f"{where}: {self.key}: {self.found}; {self.valid}"


class ProtocolError(DosetrailError):
    """protocol.toml cannot be used; ``problems`` lists every mistake."""

    exit_code = 2

    def __init__(self, path: Path, problems: list[ProtocolProblem]) -> None:
        self.path = path
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"{path.name} has {len(problems)} mistake{'s' if len(problems) != 1 else ''}:\n{lines}",
            effect="Nothing was read or changed.",
            remedy="Correct the lines and run: dosetrail protocol check",
        )

    def attrs(self) -> dict[str, object]:
        return {**super().attrs(), "problems": [vars(problem) for problem in self.problems]}


@dataclass(frozen=True)
class RecordedProtocol:
    """A protocol with the bytes it was read from: the ledger archives them by ``sha256``."""

    protocol: Protocol
    text: str
    sha256: str


def protocol_sha256(text: str) -> str:
    """SHA-256 of the protocol's text (UTF-8)."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_protocol(text: str, path: Path) -> RecordedProtocol:
    """Parse and validate the text of a protocol.toml.

    Raises ``ProtocolError`` with every mistake found.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"at line (\d+)", str(error))
        line = int(match.group(1)) if match else None
        raise ProtocolError(
            path, [ProtocolProblem(line, "TOML", str(error), "the line must be valid TOML: key = value")]
        ) from None
    try:
        protocol = Protocol.model_validate(data)
    except ValidationError as error:
        lines = _key_lines(text)
        problems = [_problem(detail, lines) for detail in error.errors()]
        raise ProtocolError(path, problems) from None
    return RecordedProtocol(protocol, text, protocol_sha256(text))


def load_protocol(path: Path) -> RecordedProtocol:
    """Read and validate a protocol.toml; raises ``ProtocolError``."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        problem = ProtocolProblem(None, path.name, "the file does not exist", "dosetrail init writes one")
        raise ProtocolError(path, [problem]) from None
    except UnicodeDecodeError as error:
        problem = ProtocolProblem(None, "encoding", f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        raise ProtocolError(path, [problem]) from None
    return parse_protocol(text, path)


def _problem(detail: Any, lines: dict[tuple[str | int, ...], int]) -> ProtocolProblem:
    location: tuple[str | int, ...] = tuple(detail["loc"])
    line = None
    for length in range(len(location), 0, -1):
        line = lines.get(location[:length])
        if line:
            break
    key = ".".join(f"[{part + 1}]" if isinstance(part, int) else str(part) for part in location) or "protocol"
    kind = detail["type"]
    value = detail.get("input")
    if kind == "missing":
        return ProtocolProblem(line, key, "is missing", "add the key")
    if kind == "extra_forbidden":
        return ProtocolProblem(line, key, "unknown key", f"known keys of this table: {_known_keys(location)}")
    message = str(detail["msg"]).removeprefix("Value error, ")
    shown = f"found {value!r}" if isinstance(value, str | int | float | bool) else "found a value of the wrong kind"
    if kind == "value_error" and not isinstance(value, str | int | float):
        return ProtocolProblem(line, key, "does not fit together", message)
    return ProtocolProblem(line, key, shown, message[:1].lower() + message[1:])


def _known_keys(location: tuple[str | int, ...]) -> str:
    model: Any = Protocol
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:
            return "see dosetrail init for a template"
        annotation = field.annotation
        arguments = [arg for arg in getattr(annotation, "__args__", ()) if hasattr(arg, "model_fields")]
        model = arguments[0] if arguments else annotation
    if not hasattr(model, "model_fields"):
        return "none"
    return ", ".join(field.alias or name for name, field in model.model_fields.items())


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-\"'.]+)\s*=")


def _key_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Line of every table header and key, by pydantic location (arrays of tables count from 0)."""
    lines: dict[tuple[str | int, ...], int] = {}
    counters: dict[tuple[str | int, ...], int] = {}
    current: tuple[str | int, ...] = ()
    for number, row in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(row)
        if header:
            parts = [part.strip().strip("\"'") for part in header.group(2).split(".")]
            location: tuple[str | int, ...] = ()
            for position, part in enumerate(parts):
                location = (*location, part)
                last = position == len(parts) - 1
                if last and header.group(1) == "[[":
                    counters[location] = counters.get(location, -1) + 1
                if location in counters:
                    location = (*location, counters[location])
            current = location
            lines.setdefault(current, number)
            continue
        key = _KEY.match(row)
        if key:
            lines.setdefault((*current, *(part.strip("\"'") for part in key.group(1).split("."))), number)
    return lines
