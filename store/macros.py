"""Table macros of a release: the rows of table ``result`` that `dosetrail summary` prints, called like a function.

``FROM dose_accuracy(population := 'safety', by := 'firmware')``. Nothing is computed: a macro selects. It reads
tables only, because EXPORT DATABASE writes macros before views. In a file attached beside others a macro needs
``USE name`` first (a view does not).
"""

from __future__ import annotations

from dataclasses import dataclass

from store.macros_day import DAY_MACROS
from store.schema import text_literal

ALL = "ALL"
"""Value of ``by`` that asks for the overall figures and every breakdown."""


@dataclass(frozen=True)
class Macro:
    """One macro: the family of results (result.analysis) it selects from."""

    name: str
    analysis: str
    subject: str

    @property
    def comment(self) -> str:
        return (
            f"{self.subject}: the rows of table result with analysis = {self.analysis}, as `dosetrail summary` has "
            "them. population: NULL for every population; by: NULL for figures that are not broken down, the name "
            f"of a breakdown (result.by), or {ALL} for both"
        )

    def create_sql(self) -> str:
        return (
            f'CREATE MACRO {self.name}(population := NULL, "by" := NULL) AS TABLE '
            f"SELECT r.* FROM result r WHERE r.analysis = '{self.analysis}' "
            "AND (population IS NULL OR r.population = population) "
            f"""AND ("by" = '{ALL}' OR r."by" IS NOT DISTINCT FROM "by")"""
        )


MACROS: tuple[Macro, ...] = (
    Macro("dose_accuracy", "accuracy", "Dose accuracy by arm"),
    Macro("compliance", "compliance", "Compliance by arm"),
    Macro("adverse_event_incidence", "adverse_events", "Adverse events by arm: incidence, rates and time to first"),
    Macro("exposure_summary", "exposure", "Exposure by arm"),
    Macro("enrolment_summary", "enrolment", "Enrolment, populations, demographics and disposition by arm"),
)


PUBLISHED_TABLES = {
    "teae": "Treatment-emergent events by class and term: subjects, events, Fisher p",
    "teae_serious": "Serious treatment-emergent events by class and term: subjects, events, Fisher p",
}
"""Published tables that are reproduced when they are asked for by name, p values included."""

PUBLISHED_ROWS = """\
SELECT r.* FROM result r
WHERE r.analysis = 'adverse_events' AND r.parameter = 'teae' AND r.estimand IS NULL AND r.period IS NULL
    AND r.statistic IN ('incidence', 'events', 'p_value')
    AND CASE {name} WHEN 'teae' THEN r."by" IS NULL
        WHEN 'teae_serious' THEN r."by" = 'seriousness' AND r.by_value = 'serious' END"""
"""SQL of their rows; ``name`` is to be filled in."""

_PUBLISHED_SQL = 'CREATE MACRO published_table("name") AS TABLE ' + PUBLISHED_ROWS.format(name='"name"')
_PUBLISHED_COMMENT = (
    "A published table reproduced on request, the rows of table result as `dosetrail summary --table NAME` has them: "
    + ", ".join(PUBLISHED_TABLES)
    + ". Its p values are descriptive and not adjusted"
)


def macro_sql() -> list[str]:
    """Statements that create every macro with its comment."""
    statements: list[str] = []
    for macro in MACROS:
        comment = macro.comment.replace("'", "''")
        statements += [macro.create_sql(), f"COMMENT ON MACRO TABLE {macro.name} IS '{comment}'"]
    for name, (sql, comment) in {**DAY_MACROS, "published_table": (_PUBLISHED_SQL, _PUBLISHED_COMMENT)}.items():
        statements += [sql, f"COMMENT ON MACRO TABLE {name} IS {text_literal(comment)}"]
    return statements
