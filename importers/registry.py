"""The formats that are read. A new format is one module and one line here."""

from __future__ import annotations

from importers import (
    adherence_caps,
    carelink,
    cgm_exports,
    diasend,
    dose_log,
    edc_forms,
    fhir,
    glooko,
    hl7_pcd,
    jaeb,
    layout_rows,
    loop_doses,
    nightscout,
    novopen,
    odm,
    redcap,
    sdtm,
    tabular,
    tandem_csv,
    tandem_source,
    tandem_xml,
    tidepool,
)
from importers.base import Importer

FORMATS: tuple[Importer, ...] = (
    sdtm.IMPORTER,
    dose_log.IMPORTER,
    tabular.ENROLMENT_IMPORTER,
    tabular.ADVERSE_EVENT_IMPORTER,
    adherence_caps.IMPORTER,
    carelink.IMPORTER,
    tandem_csv.IMPORTER,
    tandem_xml.IMPORTER,
    tandem_source.IMPORTER,
    glooko.IMPORTER,
    diasend.IMPORTER,
    nightscout.IMPORTER,
    loop_doses.IMPORTER,
    redcap.IMPORTER,
    odm.IMPORTER,
    edc_forms.IMPORTER,
    tidepool.IMPORTER,
    fhir.IMPORTER,
    hl7_pcd.IMPORTER,
    novopen.IMPORTER,
    jaeb.IMPORTER,
    cgm_exports.IMPORTER,
    *layout_rows.IMPORTERS,
)  # fmt: skip


def importer_of(format: str) -> Importer:
    """The importer of a format; raises KeyError for an unknown one (formats come from here, never from
    users).
    """
    return {importer.format: importer for importer in FORMATS}[format]
