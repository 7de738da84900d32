"""What each export holds: its rows, the meaning of the columns, and who is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.errors import UsageProblem
from tui.export_meanings import PATIENT_MEANINGS, PROFILE_MEANINGS

if TYPE_CHECKING:
    import polars as pl

    from analysis.exports import Part
    from store.study import Study
    from tui.pages import Source
    from tui.reading import Reader

NAMED = {
    "summary": "every result: accuracy, compliance, adverse events, enrolment, exposure",
    "arm-summary": "the results as printed, one arm a column",
    "patients": "one row per patient, as listed by `dosetrail patients`",
    "doses": "planned doses with what became of them (dose_match)",
    "adverse-events": "adverse events as recorded, with derived dates",
    "patient-profile": "everything about one patient (--subject)",
    "queries": "queries with their answers, as they stand now",
    "quarantine": "rows in quarantine with reason, file and line",
    "files": "imported files with what became of their rows (source_file)",
    "audit-trail": "the ledger: who did what, when and why",
    "full": "every table of the release",
    "dictionary": "every column of the release with its meaning",
}
"""Exports by the field's words; beside them any table or view of the release goes by its name."""

TABLE_NAMES = {"doses": "dose_match", "files": "source_file"}
WHAT = f"{', '.join(NAMED)}, or a table or view of the release by its name (dose_event, adsl ...)."
SEVERAL = ("patient-profile", "full")
"""Exports of several tables."""

EVERYBODY = "all subjects screened"
NO_SUBJECTS = ("dictionary", "files", "audit-trail", "full")

PROFILE_TABLES = (
    "subject", "treatment_period", "consent", "disposition", "visit", "deviation", "accountability", "population",
    "adverse_event_derived", "subject_exposure", "subject_adherence", "subject_accuracy", "query", "safety_report",
)  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """What the rows are chosen by."""

    filter: str = ""
    population: str | None = None
    subject: str | None = None
    through: int | None = None
    """Last row of the ledger that counts; None: the newest."""
    unblinded: bool = False
    as_known: bool = False
    """An earlier release was asked for: without `through`, the ledger counts as far as that release knows it."""


@dataclass(frozen=True)
class Rows:
    """The tables of an export; one of them, but for SEVERAL."""

    parts: Sequence[Part]
    population: str
    through: int | None = None
    """Last row of the ledger that counted, for what is read from the ledger."""
    results: Sequence[dict[str, Any]] = field(default=())


def read_rows(study: Study, reader: Reader, what: str, chosen: Chosen) -> Rows:
    """The rows of an export of an open release. Raises UsageProblem for what it does not have."""
    _check(what, chosen)
    special: dict[str, Callable[[], Rows]] = {
        "summary": lambda: _summary(reader, chosen.population),
        "arm-summary": lambda: Rows((), chosen.population or "see column population", results=results_of(reader)),
        "patients": lambda: _patients(reader, chosen.filter),
        "adverse-events": lambda: _events(reader, chosen.filter),
        "patient-profile": lambda: _profile(reader, chosen.subject or ""),
        "queries": lambda: _queries(study, reader, chosen),
        "audit-trail": lambda: _audit_trail(study, reader, chosen),
        "full": lambda: _full(reader),
        "dictionary": lambda: _one(what, _dictionary(reader), {}, "does not apply"),
    }
    return special[what]() if what in special else _table(reader, what, chosen.filter)


def _check(what: str, chosen: Chosen) -> None:
    if chosen.filter and (what in NO_SUBJECTS or what in ("summary", "arm-summary", "patient-profile")):
        raise UsageProblem(
            f"--filter chooses patients; {what} has no rows of single patients to choose from.",
            remedy="Leave it out, or ask with dosetrail sql --csv.",
        )
    if chosen.population is not None and what not in ("summary", "arm-summary"):
        raise UsageProblem(
            "--population is for summary and arm-summary.",
            remedy="Leave it out; the table population says who belongs.",
        )
    if (chosen.subject is not None) != (what == "patient-profile"):
        raise UsageProblem(
            "A patient profile is of one --subject, and only it takes one.",
            remedy="dosetrail export patient-profile --subject ID --out profile.html; lists take --filter subject:ID.",
        )
    if chosen.through is not None and what not in ("queries", "audit-trail"):
        raise UsageProblem("--through is for queries and audit-trail.", remedy="Leave it out.")


