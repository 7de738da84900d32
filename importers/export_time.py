"""When a file was exported, from its name, and the latest time its rows can therefore have."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from typing import TYPE_CHECKING

from importers.base import ReadContext, UnreadableFile
from importers.times import FUTURE_ALLOWED

if TYPE_CHECKING:
    from store.protocol import Source

_CODES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%I": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%f": r"\d{1,6}",
    "%p": r"[AaPp][Mm]",
    "%b": r"[A-Za-z]{3}",
    "%z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "%j": r"\d{3}",
}


def read_export_time(name: str, source: Source | None) -> tuple[dt.datetime | None, str | None]:
    """Naive UTC time of export by the source's ``exported_at`` pattern (``pen_{%Y%m%d-%H%M}.csv``; * and ? as in file
    patterns), and a note where the name does not fit it.

    The time in a name is in the source's zone where that is an IANA zone, else in UTC.
    """
    pattern = source.exported_at if source else None
    if source is None or pattern is None:
        return None, None
    before, opened, rest = pattern.partition("{")
    shape, closed, after = rest.partition("}")
    if not opened or not closed or "{" in after:
        raise UnreadableFile(
            f"exported_at = {pattern!r} of source {source.name} has no single {{...}} around the time.",
            remedy='Write for example exported_at = "pen_{%Y%m%d-%H%M}.csv".',
            key="exported_at",
        )
    found = re.fullmatch(f"{_wildcards(before)}({_shape_pattern(shape)}){_wildcards(after)}", name)
    if found is None:
        return None, f"the name does not fit exported_at = {pattern!r}; the time of receipt counts"
    try:
        moment = dt.datetime.strptime(found[1], shape)
    except ValueError:
        return None, f"the name holds no time {shape!r}; the time of receipt counts"
    if moment.tzinfo is None:
        is_zone = source.time_zone not in ("site", "utc", "offset")
        moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(source.time_zone) if is_zone else dt.UTC)
    return moment.astimezone(dt.UTC).replace(tzinfo=None), None


def _wildcards(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def _shape_pattern(shape: str) -> str:
    parts = re.split(r"(%[A-Za-z])", shape)
    return "".join(_CODES.get(part, ".+?") if part.startswith("%") else re.escape(part) for part in parts)


def received_time(context: ReadContext) -> dt.datetime | None:
    """When the study received the file (naive UTC), where the caller says so."""
    moment: dt.datetime | None = getattr(context, "received_utc", None)
    return moment


def latest_time(exported: dt.datetime | None, received: dt.datetime | None) -> dt.datetime | None:
    """The latest time a row can have; None where neither the name nor the caller dates the file."""
    dated = exported or received
    return dated + FUTURE_ALLOWED if dated is not None else None
