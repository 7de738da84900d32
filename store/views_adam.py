"""ADaM-shaped views: ADSL, ADEX, ADAE, ADTTE, and per subject adherence (ADADH) and accuracy (ADACC)."""

from __future__ import annotations

from store.views import STUDYID, View, date, day_of, flag, number, only_yes, real, text

USUBJID = text("USUBJID", "t.subject_id", "Subject identifier")
SITEID = text("SITEID", "s.site_id", "Site")
TRTP = text("TRTP", "coalesce(p.arm, s.arm_code)", "Planned treatment")
TRTA = text("TRTA", "coalesce(a.arm, s.actual_arm_code)", "Actual treatment")
SAFFL = flag("SAFFL", "f.safety", "Y: safety population")
WHO = (STUDYID, USUBJID, SITEID, TRTP, TRTA, SAFFL)
DRUG = text("DRUG", "t.drug", "Drug the parameter is about")
CHANNEL = text("CHANNEL", "t.channel", "Channel of a multi-channel device")
PARAM = text("PARAM", "t.param", "Parameter")

_FLAGS = """(
  SELECT subject_id,
    bool_or(member) FILTER (population = 'enrolled') AS enrolled,
    bool_or(member) FILTER (population = 'randomised') AS randomised,
    bool_or(member) FILTER (population = 'safety') AS safety,
    bool_or(member) FILTER (population = 'per_protocol') AS per_protocol,
    bool_or(member) FILTER (population = 'accuracy_evaluable') AS accuracy_evaluable,
    bool_or(member) FILTER (population = 'compliance_evaluable') AS compliance_evaluable,
    bool_or(member) FILTER (population IN ('intention_to_treat', 'intent_to_treat', 'itt')
      OR rule LIKE 'supplied flag SUPPDM.ITT %') AS intention_to_treat
  FROM population GROUP BY subject_id) f"""

_SUBJECT = (
    "subject s ON s.subject_id = t.subject_id LEFT JOIN arm p ON p.arm_code = s.arm_code "
    f"LEFT JOIN arm a ON a.arm_code = s.actual_arm_code LEFT JOIN {_FLAGS} ON f.subject_id = t.subject_id"
)


def _ending(scope: str) -> str:
    """The earliest recorded end of participation or of treatment of each subject, and how it ended."""
    return (
        "(SELECT subject_id, min(disposition_date) AS ended, "
        "min_by(coalesce(decoded, term, 'not stated'), (disposition_date, disposition_seq)) AS reason "
        f"FROM disposition WHERE coalesce(category, 'DISPOSITION EVENT') = 'DISPOSITION EVENT' AND {scope} "
        "GROUP BY subject_id)"
    )


_STUDY_END = _ending("coalesce(scope, '') <> 'STUDY TREATMENT'")
_TREATMENT_END = _ending("coalesce(scope, 'STUDY TREATMENT') = 'STUDY TREATMENT'")


def _state(alias: str) -> str:
    return (
        f"CASE WHEN {alias}.reason = 'COMPLETED' THEN 'COMPLETED' WHEN {alias}.reason IS NOT NULL "
        "THEN 'DISCONTINUED' ELSE 'ONGOING' END"
    )