def _one(what: str, frame: pl.DataFrame, meanings: dict[str, str], population: str, through: int | None = None) -> Rows:
    from analysis.exports import Part

    return Rows((Part(what, frame, meanings),), population, through)


def results_of(reader: Reader) -> list[dict[str, Any]]:
    """All rows of table result, as they stand in the release."""
    return reader.records("SELECT * FROM result")


def _summary(reader: Reader, population: str | None) -> Rows:
    frame = reader.frame("SELECT * FROM result")
    require_population(frame["population"].to_list(), population)
    if population is not None:
        frame = frame.filter(frame["population"] == population)
    held = reader.table_columns("result")
    shown = population or "see column population"
    return _one("summary", frame.select(held), reader.meanings("result"), shown)


def require_population(known: Sequence[str], population: str | None) -> None:
    """Raises UsageProblem for a population no result is for."""
    if population is not None and population not in known:
        names = ", ".join(sorted(set(known)))
        raise UsageProblem(f"No result is for a population {population}.", remedy=f"There are: {names}.")


def arm_frame(rows: Sequence[dict[str, Any]], arms: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str]]:
    """Results as a table for people: a row for each figure, a column for each arm (`arms`: codes in order)."""
    import polars as pl

    from tui.result_rows import FAMILIES, POOLED, cell_text, group_results

    seen = {row["arm"] or POOLED for row in rows}
    names = [*(code for code in arms if code in seen), *sorted(seen - set(arms) - {POOLED})]
    names += [POOLED] if POOLED in seen else []
    heads = {code: "all arms" if code == POOLED else code for code in names}
    made: list[dict[str, str | None]] = []
    for family, title in FAMILIES:
        for block in group_results([row for row in rows if row["analysis"] == family]):
            for place, figure in enumerate(block.figures):
                # A line of a table may be read alone: what is said of the block's first figure is said with it.
                label = figure.label if place == 0 else f"{block.figures[0].label}: {figure.label}"
                some = next(iter(figure.values.values()))
                line: dict[str, str | None] = {
                    "family": title,
                    "population": some["population"],
                    "soc": some["soc"],
                    "figure": label,
                    "statistic": figure.statistic,
                    "comparator": figure.comparator,
                }
                line |= {heads[code]: cell_text(figure.values.get(code), 60) or None for code in names}
                reasons = {row["not_assessable"] for row in figure.values.values() if row["not_assessable"]}
                line["not_assessable"] = "; ".join(sorted(reasons)) or None
                line["method"] = some["method"]
                made.append(line)
    fixed = ("family", "population", "soc", "figure", "statistic", "comparator")
    schema = dict.fromkeys((*fixed, *heads.values(), "not_assessable", "method"), pl.String)
    meanings = {
        "family": "Family of results",
        "population": "Population",
        "soc": "System organ class",
        "figure": "What the figure is of, with its unit",
        "statistic": "Statistic",
        "comparator": "Arm it is compared with",
        **{head: f"As printed: counts and value, or difference with interval, of {head}" for head in heads.values()},
        "not_assessable": "Why a figure cannot be given",
        "method": "Method and rule",
    }
    return pl.DataFrame(made, schema=schema), meanings


def _matching(words: str) -> str:
    return f"subjects screened that match {words}" if words else EVERYBODY


def _patients(reader: Reader, words: str) -> Rows:
    from tui.patient_rows import PATIENTS

    shown = reader.open_list(PATIENTS, words)
    withheld = "arm_shown, arm" if reader.facts.blinded else "arm_shown"
    frame = reader.frame(f"SELECT * EXCLUDE ({withheld}) FROM {shown} ORDER BY rowid")
    return _one("patients", frame, PATIENT_MEANINGS, _matching(words))


