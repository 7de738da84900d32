"""One row for every class of device: it is imported and stored, has its accuracy, its compliance, the sentence of what
its log cannot tell, and a patient's page."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from studies import query, trial_file

from store.study import Study, open_study
from store.vocabulary import DEVICE_CLASSES
from tui.cli import run

EXAMPLES = Path(__file__).resolve().parents[1] / "sample_data" / "open_layouts"

MORE_PROTOCOL = """
[[dosing]]
drug = "semaglutide"
amount = 1
unit = "mg"
every_h = 24
[[dosing]]
drug = "tablet"
every_h = 24
[[source]]
name = "log"
pattern = "log*.csv"
format = "dose_log"
"""

LOG = """\
subject_id,device_id,native_key,kind,trigger,drug,start_local,end_local,programmed_amount,delivered_amount,amount_unit
L-101,PU-1,1,bolus,user,insulin,2026-02-03 07:00:00,,2,1.9,[iU]
L-101,PU-1,2,basal_segment,schedule,insulin,2026-02-03 00:00:00,2026-02-03 02:00:00,2,2,[iU]
L-102,PP-1,1,bolus,user,insulin,2026-02-03 07:00:00,,1,1,[iU]
L-103,CL-1,1,bolus,algorithm,insulin,2026-02-03 07:00:00,,0.2,0.2,[iU]
L-104,IP-1,1,infusion_segment,clinician,morphine,2026-02-03 10:00:00,2026-02-03 12:00:00,4,3.8,mg
L-105,AI-9,1,injection,user,semaglutide,2026-02-03 08:00:00,,1,1,mg
L-105,AI-9,2,injection,user,semaglutide,2026-02-04 08:00:00,,1,0.9,mg
L-106,CAP-1,1,opening,user,tablet,2026-02-03 08:00:00,,,,{opening}
L-106,CAP-1,2,opening,user,tablet,2026-02-05 08:00:00,,,,{opening}
"""
DEVICES = [
    ("PU-1", "pump"), ("PP-1", "patch_pump"), ("CL-1", "closed_loop"), ("IP-1", "infusion_pump"),
    ("AI-9", "auto_injector"), ("CAP-1", "adherence_cap"),
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What a class must show: subject, table of its rows, and parameter with numerator and denominator or mean."""

    subject: str
    table: str
    accuracy: tuple[str, str, float | None]
    """Parameter, statistic, value; None: the sentence alone."""
    compliance: tuple[str, str, float | None]
    cannot: str
    """Part of a sentence of this class in the result table."""