ADSL = View(
    "adsl",
    "Subject level: one row per enrolled subject with arms, populations, treatment dates and disposition (ADSL)",
    (
        STUDYID,
        USUBJID,
        text("SUBJID", "s.subject_number", "Number within the site"),
        SITEID,
        number("AGE", "s.age", "Age at enrolment in AGEU"),
        text("AGEU", "s.age_unit", "Unit of age"),
        text("SEX", "s.sex", "Sex as recorded"),
        text("RACE", "s.race", "Race as recorded"),
        text("ETHNIC", "s.ethnicity", "Ethnicity as recorded"),
        text("COUNTRY", "s.country", "Country as recorded"),
        text("ARMCD", "s.arm_code", "Planned arm, code"),
        text("ARM", "coalesce(p.arm, s.arm_code)", "Planned arm"),
        text("TRT01P", "coalesce(p.arm, s.arm_code)", "Planned treatment: the planned arm"),
        text("TRT01A", "coalesce(a.arm, s.actual_arm_code)", "Actual treatment: the actual arm"),
        flag("RANDFL", "f.randomised", "Y: randomised"),
        flag("ITTFL", "coalesce(f.intention_to_treat, f.randomised)", "Y: supplied ITT flag, else randomised"),
        SAFFL,
        flag("PPROTFL", "f.per_protocol", "Y: per protocol"),
        flag("ACCEVFL", "f.accuracy_evaluable", "Y: a dose with two amounts that can be compared"),
        flag("CMPEVFL", "f.compliance_evaluable", "Y: a monitored expected dose"),
        date("TRTSDT", "t.first_dose", "First day treated: first dose or recorded exposure"),
        date("TRTEDT", "t.treated_to", "Last day treated; an open exposure interval ends with treatment"),
        number("TRTDURD", "t.treated_to - t.first_dose + 1", "Days from TRTSDT to TRTEDT, both counted"),
        date("AESDT", "t.treatment_start", "Start of treatment for adverse events: first dose or device procedure"),
        text("RFSTDTC", "s.reference_start", "Reference start as recorded"),
        text("RFENDTC", "s.reference_end", "Reference end as recorded"),
        text("EOSSTT", _state("e"), "End of study: COMPLETED, DISCONTINUED or ONGOING"),
        date("EOSDT", "e.ended", "End of study as recorded"),
        text("DCDECOD", "e.reason", "End of study, controlled term"),
        text("DCSREAS", "CASE WHEN e.reason <> 'COMPLETED' THEN e.reason END", "Reason for ending the study early"),
        text(
            "EOTSTT", _state("o"), "End of treatment: COMPLETED, DISCONTINUED or ONGOING (end of study if not stated)"
        ),
        date("EOTDT", "t.treatment_end", "End of treatment as recorded"),
        text("DCTREAS", "CASE WHEN o.reason <> 'COMPLETED' THEN o.reason END", "Reason for ending treatment early"),
        only_yes("DTHFL", "s.died", "Y: death recorded"),
        date("DTHDT", "s.death_date", "Death"),
    ),
    f"subject_course t JOIN {_SUBJECT} "
    f"LEFT JOIN {_STUDY_END} e ON e.subject_id = t.subject_id "
    f"LEFT JOIN {_TREATMENT_END} o ON o.subject_id = t.subject_id "
    "WHERE f.enrolled",
    "t.subject_id",
)

ADEX = View(
    "adex",
    "Exposure per subject, drug and parameter (ADEX); ANL01FL = Y is the basis of the summary's figures",
    (
        *WHO,
        DRUG,
        text("PARCAT1", "'OVERALL'", "Over the whole treatment"),
        text("PARAMCD", "t.paramcd", "TDURD, TNDOSE, TDOSE, AVDDSE, TPDOSE, TDOSINT"),
        PARAM,
        real("AVAL", "t.aval", "Value; NULL when not stated for every dose (dose intensity: when the plan is 0)"),
        text("AVALU", "t.avalu", "Unit of AVAL"),
        text("BASIS", "t.basis", "recorded intervals or dose events"),
        only_yes("ANL01FL", "t.is_default", "Y: the basis of the summary's figures"),
        date("ASTDT", "t.first_date", "First treated day"),
        date("AENDT", "t.last_date", "Last treated day"),
    ),
    """(
  SELECT x.*, v.paramcd, v.param, v.aval, v.avalu, v.place FROM subject_exposure x, LATERAL (
    VALUES (1, 'TDURD', 'Days treated', CAST(x.days AS DOUBLE), 'd'),
      (2, 'TNDOSE', 'Doses', CAST(x.doses AS DOUBLE), '1'),
      (3, 'TDOSE', 'Cumulative dose', CAST(x.total_amount AS DOUBLE), x.amount_unit),
      (4, 'AVDDSE', 'Average daily dose', CAST(x.total_amount AS DOUBLE) / nullif(x.days, 0), x.amount_unit || '/d'),
      (5, 'TPDOSE', 'Planned dose of the same days', CAST(x.planned_amount AS DOUBLE), x.amount_unit),
      (6, 'TDOSINT', 'Dose intensity',
        100 * (CAST(x.total_amount AS DOUBLE) / nullif(CAST(x.planned_amount AS DOUBLE), 0)), '%')
  ) v(place, paramcd, param, aval, avalu)
) t JOIN """
    + _SUBJECT,
    "t.subject_id, t.drug, t.basis, t.place",
)

_EMERGENT_FIRST = (
    "CASE WHEN d.treatment_emergent AND row_number() OVER (PARTITION BY d.subject_id, d.treatment_emergent{more} "
    "ORDER BY d.start_date NULLS LAST, TRY_CAST(d.event_seq AS BIGINT), d.event_seq) = 1 THEN 'Y' END"
)

