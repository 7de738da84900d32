"""De-identified exports: which there are, and the rows as they may leave."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from store.errors import UsageProblem

if TYPE_CHECKING:
    import polars as pl

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


MAY_BE_TYPED = {"adae": ("AEDECOD",), "deviation": ("category",)}
"""Columns that hold the reported words where an event is uncoded, or words of a list that nobody coded."""


POOLED = ("summary", "arm-summary", "result")
"""Exports without rows of subjects."""

OF_EVENTS = {
    "event_dose": ("event_seq", ("onset_date", "last_dose_at", "hours_since_dose")),
    "adtte": ("SRCSEQC", ("ADT", "AVAL")),
}
"""Tables without a flag of completed dates: which event a row is about, and what tells its day."""


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
            if what not in POOLED:
                frame = frame.drop("data_cut", strict=False)
        elif part.name in NO_NEED or what == "dictionary":
            frame = part.frame
        else:
            frame = part.frame.drop(MAY_BE_TYPED.get(part.name, ()))
            frame = deidentify(_without_completed_events(reader, part.name, frame), names, smallest)
        parts.append(Part(part.name, frame, part.columns))
    results = suppress_small_cells(rows.results, smallest, screened) if rows.results else ()
    population = rows.population
    if population.startswith("subjects screened that match"):
        population = "subjects screened that match a filter, which the ledger holds"
    elif population.startswith("subject "):
        population = "one subject"
    return replace(rows, parts=parts, results=results, population=population)


def check_file_name(reader: Reader, name: str) -> None:
    """Raises UsageProblem for a file named after a subject, a site or a device."""
    words = "subject_id FROM subject", "site_id FROM site", "device_id FROM device"
    known = {
        value for sql in words if reader.table_columns(sql.split()[-1]) for (value,) in reader.rows(f"SELECT {sql}")
    }
    found = [one for one in known if one and re.search(rf"(?<![^\W_]){re.escape(one)}(?![^\W_])", name, re.IGNORECASE)]
    if found:
        raise UsageProblem(
            f"The file name holds the identifier {min(found)}.",
            effect="Nothing was written.",
            remedy="A de-identified file needs a name without it.",
        )


def _without_completed_events(reader: Reader, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    if name not in OF_EVENTS:
        return frame
    sequence, told = OF_EVENTS[name]
    subject = "USUBJID" if "USUBJID" in frame.columns else "subject_id"
    found = reader.rows("SELECT subject_id, event_seq FROM adverse_event_derived WHERE start_imputed IS NOT NULL")
    completed = pl.DataFrame(found, schema={subject: pl.String, sequence: pl.String}, orient="row")
    marked = frame.join(
        completed.unique().with_columns(completed=True), [subject, sequence], "left", maintain_order="left"
    )
    whole = pl.col("completed").is_null()
    return marked.with_columns(pl.when(whole).then(pl.col(column)).alias(column) for column in told).drop("completed")