ROWS = {
    "pump": Row("L-101", "dose_event", ("basal_hour_conformity", "share", 1.0), ("boluses_per_day", "ratio", None),
                "no wear intervals were received"),
    "patch_pump": Row("L-102", "dose_event", ("delivery_conformity", "share", 1.0), ("boluses_per_day", "ratio", None),
                      "no basal segments"),
    "closed_loop": Row("L-103", "dose_event", ("commanded_hour_error_pct", "mean", 0.0),
                       ("algorithm_active_share", "share", None), "switched on and off"),
    "pen": Row("L-003", "dose_event", ("delivery_conformity", "share", 2 / 3),
               ("compliance_on_treatment", "share", None), "not assessable"),
    "auto_injector": Row("L-105", "dose_event", ("dose_conformity", "share", 0.5), ("implementation", "share", 1.0),
                         "not assessable"),
    "patch_injector": Row("L-002", "dose_event", ("session_volume_error_pct", "mean", -30.0),
                          ("sessions_complete", "share", 0.5), "not assessable"),
    "transdermal_patch": Row("L-004", "wear_interval", ("released_amount_by_assay", "mean", 9.6),
                             ("replaced_in_window", "share", 1.0), "not assessable"),
    "programmable_implant": Row("L-001", "dose_event", ("release_interval_error_h", "mean", None),
                                ("releases_done", "share", 0.75), "not assessable"),
    "ai_implant": Row("L-003", "recommendation", ("recommendations_within_bounds", "share", 0.8),
                      ("recommendations_accepted", "share", 0.5), "not assessable"),
    "dual_implant": Row("L-002", "dose_event", ("both_channels_conforming", "share", 1 / 3),
                        ("both_channels_done", "share", 2 / 3), "not assessable"),
    "refillable_reservoir": Row("L-004", "reservoir_fill", ("reservoir_ratio", "mean", None),
                                ("refills_in_time", "share", 0.5), "not assessable"),
    "depot": Row("L-003", "dose_event", ("administered_error_pct", "mean", None),
                 ("readministered_in_window", "share", 1.0), "not assessable"),
    "ingestible": Row("L-001", "dose_event", ("detection_sensitivity", "share", 2 / 3),
                      ("detected_planned", "share", 0.6), "not assessable"),
    "adherence_cap": Row("L-106", "dose_event", ("assessable", "share", 0.0), ("days_at_least_expected", "share", None),
                         "not assessable"),
    "infusion_pump": Row("L-104", "dose_event", ("infused_volume_error_pct", "mean", -5.0),
                         ("order_fulfilment", "ratio", None), "no order in force"),
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("classes")
    files = folder / "files"
    shutil.copytree(EXAMPLES, files)
    people = (files / "enrolment.csv").read_text()
    people += "".join(
        f"L-{number},01,A,F,50,2026-01-28,2026-02-02,2026-02-02,on_treatment\n" for number in range(101, 107)
    )
    (files / "enrolment.csv").write_text(people)
    devices = (files / "device_list.csv").read_text()
    (files / "device_list.csv").write_text(devices + "".join(f"{name},,{kind},,S-{name},,\n" for name, kind in DEVICES))
    (files / "log.csv").write_text(LOG)
    assert run(["init", str(folder / "study")]) == 0
    protocol = (EXAMPLES / "protocol.toml").read_text() + MORE_PROTOCOL
    (folder / "study" / "protocol.toml").write_text(protocol)
    assert run(["import", "--study", str(folder / "study"), str(files)]) == 0
    return open_study(folder / "study")


def test_every_class_has_its_row() -> None:
    assert list(ROWS) == [name for name in DEVICE_CLASSES if name in ROWS]
    assert set(ROWS) == set(DEVICE_CLASSES)


@pytest.mark.parametrize("name", ROWS)
def test_class(study: Study, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    row, file = ROWS[name], trial_file(study)
    (stored,) = query(
        file, f"SELECT count(*) FROM {row.table} t JOIN device d USING (device_id) WHERE d.device_class = '{name}'"
    )[0]
    assert stored > 0
    for family, (parameter, statistic, value) in (("accuracy", row.accuracy), ("compliance", row.compliance)):
        found = query(
            file,
            "SELECT value, not_assessable FROM result WHERE arm IN ('ALL', 'A', 'B') AND comparator IS NULL "
            f"AND contains(device_class, '{name}') AND analysis = '{family}' AND parameter = '{parameter}' "
            f"AND statistic = '{statistic}'",
        ) or query(
            file, "SELECT value, not_assessable FROM result WHERE not_assessable IS NOT NULL "
            f"AND analysis = '{family}' AND parameter = '{parameter}'",
        )  # fmt: skip
        assert found, (family, parameter)
        if value is not None:
            assert any(one == pytest.approx(value) for one, _ in found), (parameter, found)
    sentences = query(
        file, "SELECT DISTINCT not_assessable FROM result WHERE not_assessable IS NOT NULL "
        "AND analysis IN ('accuracy', 'compliance')",
    )  # fmt: skip
    assert any(row.cannot in sentence for (sentence,) in sentences)
    assert run(["patient", row.subject, "--study", str(study.root), "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told)
    device = query(
        file, f"SELECT device_id FROM device_assignment JOIN device USING (device_id) WHERE device_class = '{name}'"
    )[0][0]
    assert device in told