ADAE = View(
    "adae",
    "Adverse events with completed dates, treatment emergence and first-occurrence flags (ADAE)",
    (
        *WHO,
        number("AESEQ", "coalesce(TRY_CAST(t.event_seq AS BIGINT), t.line)", "Sequence, else line in its file"),
        text("AESEQC", "t.event_seq", "Sequence as recorded, as text"),
        text("SPDEVID", "t.device_id", "Device where stated"),
        text("AETERM", "t.term", "Reported term"),
        text("AEDECOD", "d.table_term", "Dictionary term, else the reported one: the term of the tables"),
        text("AEBODSYS", "d.table_soc", "System organ class of the tables, else UNCODED"),
        text("AEHLT", "t.high_level_term", "High level term"),
        date("TRTSDT", "c.first_dose", "First day treated"),
        date("TRTEDT", "c.treated_to", "Last day treated"),
        text("AESTDTC", "t.start_text", "Start as recorded, possibly partial"),
        date("ASTDT", "d.start_date", "Start, completed"),
        text("ASTDTF", "d.start_imputed", "Completed parts of ASTDT: D, M or Y"),
        number("ASTDY", "d.study_day", "Study day of ASTDT"),
        text("AEENDTC", "t.end_text", "End as recorded, possibly partial"),
        date("AENDT", "d.end_date", "End, completed"),
        text("AENDTF", "d.end_imputed", "Completed parts of AENDT: D, M or Y"),
        number("AENDY", day_of("d.end_date", "c.treatment_start"), "Study day of AENDT"),
        number("ADURN", "d.end_date - d.start_date + 1", "Duration in days, both ends counted"),
        flag("TRTEMFL", "d.treatment_emergent", "Y: treatment-emergent by the protocol's rule"),
        text("AOCCFL", _EMERGENT_FIRST.format(more=""), "Y: first emergent event of the subject"),
        text("AOCCSFL", _EMERGENT_FIRST.format(more=", d.table_soc"), "Y: first emergent event in its class"),
        text("AOCCPFL", _EMERGENT_FIRST.format(more=", d.table_soc, d.table_term"), "Y: first emergent of its term"),
        text("AESEV", "t.severity", "Severity as recorded"),
        number("ASEVN", "d.severity_rank", "1 mild, 2 moderate, 3 severe"),
        text("AETOXGR", "t.grade", "Toxicity grade as recorded"),
        flag("AESER", "t.serious", "Serious as recorded"),
        text("AEREL", "t.causality", "Causality as recorded; NULL is not assessable"),
        flag("RELFL", "d.related", "Y: causality among the protocol's related values; NULL not assessable"),
        text("AERLDEV", "t.device_relation", "Relation to the device as recorded"),
        text("AEACN", "t.action_taken", "Action with study treatment"),
        text("AEOUT", "t.outcome", "Outcome as recorded"),
        flag("AESDTH", "t.results_in_death", "Results in death"),
        flag("AESHOSP", "t.hospitalisation", "Hospitalisation"),
        flag("AESLIFE", "t.life_threatening", "Life-threatening"),
    ),
    "adverse_event t JOIN adverse_event_derived d ON d.subject_id = t.subject_id AND d.event_seq = t.event_seq "
    f"LEFT JOIN subject_course c ON c.subject_id = t.subject_id LEFT JOIN {_SUBJECT}",
    "t.subject_id, AESEQ",
)

