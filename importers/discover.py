"""Which files an import reads: the files given, the folders walked, and for each what it is.

The protocol's [[source]] patterns come first; without one the content decides; where both speak and
disagree it is an error. In a folder, a file that is no data or a domain the study does not use is ignored
with a reason; any other file that nothing reads is an error, because a lost file is lost doses. A file
named by itself is always meant: nothing of that kind is ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from importers.base import HEAD_BYTES, Ignored, Importer, Recognised
from importers.dataset_json import top_level
from importers.registry import FORMATS

if TYPE_CHECKING:
    from store.protocol import Source

_NO_DATA_NAMES = ("license", "licence", "copying", "notice", "readme", "changelog", "sources", "authors", "makefile")
_NO_DATA_ENDINGS = {
    **dict.fromkeys((".md", ".rst", ".pdf", ".doc", ".docx", ".rtf", ".html", ".htm"), "a document"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".svg", ".ppt", ".pptx"), "a picture or slides"),
    **dict.fromkeys((".py", ".r", ".sas", ".sh", ".sql", ".ipynb"), "a program"),
    **dict.fromkeys((".toml", ".yaml", ".yml", ".ini", ".cfg"), "a configuration"),
    **dict.fromkeys((".sha256", ".md5", ".sig", ".asc", ".log", ".bak", ".tmp"), "no data"),
    **dict.fromkeys((".xsl", ".xslt", ".xsd", ".css", ".js"), "a style sheet or schema"),
}
_SCHEMA_KEYS = frozenset({"$schema", "$id", "$defs", "definitions", "properties"})


@dataclass(frozen=True)
class Input:
    """One file; exactly one of ``importer`` (with ``recognised``), ``ignored`` and ``error`` is set."""

    path: Path
    name: str
    """Name as received, without its folder."""
    importer: Importer | None = None
    recognised: Recognised | None = None
    source: Source | None = None
    """The [[source]] whose pattern matches; its reading keys are pinned to the file."""
    ignored: str | None = None
    error: str | None = None


def find_inputs(paths: Sequence[Path], sources: Sequence[Source] = ()) -> list[Input]:
    """Every file of the paths in their order, folders in sorted order; a file found twice counts once.

    ``sources``: the [[source]] entries of the protocol. Reads at most ``HEAD_BYTES`` of each file; raises
    nothing for a file (what is wrong with it stands in ``Input.error``).
    """
    inputs: list[Input] = []
    seen: set[Path] = set()
    for path in paths:
        for found, shown in walk_files(path):
            real = found.resolve()
            if real not in seen:
                seen.add(real)
                inputs.append(_judge(found, shown, named=not path.is_dir(), sources=sources))
    return inputs


def walk_files(path: Path) -> Iterator[tuple[Path, PurePath]]:
    """Files under a path, sorted, each with the path patterns see; links to folders are not followed."""
    if not path.is_dir():
        yield path, path
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            found = Path(folder, name)
            yield found, found.relative_to(path)


def _judge(path: Path, shown: PurePath, *, named: bool, sources: Sequence[Source]) -> Input:
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
        head = _head(path) if is_file else b""
    except FileNotFoundError:
        return Input(path, path.name, error="There is no such file.")
    except OSError as error:
        return Input(path, path.name, error=f"The file cannot be opened: {error.strerror}.")
    if not is_file:
        return Input(path, path.name, error="This is no ordinary file.")
    matching = [source for source in sources if _matches(shown, source.pattern)]
    if len(matching) > 1:
        names = ", ".join(source.name for source in matching)
        return Input(path, path.name, error=f"Patterns of several sources match the file: {names}.")
    source = matching[0] if matching else None
    found = _by_content(path.name, head)
    if not head and (source or named or not _no_data(path, head)):
        return Input(path, path.name, source=source, error="The file is empty.")
    if source is not None:
        return _by_pattern(path, source, found, named=named)
    return _without_pattern(path, head, found, named=named)


def _by_content(name: str, head: bytes) -> list[tuple[Importer, Recognised | Ignored]]:
    verdicts = ((importer, importer.recognise(name, head)) for importer in FORMATS)
    return [(importer, verdict) for importer, verdict in verdicts if verdict is not None]


def _by_pattern(
    path: Path, source: Source, found: Iterable[tuple[Importer, Recognised | Ignored]], *, named: bool
) -> Input:
    verdicts = {importer.format: (importer, verdict) for importer, verdict in found}
    if source.format in verdicts:
        importer, verdict = verdicts[source.format]
        if isinstance(verdict, Ignored):
            return _ignored(path, verdict.reason, named=named)
        dataset = verdict.dataset if source.format == "sdtm" else source.name
        return Input(path, path.name, importer, Recognised(source.format, dataset), source)
    if verdicts or source.format == "sdtm":
        content = " or ".join(_WORDS.get(format, format) for format in verdicts) or "something else"
        said = _WORDS.get(source.format, source.format)
        return Input(
            path,
            path.name,
            source=source,
            error=f"The protocol's source {source.name} says {said}, the content is {content}.",
        )
    reader = next((importer for importer in FORMATS if importer.format == source.format), None)
    if reader is None:
        return Input(path, path.name, source=source, error=f"The format {source.format} is not read.")
    return Input(path, path.name, reader, Recognised(source.format, source.name), source)


_WORDS = {
    "sdtm": "an SDTM data set",
    "dose_log": "a dose log",
    "enrolment": "an enrolment list",
    "adverse_events": "a list of adverse events",
    "redcap": "a REDCap export",
    "odm": "a CDISC ODM file",
    "edc_forms": "forms of a data capture system",
}


def _without_pattern(
    path: Path, head: bytes, found: Sequence[tuple[Importer, Recognised | Ignored]], *, named: bool
) -> Input:
    readers = [(importer, verdict) for importer, verdict in found if isinstance(verdict, Recognised)]
    if len(readers) > 1:
        formats = " and ".join(_WORDS.get(importer.format, importer.format) for importer, _ in readers)
        return Input(
            path,
            path.name,
            error=f"The content could be {formats}; add a [[source]] with its pattern to protocol.toml.",
        )
    if readers:
        importer, recognised = readers[0]
        return Input(path, path.name, importer, recognised)
    reason = next((verdict.reason for _, verdict in found if isinstance(verdict, Ignored)), None)
    reason = reason or _no_data(path, head)
    if reason is not None:
        return _ignored(path, reason, named=named)
    return Input(
        path, path.name, error="Nothing recognises this file; add a [[source]] with its pattern to protocol.toml."
    )


def _ignored(path: Path, reason: str, *, named: bool) -> Input:
    if named:
        return Input(path, path.name, error=f"The file holds nothing to import: {reason}.")
    return Input(path, path.name, ignored=reason)


def _no_data(path: Path, head: bytes) -> str | None:
    """Why a file is no data; None when it may be some."""
    name = path.name.lower()
    if name.startswith((".", "~$")) or name in ("thumbs.db", "desktop.ini"):
        return "a file of the system"
    if path.stem.lower() in _NO_DATA_NAMES or name.split("-")[0].split("_")[0] in _NO_DATA_NAMES:
        return "a licence or a note"
    ending = PurePath(name).suffix
    if ending in _NO_DATA_ENDINGS:
        return _NO_DATA_ENDINGS[ending]
    if name.startswith("define") and ending == ".xml":
        return "describes data sets (Define-XML)"
    if ending == ".json":
        return _json_without_rows(head)
    return None


def _json_without_rows(head: bytes) -> str | None:
    """A schema, or a complete object without lists of records; anything else may hold rows."""
    members = top_level(head)
    if _SCHEMA_KEYS & set(members):
        return "a JSON schema"
    complete = len(head) < HEAD_BYTES and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and members
    records = any(
        isinstance(value, list) and any(isinstance(item, (list, dict)) for item in value) for value in members.values()
    )
    return "JSON without rows" if complete and not records else None


def _matches(shown: PurePath, pattern: str) -> bool:
    """Whether a pattern fits the file's name or, with folders in it, the end of its path."""
    return shown.match(pattern)


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)
