"""A protocol drafted from trial-design data sets: what files state is in it, what they do not is a marked line."""

from __future__ import annotations

import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdtm_files import write_rows

import importers.sdtm
from importers.base import SourceFile, UnreadableFile
from importers.trial_design import draft_protocol
from store.errors import UsageProblem
from store.protocol import Protocol
from store.protocol_draft import Draft, DraftArm, DraftDevice, DraftDrug, DraftPeriod, DraftSite
from store.protocol_file import load_protocol, parse_protocol
from store.protocol_template import empty_template, render_protocol


def drafted(folder: Path) -> tuple[str, Protocol]:
    text = render_protocol(draft_protocol(folder))
    return text, parse_protocol(text, folder / "protocol.toml").protocol


def test_the_autoinjector_trial(autoinjector_dir: Path) -> None:
    text, protocol = drafted(autoinjector_dir)
    study = protocol.study
    assert (study.id, study.blinding, study.state, study.design) == ("CDISCPILOT01", "double_blind", "open", "parallel")
    assert study.title == "Safety and Efficacy of Zanomaline in Patients with Mild to Moderate Alzheimers Disease."
    assert "DM carries the arm" in text
    assert study.reference_arm == "PLACEBO"
    assert study.data_cut is None
    assert "# data_cut = 2015-03-31  # TS DCUTDTC: 2015-03-31, DATABASE LOCK" in text
    periods = {arm.code: [(p.order, p.element, p.duration_days) for p in arm.period] for arm in protocol.arm}
    assert periods == {
        "PLACEBO": [(1, "SCREEN", None), (2, "PLACEBO", 182)],
        "ZAN_LOW": [(1, "SCREEN", None), (2, "LOW", 182)],
        "ZAN_HIGH": [(1, "SCREEN", None), (2, "TITRATE", 14), (3, "HIGH", 154), (4, "TITRATE", 14)],
    }
    assert [site.id for site in protocol.site] == ["701", "704", "708", "710", "711", "718"]
    assert {site.time_zone for site in protocol.site} == {None}
    assert [(device.type, device.class_) for device in protocol.device] == [("Drug Auto-Injector", "auto_injector")]
    drug = protocol.drug[0]
    assert (drug.name, drug.unit, drug.also_named) == ("Zanomaline", "mg", ("ZANOMALINE", "PLACEBO"))
    assert {(entry.kind, entry.every_h, entry.unit) for entry in protocol.dosing} == {("scheduled", 24.0, "mg")}
    assert len(protocol.visit) == 14
    assert {visit.number: visit.day for visit in protocol.visit if visit.number in (1, 2, 3, 4, 13, 201)} == {
        1: None, 2: -1, 3: 1, 4: 15, 13: 183, 201: None,
    }  # fmt: skip
    assert protocol.adverse_events.related == ("RELATED", "POSSIBLY RELATED")
    assert '# rate_terms = ["INJECTION SITE REACTION"]' in text
    assert protocol.population == ()


def test_amounts_are_proposed_and_never_set(autoinjector_dir: Path, pilot_dir: Path) -> None:
    text, protocol = drafted(autoinjector_dir)
    assert [entry.amount for entry in protocol.dosing] == [None] * 5
    proposals = [line for line in text.splitlines() if line.startswith("# amount =")]
    assert proposals == ["# amount = 0", "# amount = 54", "# amount = 54", "# amount = 81", "# amount = 54"]
    assert protocol.missing_for_accuracy() == [
        "[[dosing]] amount of arm PLACEBO period 2 (PLACEBO)",
        "[[dosing]] amount of arm ZAN_LOW period 2 (LOW)",
        "[[dosing]] amount of arm ZAN_HIGH period 2 (TITRATE)",
        "[[dosing]] amount of arm ZAN_HIGH period 3 (HIGH)",
        "[[arm.period]] boundary of arm ZAN_HIGH period 3 (HIGH)",
        "[[dosing]] amount of arm ZAN_HIGH period 4 (TITRATE)",
        "[[arm.period]] boundary of arm ZAN_HIGH period 4 (TITRATE)",
    ]
    text, protocol = drafted(pilot_dir)
    proposals = [line for line in text.splitlines() if line.startswith("# amount =")]
    assert proposals == ["# amount = 0", "# amount =", "# amount =", "# amount =", "# amount ="]
    assert "no file states it for this period (TS lists the doses of the trial: 54 mg, 81 mg)" in text