ADTTE = View(
    "adtte",
    "Days to the first treatment-emergent event: any, and each term protocol.toml lists (rate_terms); subjects without "
    "one are censored at the end of their time at risk (ADTTE)",
    (
        *WHO,
        text("PARAMCD", "t.paramcd", "TTAE: any event; TTAE1, TTAE2, ...: the protocol's terms in alphabetical order"),
        PARAM,
        number("AVAL", "coalesce(t.event_date, t.at_risk_to) - t.start_date + 1", "Days; the start is day 1"),
        date("STARTDT", "t.start_date", "Start of treatment for adverse events"),
        date("ADT", "coalesce(t.event_date, t.at_risk_to)", "Day of the event or of censoring"),
        number("CNSR", "CASE WHEN t.event_date IS NULL THEN 1 ELSE 0 END", "0 event, 1 censored"),
        text("EVNTDESC", "coalesce(t.event_term, 'End of time at risk')", "What happened"),
        text("SRCDOM", "CASE WHEN t.event_date IS NULL THEN 'ADSL' ELSE 'ADAE' END", "Where ADT comes from"),
        text("SRCSEQC", "t.event_seq", "adae.AESEQC of the event"),
    ),
    """(
  SELECT c.subject_id, q.paramcd, q.param, q.place, c.treatment_start AS start_date, c.at_risk_to,
    min(d.day) AS event_date, min_by(d.table_term, (d.day, d.event_seq)) AS event_term,
    min_by(d.event_seq, (d.day, d.event_seq)) AS event_seq
  FROM subject_course c
  JOIN population m ON m.subject_id = c.subject_id AND m.population = 'safety' AND m.member
  CROSS JOIN (
    SELECT 0 AS place, 'TTAE' AS paramcd, 'Time to first treatment-emergent adverse event' AS param, NULL AS term
    UNION ALL
    SELECT row_number() OVER (ORDER BY term), 'TTAE' || row_number() OVER (ORDER BY term),
      'Time to first treatment-emergent ' || term, term
    FROM (SELECT DISTINCT term FROM result WHERE parameter = 'events_per_1000_doses' AND term IS NOT NULL)
  ) q
  LEFT JOIN (
    SELECT e.subject_id, e.event_seq, e.table_term, coalesce(e.start_date, x.treatment_start) AS day
    FROM adverse_event_derived e JOIN subject_course x ON x.subject_id = e.subject_id
    WHERE e.treatment_emergent
  ) d ON d.subject_id = c.subject_id AND d.day BETWEEN c.treatment_start AND c.at_risk_to
    AND (q.term IS NULL OR upper(d.table_term) = upper(q.term))
  WHERE c.treatment_start IS NOT NULL
  GROUP BY ALL
) t JOIN """
    + _SUBJECT,
    "t.place, t.subject_id",
)

ADADH = View(
    "adadh",
    "Adherence per subject, drug, channel and parameter: what the pooled compliance figures add up (ADaM BDS shape)",
    (
        *WHO,
        flag("CMPEVFL", "f.compliance_evaluable", "Y: in the compliance-evaluable population"),
        DRUG,
        CHANNEL,
        text("PARAM", "t.parameter", "Parameter as in table result; its name says its denominator"),
        real(
            "AVAL",
            "CASE WHEN t.parameter LIKE '%\\_doses' ESCAPE '\\' THEN t.numerator "
            "ELSE CAST(t.numerator AS DOUBLE) / nullif(t.denominator, 0) END",
            "Share (0 to 1); for parameters ending in _doses their number. NULL when nothing was expected",
        ),
        number("NUMER", "t.numerator", "Doses or days that count"),
        number("DENOM", "t.denominator", "Doses or days expected (for numbers of doses: planned)"),
    ),
    f"subject_adherence t JOIN {_SUBJECT}",
    "t.subject_id, t.drug, t.channel, t.parameter",
)

ADACC = View(
    "adacc",
    "Dose accuracy per subject, drug, channel and pair of amounts: what the pooled figures add up (ADaM BDS shape)",
    (
        *WHO,
        flag("ACCEVFL", "f.accuracy_evaluable", "Y: in the accuracy-evaluable population"),
        DRUG,
        CHANNEL,
        text("PARAM", "t.parameter", "Parameter as in table result, named by its pair of amounts"),
        text("DOSEPAIR", "t.dose_pair", "The two amounts compared"),
        real("AVAL", "CAST(t.conforming AS DOUBLE) / nullif(t.assessable, 0)", "Share of assessable doses conforming"),
        number("NUMER", "t.conforming", "Doses within the protocol's limit"),
        number("DENOM", "t.assessable", "Doses with both amounts on bases that compare"),
        number("NDOSE", "t.doses", "Doses"),
        number("NERROR", "t.errors", "Doses that enter percent errors"),
        real("BIASPCT", "t.mean_error_pct", "Mean percent error of the subject's doses"),
        real("MAPEPCT", "t.mean_absolute_error_pct", "Mean absolute percent error of the subject's doses"),
    ),
    f"subject_accuracy t JOIN {_SUBJECT}",
    "t.subject_id, t.drug, t.channel, t.dose_pair",
)

ADAM_VIEWS: tuple[View, ...] = (ADSL, ADEX, ADAE, ADTTE, ADADH, ADACC)
