"""SDTM-shaped views: DM, DI, EC, EX, AE, DS (SDTMIG 3.4; SDTMIG-MD 1.1 for DI)."""

from __future__ import annotations

from store.views import STUDYID, View, ViewColumn, amount, flag, number, only_yes, text

USUBJID = text("USUBJID", "t.subject_id", "Subject identifier")


def _domain(code: str) -> ViewColumn:
    return text("DOMAIN", f"'{code}'", "Domain abbreviation")


def _moment(column: str, precision: str) -> str:
    """ISO 8601 text of a local time, as exact as it was recorded."""
    return (
        f"CASE {precision} WHEN 'year' THEN strftime({column}, '%Y') WHEN 'month' THEN strftime({column}, '%Y-%m') "
        f"WHEN 'date' THEN strftime({column}, '%Y-%m-%d') WHEN 'minute' THEN strftime({column}, '%Y-%m-%dT%H:%M') "
        f"ELSE strftime({column}, '%Y-%m-%dT%H:%M:%S') END"
    )


SDTM_DM = View(
    "sdtm_dm",
    "Demographics, one row per screened subject (SDTM DM)",
    (
        STUDYID,
        _domain("DM"),
        USUBJID,
        text("SUBJID", "t.subject_number", "Number within the site"),
        text("RFSTDTC", "t.reference_start", "Reference start"),
        text("RFENDTC", "t.reference_end", "Reference end"),
        text("RFXSTDTC", "t.first_treatment", "First study treatment as recorded"),
        text("RFXENDTC", "t.last_treatment", "Last study treatment as recorded"),
        text("RFICDTC", "t.consent_date", "Informed consent"),
        text("RFPENDTC", "t.participation_end", "End of participation"),
        text("DTHDTC", "t.death_date", "Death"),
        only_yes("DTHFL", "t.died", "Y: death recorded"),
        text("SITEID", "t.site_id", "Site"),
        number("AGE", "t.age", "Age at enrolment in AGEU"),
        text("AGEU", "t.age_unit", "Unit of age"),
        text("SEX", "t.sex", "Sex as recorded"),
        text("RACE", "t.race", "Race as recorded"),
        text("ETHNIC", "t.ethnicity", "Ethnicity as recorded"),
        text("ARMCD", "t.arm_code", "Planned arm, code; NULL when not randomised"),
        text("ARM", "coalesce(p.arm, t.arm_code)", "Planned arm as protocol.toml prints it"),
        text("ACTARMCD", "t.actual_arm_code", "Actual arm, code"),
        text("ACTARM", "coalesce(a.arm, t.actual_arm_code)", "Actual arm as protocol.toml prints it"),
        text("ARMNRS", "t.not_randomised_reason", "Why no arm"),
        text("COUNTRY", "t.country", "Country as recorded"),
    ),
    "subject t LEFT JOIN arm p ON p.arm_code = t.arm_code LEFT JOIN arm a ON a.arm_code = t.actual_arm_code",
    "t.subject_id",
)

DEVICE_PARAMETERS = {
    "DEVTYPE": ("device_type", "Device Type"),
    "MANUF": ("manufacturer", "Manufacturer"),
    "MODEL": ("model", "Model Number"),
    "SERIAL": ("serial", "Serial Number"),
    "FIRMWARE": ("firmware", "Firmware Version"),
    "LOT": ("lot", "Lot Number"),
    "UDI": ("udi", "Unique Device Identifier"),
}
"""DIPARMCD -> column of device and DIPARM."""

_STATED = " UNION ALL ".join(
    f"SELECT device_id, '{code}', {column} FROM device d "
    "WHERE NOT EXISTS (SELECT 1 FROM device_property p WHERE p.device_id = d.device_id)"
    for code, (column, _) in DEVICE_PARAMETERS.items()
)
_DEVICE_LABELS = " ".join(f"WHEN '{code}' THEN '{label}'" for code, (_, label) in DEVICE_PARAMETERS.items())

SDTM_DI = View(
    "sdtm_di",
    "Device identifiers: as the device list states them, else as the dose data do (SDTM DI)",
    (
        STUDYID,
        _domain("DI"),
        text("SPDEVID", "t.device_id", "Sponsor device identifier"),
        number(
            "DISEQ",
            "row_number() OVER (PARTITION BY t.device_id ORDER BY t.property_seq, t.property, t.value)",
            "Sequence within the device",
        ),
        text("DIPARMCD", "t.property", "Identifier, short name"),
        text("DIPARM", f"CASE t.property {_DEVICE_LABELS} ELSE t.property END", "Identifier"),
        text("DIVAL", "t.value", "Value as recorded"),
    ),
    "(SELECT device_id, property_seq, property, value FROM device_property UNION ALL "
    f"SELECT device_id, NULL, property, value FROM ({_STATED}) s(device_id, property, value) "
    "WHERE value IS NOT NULL) t",
    "t.device_id, DISEQ",
)

