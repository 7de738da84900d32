"""De-identified exports: which there are, and the rows as they may leave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from store.errors import UsageProblem

if TYPE_CHECKING:
    from analysis.identity import Pseudonyms
    from tui.export_rows import Rows
    from tui.reading import Reader

NEVER = {
    "audit-trail": "it says who did what to which record",
    "ledger": "it says who did what to which record",
    "files": "file names and times of files name people and places",
    "source_file": "file names and times of files name people and places",
    "quarantine": "it holds rows as received",
    "role_holder": "it names users",
    "build_info": "it is about the release",
    "site": "it names places",
    "supplemental": "it holds values of any kind",
    "relation": "it holds values of any kind",
    "finding_about": "it holds values of any kind",
    "device_property": "it holds serials",
    "device_history": "it holds serials",
    "sdtm_di": "it holds serials",
    "device_clock": "it holds places and a device's counter",
    "finding": "it quotes values that were found",
    "regimen": "a regimen may be one subject's",
    "upload_interval": "it is about no subject",
    "study_setting": "it is about no subject",
    "arm": "it is about no subject",
    "planned_visit": "it is about no subject",
}
"""Tables without a de-identified form, and why."""

NO_NEED = ("arm", "planned_visit", "upload_interval", "study_setting")
"""Of these, what belongs into a full data set as it is."""


MAY_BE_TYPED = {"adae": ("AEDECOD",)}
"""Columns that hold the reported words where an event is uncoded."""


def deidentified_rows(reader: Reader, what: str, rows: Rows, names: Pseudonyms, smallest: int) -> Rows:
    """The rows without what tells who they are. Raises UsageProblem for what has no such form."""
    import polars as pl

    from analysis.exports import Part
    from analysis.identity import deidentify
    from analysis.small_cells import suppress_small_cells

    name = what.replace("-", "_") if what not in NEVER else what
    if name in NEVER and name not in NO_NEED:
        raise UsageProblem(
            f"{what} has no de-identified form: {NEVER[name]}.",
            effect="Nothing was written.",
            remedy="Choose another export, or give it as it is: --identity as-is.",
        )
    screened = int(reader.rows("SELECT count(*) FROM subject")[0][0])
    parts = []
    for part in rows.parts:
        if part.name in NEVER and part.name not in NO_NEED:
            continue
        if part.name in ("summary", "result"):
            kept = suppress_small_cells(part.frame.to_dicts(), smallest, screened) if "by" in part.frame.columns else []
            frame = pl.DataFrame(kept, schema=part.frame.schema)
        elif part.name in NO_NEED or what == "dictionary":
            frame = part.frame
        else:
            frame = deidentify(part.frame.drop(MAY_BE_TYPED.get(part.name, ())), names, smallest)
        parts.append(Part(part.name, frame, part.columns))
    results = suppress_small_cells(rows.results, smallest, screened) if rows.results else ()
    population = rows.population
    if population.startswith("subjects screened that match"):
        population = "subjects screened that match a filter, which the ledger holds"
    elif population.startswith("subject "):
        population = "one subject"
    return replace(rows, parts=parts, results=results, population=population)
