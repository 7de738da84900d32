"""Names nobody could mistake, planted wherever a file or the protocol of a blinded trial can carry them."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from as_user import needs_root, open_folder
from blinded_study import Made
from studies import FEW, DataSet, blinded_protocol, new_study, query
from user_worker import COMMANDS, users

from store.permissions import user_name
from store.study import Study
from store.tables import TABLES
from tui.cli import run
from tui.export_rows import NAMED
from tui.pipeline import import_paths
from tui.rebuilding import rebuild

__all__ = ["open_folder"]

CANARY = "qxz"
AMOUNT = "7313.3125"
ARMS = {"PLACEBO": "QXZARMPLA", "ZAN_LOW": "QXZARMLOW", "ZAN_HIGH": "QXZARMHIGH"}
ELEMENTS = {"SCREEN": "SCREEN", "PLACEBO": "QXZELPLA", "LOW": "QXZELLOW", "TITRATE": "QXZELTIT", "HIGH": "QXZELHIGH"}


def canary_protocol() -> str:
    text = blinded_protocol()
    for key, names in (("element", ELEMENTS), ("code|arm|reference_arm", ARMS)):
        text = re.sub(rf'^({key}) = "(\w+)"', lambda at, to=names: f'{at[1]} = "{to[at[2]]}"', text, flags=re.MULTILINE)
    text = re.sub(r'name = "(Placebo|Zanomaline[^"]*)"', r'name = "QXZNAME \1"', text)
    text = text.replace('drug = "Zanomaline"', 'drug = "QXZNAME Zanomaline"')
    text = text.replace('"ZANOMALINE", "PLACEBO"', '"QXZDRUG", "QXZSHAM"').replace("amount = 81", f"amount = {AMOUNT}")
    source = '\n[[source]]\nname = "QXZSOURCE"\npattern = "*QXZFILE*"\nformat = "sdtm"\n'
    return f'{text}{source}[[role]]\nname = "unblinded"\nusers = ["{user_name(os.geteuid())}"]\n'


def canary_files(folder: Path) -> list[Path]:
    """Enrolment, elements, doses, exposure, devices, disposition and qualifiers, full of canaries."""
    arms = {row[DataSet("DM").index("USUBJID")]: row[DataSet("DM").index("ARMCD")] for row in DataSet("DM").rows}
    subjects = DataSet("DM").keep_subjects(FEW)
    for variable in ("ARMCD", "ACTARMCD"):
        subjects.change(variable, lambda code: ARMS.get(code, code))
    for variable in ("ARM", "ACTARM"):
        subjects.change(variable, lambda name: f"QXZNAME {name}")
    elements = DataSet("SE").keep_subjects(FEW).change("ETCD", lambda code: ELEMENTS.get(code, code))
    elements.change("ELEMENT", lambda name: f"QXZNAME {name}")
    files = [subjects.write(folder, "QXZFILE_dm.QXZSUFFIX.ndjson"), elements.write(folder, "se_QXZFILE.ndjson")]
    for domain, prefix in (("EC", "EC"), ("EX", "EX")):
        doses = DataSet(domain).keep_subjects(FEW, 5)
        doses.change(f"{prefix}TRT", lambda name: {"ZANOMALINE": "QXZDRUG", "PLACEBO": "QXZSHAM"}[name])
        doses.change(f"{prefix}LOT", lambda lot: f"QXZLOT{lot}")
        if domain == "EX":
            doses.change("EXDOSE", lambda amount: float(AMOUNT) if amount else amount)
        files.append(doses.exported("2024-01-01T00:00:00").write(folder, f"QXZFILE_{domain.lower()}.ndjson"))
        doses.change(f"{prefix}LOT", lambda lot: f"QXZNEW{lot}")
        # Rows that have to wait, with the names of a drug and of a lot in them.
        stranger, wrong = list(doses.rows[0]), list(doses.rows[1])
        stranger[doses.index("USUBJID")] = "NOBODY"
        wrong[doses.index(f"{prefix}DOSE")] = "QXZVALUE"
        wrong[doses.index(f"{prefix}SEQ")] = 999
        doses.rows += [stranger, wrong]
        files.append(doses.exported("2024-02-01T00:00:00").write(folder, f"QXZFILE_{domain.lower()}_later.ndjson"))
    devices = DataSet("DI")
    for row in list(devices.rows):
        if devices.value(row, "DIPARMCD") == "SERIAL":
            for place, (code, value) in enumerate((("LOT", "QXZKIT"), ("MODEL", "QXZMODEL"), ("FDAUDI", "QXZUDI"))):
                more = list(row)
                for variable, cell in (("DISEQ", 10 + place), ("DIPARMCD", code), ("DIPARM", code), ("DIVAL", value)):
                    more[devices.index(variable)] = f"{cell}{row[devices.index('SPDEVID')]}" if cell == value else cell
                devices.rows.append(more)
    files.append(devices.write(folder, "QXZFILE_di.ndjson"))
    disposition = DataSet("DS").keep_subjects(FEW)
    for row in disposition.rows:
        if disposition.value(row, "DSDECOD") != "INFORMED CONSENT OBTAINED":
            row[disposition.index("DSTERM")] = f"LEFT {ARMS[arms[disposition.value(row, 'USUBJID')]]}"
    files.append(disposition.write(folder, "QXZFILE_ds.ndjson"))
    qualifiers = DataSet("SUPPEC")
    for row in qualifiers.rows:
        row[qualifiers.index("QVAL")] = "QXZQUALIFIER"
    files.append(qualifiers.write(folder, "QXZFILE_suppec.ndjson"))
    files.append(DataSet("AE").keep_subjects(FEW).write(folder, "QXZFILE_ae.ndjson"))
    return files


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("canaries")
    study = new_study(folder / "study", canary_protocol())
    return make_canary_study(study, folder / "in")


def make_canary_study(study: Study, folder: Path) -> Made:
    files = canary_files(folder)
    report = import_paths(study, files[:4])
    assert report.exit_code in (0, 3), [file.reason for file in report.files]
    # Whoever learned the arm of one patient left no trace of it in what the tests below read.
    unblind = ["unblind", FEW[0], "--reason", "serious event", "--study", str(study.root)]
    assert run(unblind) == 0
    report = import_paths(study, files[4:])
    assert report.exit_code == 3, [file.reason for file in report.files]
    assert {file.status for file in report.files} == {"imported"}
    return Made(study, report)


def told_in(text: str) -> list[str]:
    """Canaries in a text, with what stands around them."""
    found = re.finditer(f"{CANARY}|{re.escape(AMOUNT)}", text, re.IGNORECASE)
    return [text[max(0, match.start() - 40) : match.end() + 40] for match in found]


def test_the_canaries_sing_where_they_may(canaries: Made) -> None:
    """Without this the tests below would prove nothing: every canary reached the unblinded release."""
    everything = json.dumps(all_values(canaries.full), default=str)
    for canary in (
        "QXZARMPLA", "QXZARMLOW", "QXZARMHIGH", "QXZELLOW", "QXZELTIT", "QXZNAME", "QXZDRUG", "QXZSHAM", "QXZLOT",
        "QXZNEW", "QXZVALUE", "QXZKIT", "QXZMODEL", "QXZUDI", "QXZQUALIFIER", "QXZFILE", "QXZSUFFIX",
        AMOUNT,
    ):  # fmt: skip
        assert canary in everything, canary
    assert "QXZSOURCE" in canaries.study.unblinded_ledger_path.read_bytes().decode("latin-1")
    assert query(canaries.full, "SELECT DISTINCT reason::VARCHAR FROM quarantine ORDER BY 1") == [
        ("bad_number",),
        ("unknown_subject",),
    ]


def all_values(file: Path) -> dict[str, list[Any]]:
    """Every value of every table and view of a release, as text."""
    found: dict[str, list[Any]] = {}
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{file}' AS trial (READ_ONLY)")
        con.execute("USE trial")
        names = con.execute(
            "SELECT DISTINCT schema_name, table_name FROM duckdb_columns() WHERE database_name = 'trial' ORDER BY ALL"
        ).fetchall()
        for schema, name in names:
            rows = con.execute(f'SELECT DISTINCT CAST(COLUMNS(*) AS VARCHAR) FROM trial."{schema}"."{name}"').fetchall()
            found[f"{schema}.{name}"] = sorted({value for row in rows for value in row if value is not None})
        found["comments and SQL"] = [
            str(value)
            for query in ("FROM duckdb_tables()", "FROM duckdb_views() WHERE NOT internal", "FROM duckdb_columns()")
            for row in con.execute(
                f"SELECT comment, to_json(r)::VARCHAR FROM ({query}) r WHERE database_name = 'trial'"
            ).fetchall()
            for value in row
            if value is not None
        ]
    return found


def test_no_value_of_the_blinded_release_names_an_arm_a_drug_or_a_file(canaries: Made) -> None:
    values = all_values(canaries.trial)
    assert len(values) > 80
    told = {name: told_in("\n".join(texts)) for name, texts in values.items()}
    assert {name: found for name, found in told.items() if found} == {}
    # In compressed bytes three letters meet by chance: the words themselves must not stand there.
    assert re.findall(rb"QXZ[A-Z]{3}", canaries.trial.read_bytes()) == []


def test_the_ordinary_ledger_names_no_file_and_no_arm(canaries: Made) -> None:
    for file in sorted(canaries.study.ledger_dir.glob("ledger.sqlite*")):
        assert told_in(file.read_bytes().decode("latin-1")) == [], file.name
    assert told_in(canaries.study.unblinded_ledger_path.read_bytes().decode("latin-1")) != []
    recorded = [row.new_value for row in canaries.study.ledger.read(actions=["import_source"])]
    assert {value["name"].removeprefix(value["name"][:12]) for value in recorded} == {".ndjson"}
    assert {(value["dataset"], value["source"]) for value in recorded} == {(None, None)}


def test_unblinding_shows_the_arm_to_the_role_and_records_who_and_why(
    canaries: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    arm = query(canaries.full, f"SELECT arm_code FROM subject WHERE subject_id = '{FEW[0]}'")[0][0]
    (row,) = [row for row in canaries.study.ledger.read() if row.action == "unblind_subject"]
    assert (row.user, row.role, row.reason) == (user_name(os.geteuid()), "unblinded", "serious event")
    assert row.new_value == {"subject_id": FEW[0]} and arm.startswith("QXZARM")
    told = query(canaries.trial, "SELECT subject_id, unblinded_by, role FROM unblinding")
    assert told == [(FEW[0], row.user, "unblinded")]
    # A reason that names a treatment is refused before anything is recorded or shown.
    head = canaries.study.ledger.head()
    capsys.readouterr()
    assert run(["unblind", FEW[0], "--reason", f"is it {arm}?", "--study", str(canaries.study.root)]) == 2
    said = capsys.readouterr()
    assert told_in(said.out + said.err) == [] and canaries.study.ledger.head() == head


def test_no_file_or_folder_of_the_study_is_named_after_what_it_must_not_tell(canaries: Made) -> None:
    names = "\n".join(str(path.relative_to(canaries.study.root)) for path in canaries.study.root.rglob("*"))
    assert told_in(names) == []


def test_the_canary_study_is_rebuilt_to_the_same_digest(canaries: Made) -> None:
    assert rebuild(canaries.study, compare=True).same


EXPORTS = (
    "summary",
    "patients",
    "doses",
    "adverse-events",
    "files",
    "quarantine",
    "dictionary",
    "dose_event",
    "result",
)


@needs_root
def test_no_command_of_a_blinded_user_prints_a_canary(open_folder: Path) -> None:
    owner, team, member = 12201, 12203, 12202
    (open_folder / "in").mkdir()
    files = canary_files(open_folder / "in")
    for path in (open_folder / "in", *files):
        path.chmod(0o755 if path.is_dir() else 0o644)
    root = open_folder / "study"
    with users((owner, [owner, team]), (member, [member, team])) as (makes, reads):
        assert makes.does(0o077, "command", "init", str(root), "--group", str(team))["code"] == 0
        makes.does(0o077, "write_text", root / "protocol.toml", canary_protocol())
        told = makes.does(0o077, "command", "import", "--study", str(root), *map(str, files))
        assert told["code"] == 3, told
        printed = {}
        for line in COMMANDS:
            for form in ((), ("--json",)):
                printed[(*line, *form)] = reads.does(0o022, "command", *line, *form, "--study", str(root))
        for table in TABLES:
            line = ("sql", f'FROM "{table}"')
            printed[line] = reads.does(0o022, "command", *line, "--study", str(root))
        for what in EXPORTS:
            out = open_folder / f"{what}.csv"
            line = ("export", what, "--out", str(out))
            printed[line] = reads.does(0o022, "command", *line, "--study", str(root))
            if out.exists():
                printed[line]["file"] = "".join(path.read_text() for path in open_folder.glob(f"{what}.csv*"))
    failed = {line: told for line, told in printed.items() if told["code"] != 0 and line[0] != "protocol"}
    assert failed == {}
    told = {line: told_in(json.dumps(output)) for line, output in printed.items()}
    assert {line: found for line, found in told.items() if found} == {}


def test_no_export_of_the_blinded_release_tells_an_arm(canaries: Made, tmp_path: Path) -> None:
    """Every export there is, each with its data dictionary, and the whole data set in every format."""
    subject = query(canaries.trial, "SELECT min(subject_id) FROM subject")[0][0]
    wanted = [(what, "json", identity) for what in NAMED for identity in ("as-is", "deidentified")]
    wanted += [("full", "xlsx", "as-is"), ("full", "parquet", "as-is"), ("arm-summary", "html", "as-is")]
    written = 0
    for what, format, identity in wanted:
        out = tmp_path / f"{what}-{identity}.{format}.zip"
        words = ["export", what, "--format", format, "--identity", identity, "--out", str(out)]
        words += ["--subject", subject] if what == "patient-profile" else []
        code = run([*words, "--study", str(canaries.study.root)])
        assert code in (0, 2), (what, identity)
        written += code == 0
    assert written == len(wanted) - 3  # quarantine, files and the audit trail have no de-identified form
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        parts = [content]
        if content[:2] == b"PK":
            archive = zipfile.ZipFile(path)
            parts = [name.encode() + archive.read(name) for name in archive.namelist()]
        for part in parts:
            if part[:4] == b"PAR1" or b"PAR1" in part[:80]:
                part = str(pl.read_parquet(io.BytesIO(part[part.index(b"PAR1") :])).to_dicts()).encode()
            assert told_in(part.decode()) == [], path.name