_EC_ROWS = """(
  SELECT e.subject_id, e.start_local AS sort_at, e.source_id, e.line, e.part, e.native_key, e.device_id, e.drug,
    CASE WHEN m.planned_no IS NOT NULL THEN true END AS planned, true AS occurred, NULL AS reason,
    e.delivered_amount AS amount, e.amount_unit, m.planned_amount, e.route, e.body_site, e.lot, e.volume,
    e.volume_unit, e.concentration, e.concentration_unit, e.alarm, CAST(e.status AS VARCHAR) AS status,
    e.start_local, e.end_local, CAST(e.start_precision AS VARCHAR) AS start_precision,
    CAST(m.status AS VARCHAR) AS matched
  FROM dose_event e LEFT JOIN dose_match m
    ON m.subject_id = e.subject_id AND m.source_id = e.source_id AND m.line = e.line AND m.part = e.part
  WHERE e.exclude_reason IS NULL
  UNION ALL
  SELECT m.subject_id, m.planned_at, NULL, m.planned_no, NULL, NULL, NULL, m.drug, true, false, p.hold_reason,
    NULL, m.amount_unit, m.planned_amount, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    m.planned_at, NULL, CASE WHEN m.planned_at = date_trunc('day', m.planned_at) THEN 'date' ELSE 'minute' END,
    CAST(m.status AS VARCHAR)
  FROM dose_match m LEFT JOIN planned_dose p ON p.subject_id = m.subject_id AND p.planned_no = m.planned_no
  WHERE m.status IN ('missed', 'held') AND m.source_id IS NULL
) t"""

SDTM_EC = View(
    "sdtm_ec",
    "Doses as collected, from logs and forms, and planned doses not given (ECOCCUR = N); doses in time without data "
    "are in neither. Primes and tests are left out (SDTM EC)",
    (
        STUDYID,
        _domain("EC"),
        USUBJID,
        text("SPDEVID", "t.device_id", "Device"),
        number(
            "ECSEQ",
            "row_number() OVER (PARTITION BY t.subject_id ORDER BY t.sort_at, t.source_id, t.line, t.part)",
            "Sequence within the subject, in time order",
        ),
        text("ECREFID", "t.native_key", "The device's or form's own number of the dose"),
        text("ECTRT", "t.drug", "Drug"),
        text("ECMOOD", "'PERFORMED'", "PERFORMED: what was done; plans are in planned_dose"),
        flag("ECPRESP", "t.planned", "Y: the dose belongs to a planned one; NULL: it does not"),
        flag("ECOCCUR", "t.occurred", "N: planned and not given"),
        text("ECREASOC", "t.reason", "Why it was not given, where held"),
        amount("ECDOSE", "t.amount", "Amount given in ECDOSU; NULL not reported"),
        text("ECDOSU", "t.amount_unit", "UCUM unit of ECDOSE and PLDOSE"),
        amount("PLDOSE", "t.planned_amount", "Amount planned (not an SDTM variable)"),
        text("ECROUTE", "t.route", "Route"),
        text("ECLOC", "t.body_site", "Anatomical site"),
        text("ECLOT", "t.lot", "Lot"),
        amount("ECVAMT", "t.volume", "Volume given in ECVAMTU"),
        text("ECVAMTU", "t.volume_unit", "UCUM unit of ECVAMT"),
        amount("ECPSTRG", "t.concentration", "Concentration in ECPSTRGU"),
        text("ECPSTRGU", "t.concentration_unit", "UCUM unit of ECPSTRG"),
        text("ECSTDTC", _moment("t.start_local", "t.start_precision"), "Start, site's local time, as exact as known"),
        text("ECENDTC", _moment("t.end_local", "t.start_precision"), "End, site's local time"),
        text("STATUS", "t.status", "How the delivery ended (not an SDTM variable)"),
        text("MATCHED", "t.matched", "taken, late, extra, missed or held (not an SDTM variable)"),
        text("ALARM", "t.alarm", "Alarm on the row (not an SDTM variable)"),
    ),
    _EC_ROWS,
)

SDTM_EX = View(
    "sdtm_ex",
    "Exposure as recorded: constant-dosing intervals (SDTM EX); empty where the trial has dose events only",
    (
        STUDYID,
        _domain("EX"),
        USUBJID,
        text("SPDEVID", "t.device_id", "Device where stated"),
        number("EXSEQ", "coalesce(TRY_CAST(t.exposure_seq AS BIGINT), t.line)", "Sequence, else line in its file"),
        text("EXSEQC", "t.exposure_seq", "Sequence as recorded, as text"),
        text("EXTRT", "t.drug", "Drug as recorded"),
        amount("EXDOSE", "t.amount", "Amount of one dose in EXDOSU"),
        text("EXDOSU", "t.amount_unit", "UCUM unit of EXDOSE"),
        text("EXDOSFRM", "t.dose_form", "Dose form"),
        text("EXDOSFRQ", "t.frequency", "Dosing frequency"),
        text("EXROUTE", "t.route", "Route"),
        text("EXLOT", "t.lot", "Lot"),
        text("EPOCH", "t.epoch", "Epoch of the trial as recorded"),
        text("EXSTDTC", "t.start_date", "First day"),
        text("EXENDTC", "t.end_date", "Last day; NULL is not recorded"),
    ),
    "exposure t",
    "t.subject_id, EXSEQ",
)