def _only(reader: Reader, words: str, subject: str) -> str:
    """A WHERE clause for the patients of a filter; empty without one."""
    from tui.patient_rows import PATIENTS

    if not words:
        return ""
    shown = reader.open_list(PATIENTS, words)
    return f" WHERE {subject} IN (SELECT subject FROM {shown})"


def _events(reader: Reader, words: str) -> Rows:
    recorded = reader.table_columns("adverse_event")
    derived = [name for name in reader.table_columns("adverse_event_derived") if name not in recorded]
    names = ", ".join([*(f'e."{name}"' for name in recorded), *(f'd."{name}"' for name in derived)])
    frame = reader.frame(
        f"SELECT {names} FROM adverse_event e LEFT JOIN adverse_event_derived d USING (subject_id, event_seq)"
        f"{_only(reader, words, 'e.subject_id')} "
        "ORDER BY e.subject_id, d.start_date, e.event_seq, e.source_id, e.line"
    )
    meanings = {**reader.meanings("adverse_event_derived"), **reader.meanings("adverse_event")}
    return _one("adverse-events", frame, meanings, _matching(words))


def _table(reader: Reader, what: str, words: str) -> Rows:
    from store.tables import TABLES
    from store.views import all_views

    name = TABLE_NAMES.get(what, what.replace("-", "_").lower())
    views = {view.name: view for view in all_views()}
    if name not in TABLES and name not in views:
        raise UsageProblem(f"There is nothing called {what} to export.", remedy=f"Choose: {WHAT}", what=what)
    columns = reader.table_columns(name)
    if not columns and not reader.facts.blinded:
        raise UsageProblem(f"Release {reader.facts.release} has no {name}.", remedy="A newer release may have it.")
    if not columns:
        raise UsageProblem(f"A blinded release withholds {name}.", remedy="The unblinded role reads it: --unblinded.")
    subject = next((column for column in ("subject_id", "USUBJID") if column in columns), None)
    if words and subject is None:
        raise UsageProblem(f"--filter chooses patients, and {what} is not about patients.", remedy="Leave it out.")
    frame = _ordered(reader, name, columns, _only(reader, words, f'"{subject}"'))
    return _one(what, frame, reader.meanings(name), _matching(words))


def _ordered(reader: Reader, name: str, columns: Sequence[str], where: str = "") -> pl.DataFrame:
    """A table in its declared order, a view in the order of all its columns: neither threads nor plans decide."""
    from store.tables import TABLES

    sort = [column for column in TABLES[name].sort if column in columns] if name in TABLES else list(columns)
    order = ", ".join(f'"{column}"' for column in sort)
    names = ", ".join(f'"{column}"' for column in columns)
    return reader.frame(f"SELECT {names} FROM release.main.{name}{where}" + (f" ORDER BY {order}" if order else ""))


def _full(reader: Reader) -> Rows:
    from analysis.exports import Part
    from store.tables import TABLES

    parts = [
        Part(name, _ordered(reader, name, columns), reader.meanings(name))
        for name in TABLES
        if (columns := reader.table_columns(name))
    ]
    return Rows(parts, EVERYBODY)


def _profile(reader: Reader, subject: str) -> Rows:
    from analysis.exports import Part
    from tui.patient_rows import devices_of, doses_of, events_of, intervals_of

    if not reader.rows("SELECT 1 FROM subject WHERE subject_id = ?", [subject]):
        raise UsageProblem(f"There is no subject {subject} in the study.", remedy="dosetrail patients lists them.")
    parts = []

    def add(name: str, frame: pl.DataFrame, meanings: dict[str, str]) -> None:
        if frame.height:
            parts.append(Part(name, frame, meanings))

    literal = "'" + subject.replace("'", "''") + "'"
    overview = _patients(reader, "").parts[0]
    add("overview", overview.frame.filter(overview.frame["subject"] == subject), dict(overview.columns))
    lists: dict[str, Source] = {
        "doses": doses_of(subject),
        "dosing_intervals": intervals_of(subject),
        "adverse_events": events_of(subject),
        "devices": devices_of(subject),
    }
    for name, source in lists.items():
        shown = reader.open_list(source)
        frame = reader.frame(f"SELECT {literal} AS subject_id, * EXCLUDE (kept_in) FROM {shown} ORDER BY rowid")
        add(name, frame, PROFILE_MEANINGS)
    for name in PROFILE_TABLES:
        columns = reader.table_columns(name)
        if columns:
            frame = _ordered(reader, name, columns, f" WHERE subject_id = {literal}")
            add(name, frame, reader.meanings(name))
    return Rows(parts, f"subject {subject}")