def test_the_pilot_trial(pilot_dir: Path) -> None:
    text, protocol = drafted(pilot_dir)
    assert protocol.study.title.endswith("Alzheimer’s Disease."), "the windows-1252 byte of TS"
    assert protocol.study.reference_arm == "Pbo"
    assert [arm.code for arm in protocol.arm] == ["Pbo", "Xan_Hi", "Xan_Lo"]
    high = protocol.arm_of("Xan_Hi")
    assert high is not None
    assert [(p.element, p.duration_days) for p in high.period] == [
        ("SCRN", None), ("HIS", 14), ("HIM", 154), ("HIE", 14), ("FOLO", None),
    ]  # fmt: skip
    assert len(protocol.site) == 17
    assert protocol.device == ()
    assert {population.flag: population.name for population in protocol.population} == {
        "SAFETY": "safety",
        "ITT": "intent_to_treat",
        "EFFICACY": "efficacy",
        "COMPLT8": "completers_of_week_8",
        "COMPLT16": "completers_of_week_16",
        "COMPLT24": "completers_of_week_24",
    }
    assert protocol.adverse_events.related == ("PROBABLE", "POSSIBLE")
    assert "AE holds: PROBABLE, REMOTE, POSSIBLE, NONE." in text
    assert {visit.number: visit.day for visit in protocol.visit if visit.number in (3.5, 4, 101)} == {
        3.5: 13, 4: 14, 101: None,
    }  # fmt: skip


@pytest.mark.parametrize(("folder", "later"), [("autoinjector", "HIGH"), ("cdisc_pilot", "HIM")])
def test_the_sample_protocols_are_complete(repository: Path, folder: str, later: str) -> None:
    protocol = load_protocol(repository / "sample_data" / folder / "protocol.toml").protocol
    assert protocol.missing_for_accuracy() == []
    assert all(site.time_zone for site in protocol.site)
    high = protocol.arm[2] if folder == "autoinjector" else protocol.arm[1]
    amounts = [entry.amount for entry in protocol.dosing if entry.arm == high.code]
    assert amounts == [Decimal(54), Decimal(81), Decimal(54)]
    boundaries = {period.element: period.boundary for period in high.period}
    assert boundaries[later] == "day_after_start"


def test_the_sample_protocols_state_nothing_else_than_the_draft(repository: Path) -> None:
    """Filled lines apart, the shipped protocols are what init writes."""
    for folder in ("autoinjector", "cdisc_pilot"):
        _, draft = drafted(repository / "sample_data" / folder)
        filled = load_protocol(repository / "sample_data" / folder / "protocol.toml").protocol
        assert filled.study == draft.study
        assert filled.drug == draft.drug and filled.device == draft.device
        assert filled.visit == draft.visit and filled.population == draft.population
        assert [arm.code for arm in filled.arm] == [arm.code for arm in draft.arm]
        assert filled.adverse_events.related == draft.adverse_events.related