_WORN = """(
  SELECT w.subject_id, w.device_id, strftime(w.start_local, '%Y-%m-%dT%H:%M:%S') AS started,
    strftime(w.end_local, '%Y-%m-%dT%H:%M:%S') AS ended, date_diff('second', w.start_local, w.end_local) AS seconds,
    w.body_site, 'worn' AS basis
  FROM wear_interval w
  UNION ALL
  SELECT a.subject_id, a.device_id, strftime(a.start_date, '%Y-%m-%d'), strftime(a.end_date, '%Y-%m-%d'), NULL, NULL,
    'assigned'
  FROM device_assignment a WHERE NOT EXISTS (
    SELECT 1 FROM wear_interval w WHERE w.subject_id = a.subject_id AND w.device_id = a.device_id)
) t LEFT JOIN device d ON d.device_id = t.device_id"""

SDTM_DX = View(
    "sdtm_dx",
    "Exposure to devices: each interval a device was worn, or of a device without such intervals the days the subject "
    "had it (SDTM DX)",
    (
        STUDYID,
        _domain("DX"),
        USUBJID,
        text("SPDEVID", "t.device_id", "Device"),
        number(
            "DXSEQ",
            "row_number() OVER (PARTITION BY t.subject_id ORDER BY t.started, t.device_id, t.ended)",
            "Sequence within the subject, in time order",
        ),
        text("DXTRT", "coalesce(d.device_type, CAST(d.device_class AS VARCHAR))", "Type of the device, else its class"),
        text("DXLOC", "t.body_site", "Anatomical site"),
        text("DXSTDTC", "t.started", "On, or the first day the subject had it; site's local time"),
        text("DXENDTC", "t.ended", "Off, or the last day the subject had it; NULL is not recorded, or ongoing"),
        text("DXDUR", "'PT' || t.seconds || 'S'", "Time worn, ISO 8601, by the local clock; NULL where not known"),
        text("BASIS", "t.basis", "worn or assigned (not an SDTM variable)"),
    ),
    _WORN,
    "t.subject_id, DXSEQ",
)

SDTM_AE = View(
    "sdtm_ae",
    "Adverse events as recorded (SDTM AE); derived dates and flags are in adae",
    (
        STUDYID,
        _domain("AE"),
        USUBJID,
        text("SPDEVID", "t.device_id", "Device where stated"),
        number("AESEQ", "coalesce(TRY_CAST(t.event_seq AS BIGINT), t.line)", "Sequence, else line in its file"),
        text("AESEQC", "t.event_seq", "Sequence as recorded, as text"),
        text("AETERM", "t.term", "Reported term"),
        text("AEDECOD", "t.preferred_term", "Dictionary term; NULL when uncoded"),
        text("AEHLT", "t.high_level_term", "High level term"),
        text("AEBODSYS", "t.soc", "System organ class; NULL when uncoded"),
        text("AESEV", "t.severity", "Severity as recorded"),
        text("AETOXGR", "t.grade", "Toxicity grade as recorded"),
        flag("AESER", "t.serious", "Serious as recorded"),
        text("AEACN", "t.action_taken", "Action with study treatment"),
        text("AEREL", "t.causality", "Causality as recorded; NULL is not assessable"),
        text("AERLDEV", "t.device_relation", "Relation to the device as recorded"),
        text("AEOUT", "t.outcome", "Outcome as recorded"),
        flag("AESDTH", "t.results_in_death", "Results in death"),
        flag("AESHOSP", "t.hospitalisation", "Hospitalisation"),
        flag("AESLIFE", "t.life_threatening", "Life-threatening"),
        text("EPOCH", "t.epoch", "Epoch as recorded"),
        text("AEDTC", "t.reported_text", "Date of collection as recorded"),
        text("AESTDTC", "t.start_text", "Start as recorded, possibly partial"),
        text("AEENDTC", "t.end_text", "End as recorded, possibly partial"),
    ),
    "adverse_event t",
    "t.subject_id, AESEQ",
)

SDTM_DS = View(
    "sdtm_ds",
    "Milestones and ends of treatment and participation (SDTM DS)",
    (
        STUDYID,
        _domain("DS"),
        USUBJID,
        number("DSSEQ", "coalesce(TRY_CAST(t.disposition_seq AS BIGINT), t.line)", "Sequence, else line in its file"),
        text("DSTERM", "t.term", "As recorded"),
        text("DSDECOD", "t.decoded", "Controlled term"),
        text("DSCAT", "t.category", "PROTOCOL MILESTONE, DISPOSITION EVENT or OTHER EVENT"),
        text("DSSCAT", "t.scope", "STUDY PARTICIPATION or STUDY TREATMENT; NULL when not stated"),
        text("EPOCH", "t.epoch", "Epoch of the trial as recorded"),
        text("DSSTDTC", "t.disposition_date", "Date"),
    ),
    "disposition t",
    "t.subject_id, DSSEQ",
)

SDTM_VIEWS: tuple[View, ...] = (SDTM_DM, SDTM_DI, SDTM_EC, SDTM_EX, SDTM_DX, SDTM_AE, SDTM_DS)
