"""SDTM and SDTM-MD data sets from any carrier (SAS transport 5, Dataset-JSON 1.1): recognition, dispatch.

The domain is decided by the content (data set name and DOMAIN variable), never by the file's name. Every
data set is a snapshot of its domain.
"""

from __future__ import annotations

from importers import data_set, dataset_json, sdtm_doses, sdtm_safety, sdtm_subjects, xpt
from importers.base import Ignored, Parsed, ReadContext, Recognised, SourceFile, UnreadableFile
from importers.data_set import DataSet, DataSetHead
from importers.sdtm_rows import DomainMapping, map_data_set

FORMAT = "sdtm"

MAPPINGS: dict[str, DomainMapping] = {
    mapping.domain: mapping for mapping in (*sdtm_subjects.MAPPINGS, *sdtm_doses.MAPPINGS, *sdtm_safety.MAPPINGS)
}

TRIAL_DESIGN = frozenset({"TA", "TE", "TV", "TS"})
_TRIAL_DESIGN_REASON = "trial design: read by dosetrail init"

_NOT_USED: dict[str, str] = {
    "CO": "comments are not used",
    "CM": "concomitant medications are not used",
    "CE": "clinical events are not used",
    "MH": "medical history is not used",
    "SU": "substance use is not used",
    "PR": "procedures are not used",
    "VS": "vital signs are not used",
    "LB": "laboratory results are not used",
    "QS": "questionnaires are not used",
    "PE": "physical examinations are not used",
    "IE": "inclusion and exclusion criteria are not used",
    "SC": "subject characteristics are not used",
    "SM": "disease milestones are not used",
    "EG": "ECG results are not used",
    "HO": "hospital stays are not used",
    **dict.fromkeys(("TI", "TD", "TM", "OI"), "trial design that the study does not use"),
    **dict.fromkeys(("RELSUB", "RELSPEC", "RELDEV", "RELREF"), "relations that the study does not use"),
    **dict.fromkeys("PC PP BE BS GF CP IS MB MS MI MK".split(), "laboratory findings are not used"),
    **dict.fromkeys("CV FT NV OE RE RP RS SR SS TR TU UR".split(), "findings are not used"),
    **dict.fromkeys(("ML", "AG"), "meals and procedure agents are not used"),
}
"""Domains of SDTMIG 3.4 and SDTMIG-MD 1.1 that hold nothing the study uses."""


def decide(head: DataSetHead) -> Recognised | Ignored | None:
    """What a data set is, from its name, variables and first DOMAIN; None when it is no SDTM or ADaM."""
    name, domain = head.name, domain_of(head)
    if domain is None:
        return _without_domain(head)
    if name.startswith("DEFDS_"):
        return Ignored("describes a data set, holds none")
    if domain in MAPPINGS:
        if domain == "SUPP":
            return _supplemental(name)
        return Recognised(FORMAT, name if name.startswith(domain) else domain)
    if domain in TRIAL_DESIGN:
        return Ignored(_TRIAL_DESIGN_REASON)
    if domain in _NOT_USED:
        return Ignored(_NOT_USED[domain])
    if {f"{domain}DOSE", f"{domain}TRT"} & set(head.columns):
        return None
    return Ignored(f"SDTM domain {domain} is not used")


def domain_of(head: DataSetHead) -> str | None:
    """SDTM domain: SUPP and RELREC by their shape, else DOMAIN, else the name; None when none is meant."""
    columns = set(head.columns)
    if {"RDOMAIN", "QNAM"} <= columns:
        return "SUPP"
    if {"RDOMAIN", "RELID"} <= columns:
        return "RELREC"
    if "DOMAIN" not in columns:
        mapping = MAPPINGS.get(head.name)
        is_whole = mapping is not None and set(mapping.needs) <= columns
        return head.name if is_whole or head.name in _NOT_USED or head.name in TRIAL_DESIGN else None
    return head.domain or _domain_of_variables(head)


def _domain_of_variables(head: DataSetHead) -> str:
    """Where no row is in reach: the data set's name, or the prefix of --SEQ in a part of a split domain."""
    if head.name in MAPPINGS or head.name in TRIAL_DESIGN or head.name in _NOT_USED:
        return head.name
    prefixes = [column[:2] for column in head.columns if len(column) == 5 and column.endswith("SEQ")]
    return prefixes[0] if len(prefixes) == 1 else head.name


def _without_domain(head: DataSetHead) -> Ignored | None:
    if head.name.startswith("AD") and {"STUDYID", "USUBJID"} <= set(head.columns):
        return Ignored("ADaM data sets serve comparison only")
    return None


def _supplemental(name: str) -> Recognised | Ignored:
    parent = name.removeprefix("SUPP")
    if parent in _NOT_USED:
        return Ignored(f"supplemental qualifiers of {parent}, which is not used")
    return Recognised(FORMAT, name)


def read_head(head: bytes) -> DataSetHead | None:
    """Head of a data set in any carrier; None when the bytes start none."""
    return xpt.read_head(head) if xpt.is_xpt(head) else dataset_json.read_head(head)


def read_data_set(file: SourceFile) -> DataSet:
    """The whole data set in any carrier; raises ``UnreadableFile``."""
    with file.path.open("rb") as stream:
        start = stream.read(xpt.RECORD)
    if xpt.is_xpt(start):
        return xpt.read_data_set(file.path, file.name)
    return dataset_json.read_data_set(file.path, file.name)


class SdtmImporter:
    """Importer of SDTM data sets."""

    format = FORMAT
    version = 1

    def recognise(self, name: str, head: bytes) -> Recognised | Ignored | None:
        found = read_head(head)
        if found is not None:
            return decide(found)
        # A damaged head of a known carrier is taken on, so that reading it says what is wrong with it.
        known = xpt.is_xpt(head) or dataset_json.is_dataset_json(head)
        return Recognised(FORMAT, "unreadable") if known else None

    def parse(self, file: SourceFile, recognised: Recognised, context: ReadContext) -> Parsed:
        """Canonical rows of one data set.

        Raises ``UnreadableFile`` when the carrier is damaged, variables the domain needs are absent, or the
        data set's name and its DOMAIN variable name different domains.
        """
        data = read_data_set(file)
        mapping = _mapping(data, file.name)
        tables, rejected, notes = map_data_set(data, mapping, file.name)
        return Parsed(
            format=FORMAT,
            dataset=recognised.dataset,
            mode=context.source.effective_mode if context.source else "snapshot",
            rows_read=data.rows_read,
            tables=tables,
            rejected=rejected,
            exported_utc=data.exported_utc,
            notes=[*data.notes, *notes],
        )


def _mapping(data: DataSet, name: str) -> DomainMapping:
    head = data_set.DataSetHead(data.name, data.columns, (data.first_value("DOMAIN") or "").upper() or None)
    domain = domain_of(head)
    mapping = MAPPINGS.get(domain or "")
    if mapping is None:
        raise UnreadableFile(
            f"{name} holds the data set {data.name}, which is no SDTM domain that is read.",
            remedy="Leave it out of the import, or map it as a dose log in protocol.toml.",
        )
    if "DOMAIN" in data.columns:
        stated = sorted({str(value).upper() for value in data.frame.get_column("DOMAIN").unique().drop_nulls()})
        other_name = data.name in MAPPINGS and data.name != domain
        if other_name or (stated and stated != [domain]):
            raise UnreadableFile(
                f"{name}: the data set is named {data.name}, its DOMAIN says {', '.join(stated)}.",
                remedy="Export one domain per data set, under its own name.",
            )
    return mapping


IMPORTER = SdtmImporter()