def test_nothing_is_read_from_exposure(autoinjector_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    whole = importers.sdtm.read_data_set

    def watched(file: SourceFile) -> object:
        opened.append(file.name)
        return whole(file)

    monkeypatch.setattr(importers.sdtm, "read_data_set", watched)
    draft_protocol(autoinjector_dir)
    assert sorted(opened) == [f"{name}.ndjson" for name in ("ae", "di", "dm", "suppdm", "ta", "te", "ts", "tv")]


def test_another_carrier_gives_the_same_draft(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "sample_data/autoinjector", tmp_path, dirs_exist_ok=True)
    plain = draft_protocol(tmp_path)
    for name in ("dm", "ae", "di"):
        (tmp_path / f"{name}.ndjson").unlink()
        shutil.copy(repository / f"sample_data/autoinjector_formats/{name}.xpt", tmp_path)
    assert draft_protocol(tmp_path).__dict__ | {"read_from": ()} == plain.__dict__ | {"read_from": ()}


def test_data_without_arms_of_a_blind_trial_are_blinded(tmp_path: Path) -> None:
    write_rows(tmp_path / "ts.ndjson", "TS", [{"TSPARMCD": "TBLIND", "TSVAL": "DOUBLE BLIND"}])
    write_rows(tmp_path / "dm.ndjson", "DM", [{"USUBJID": "1", "SITEID": "9", "ARMCD": ""}])
    _, protocol = drafted(tmp_path)
    assert (protocol.study.blinding, protocol.study.state) == ("double_blind", "blinded")


def test_what_is_not_understood_stays_a_marked_line(tmp_path: Path) -> None:
    ts = [
        {"TSPARMCD": "TBLIND", "TSVAL": "QUADRUPLE MASKED"},
        {"TSPARMCD": "INTMODEL", "TSVAL": "FACTORIAL"},
        {"TSPARMCD": "TRT", "TSVAL": "Drug A"},
        {"TSPARMCD": "TRT", "TSVAL": "Drug B"},
        {"TSPARMCD": "DOSFRQ", "TSVAL": "5 times a moon"},
    ]
    write_rows(tmp_path / "ts.ndjson", "TS", ts)
    arm = {
        "ARMCD": "A",
        "ARM": "Arm A",
        "TAETORD": "1",
        "ETCD": "T",
        "ELEMENT": "10 mg then 20 mg",
        "EPOCH": "TREATMENT",
    }
    write_rows(tmp_path / "ta.ndjson", "TA", [arm])
    write_rows(tmp_path / "te.ndjson", "TE", [{"ETCD": "T", "ELEMENT": "x", "TEDUR": "P6M"}])
    di = [{"SPDEVID": "D", "DISEQ": "1", "DIPARMCD": "DEVTYPE", "DIVAL": "Blood Glucose Meter"}]
    write_rows(tmp_path / "di.ndjson", "DI", di)
    text, protocol = drafted(tmp_path)
    assert protocol.device == ()
    assert protocol.dosing[0].amount is None and protocol.dosing[0].every_h is None
    assert protocol.arm[0].period[0].duration_days is None
    for told in ("QUADRUPLE MASKED", "FACTORIAL", "5 TIMES A MOON", "P6M", "Blood Glucose Meter", "Drug A, Drug B"):
        assert told.lower() in text.lower(), told
    assert text.count("FILL IN:") >= 8


def test_a_folder_without_a_trial_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageProblem, match="no SDTM trial design"):
        draft_protocol(tmp_path)
    with pytest.raises(UsageProblem, match="is no folder"):
        draft_protocol(tmp_path / "notes.txt")


def test_a_damaged_trial_design_is_named(autoinjector_dir: Path, tmp_path: Path) -> None:
    content = (autoinjector_dir / "ta.ndjson").read_text().splitlines()
    (tmp_path / "ta.ndjson").write_text("\n".join(content[:-1]))
    with pytest.raises(UnreadableFile, match=r"ta\.ndjson declares 8 records and holds 7 rows"):
        draft_protocol(tmp_path)


def test_the_empty_template_loads() -> None:
    text = empty_template("TRIAL-1")
    protocol = parse_protocol(text, Path("protocol.toml")).protocol
    assert protocol.study.id == "TRIAL-1"
    assert protocol.model_dump(exclude={"study"}) == Protocol(study=protocol.study).model_dump(exclude={"study"})


def test_every_example_of_the_template_is_valid() -> None:
    """Removing the # from each commented line gives a protocol that loads: examples teach, so they must be right."""
    text = re.sub(r"^# (?=\[|\w+ = )", "", empty_template("TRIAL-1"), flags=re.MULTILINE)
    protocol = parse_protocol(text, Path("protocol.toml")).protocol
    assert protocol.dosing[0].amount == 54
    assert protocol.arm[1].period[0].duration_days == 182
    assert protocol.source[0].columns["subject_id"] == "Patient"
    assert protocol.confirmatory and protocol.population and protocol.visit and protocol.device and protocol.site
    assert protocol.silence.upload_h and protocol.compliance.day_start and protocol.study.data_cut


NAME = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(title=ANY, arm=NAME, element=ANY, site=NAME, drug=NAME, device=ANY, rule=ANY)
def test_no_text_of_a_file_breaks_the_protocol(
    title: str, arm: str, element: str, site: str, drug: str, device: str, rule: str
) -> None:
    draft = Draft(
        study_id="S",
        title=title,
        blinding_text=rule,
        data_cut_text=rule,
        arms=(DraftArm(arm, title, (DraftPeriod(1, "E", element, "TREATMENT", start_rule=rule, duration_text=rule),)),),
        sites=(DraftSite(site, title),),
        drugs=(DraftDrug(drug, also_named=(title,)),),
        devices=(DraftDevice(device, 2, "pump"), DraftDevice(device, 1)),
        causality_values=(rule,),
        rate_terms=(rule, element),
        read_from=(rule,),
    )
    protocol = parse_protocol(render_protocol(draft), Path("protocol.toml")).protocol
    assert protocol.arm[0].code == arm
    assert protocol.study.title.strip() == title.strip()
    assert protocol.arm[0].period[0].name.strip() == element.strip()