def _through(study: Study, reader: Reader, chosen: Chosen) -> int:
    head = study.ledger.head().seq
    if chosen.through is None and chosen.as_known:
        return reader.known_to()
    return head if chosen.through is None else min(chosen.through, head)


def _queries(study: Study, reader: Reader, chosen: Chosen) -> Rows:
    import polars as pl

    from tui.patient_rows import PATIENTS
    from tui.query_state import read_queries

    through = _through(study, reader, chosen)
    state = read_queries(study, reader, upto=through)
    of = None
    if chosen.filter:
        shown = reader.open_list(PATIENTS, chosen.filter)
        of = {subject for (subject,) in reader.rows(f"SELECT subject FROM {shown}")}
    held = reader.table_columns("query")
    rows = [
        {**{name: getattr(query, name) for name in held}, "pending": query.query_id in state.pending}
        for query in sorted(state.queries.values(), key=lambda query: query.query_id)
        if of is None or query.subject_id in of
    ]
    stored = reader.frame("SELECT * FROM query LIMIT 0")
    schema: dict[str, Any] = {
        name: pl.String if isinstance(stored.schema[name], (pl.Enum, pl.Categorical)) else stored.schema[name]
        for name in held
    }
    frame = pl.DataFrame(rows, schema={**schema, "pending": pl.Boolean})
    meanings = {**reader.meanings("query"), "pending": "Has steps newer than the release"}
    return _one("queries", frame, meanings, _matching(chosen.filter), through)


def _audit_trail(study: Study, reader: Reader, chosen: Chosen) -> Rows:
    import datetime as dt

    import polars as pl

    from store.tables import TABLES

    through = _through(study, reader, chosen)
    ledgers = [("ledger", study.ledger.read(upto=through))]
    if chosen.unblinded and study.has_unblinded_ledger:
        ledgers.append(("unblinded", study.unblinded_ledger.read()))
    start = dt.datetime(1970, 1, 1)
    rows = [
        {
            "kept_in": kept,
            "seq": row.seq,
            "at_utc": start + dt.timedelta(microseconds=row.utc_us),
            "user_name": row.user,
            "role": row.role,
            "host": row.host,
            "action": row.action,
            "record": row.record,
            "field": row.field,
            "old_value": row.old,
            "new_value": row.new,
            "reason": row.reason,
            "hash": row.hash,
        }
        for kept, entries in ledgers
        for row in entries
    ]
    texts = dict.fromkeys(("kept_in", "user_name", "role", "host", "action", "record", "field"), pl.String)
    texts |= dict.fromkeys(("old_value", "new_value", "reason", "hash"), pl.String)
    order = ["kept_in", "seq", "at_utc", *TABLES["ledger"].column_names[2:]]
    schema = {name: texts.get(name, pl.Int64 if name == "seq" else pl.Datetime("us")) for name in order}
    frame = pl.DataFrame(rows, schema=schema)
    if reader.facts.blinded:
        # What stands in an entry may give an arm away; that something was done does not.
        frame = frame.drop(column.name for column in TABLES["ledger"].columns if column.blinding == "never")
    meanings = {column.name: column.comment for column in TABLES["ledger"].columns}
    meanings["kept_in"] = "ledger, or the ledger of the unblinded group"
    return _one("audit-trail", frame, meanings, "does not apply", through)


def _dictionary(reader: Reader) -> pl.DataFrame:
    return reader.frame(
        'SELECT table_name AS "table", column_name AS "column", data_type AS "type", NOT is_nullable AS required, '
        "comment AS meaning FROM duckdb_columns() WHERE database_name = 'release' ORDER BY schema_name, table_oid, "
        "column_index"
    )
