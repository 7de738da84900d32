"""`verify` finds what was altered, lost or left lying, and names it; it never takes damage for something else."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from studies import DataSet, blinded_protocol, copy_study, few_files, new_study, trial_file

from store.errors import IntegrityFailure
from store.ledger_chain import TRIGGERS
from store.study import Study
from store.verify import require_sound, verify_study
from tui.pipeline import import_paths


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("made")
    dm, di, ec, ae, ds = few_files(folder / "in", doses=4)
    study = new_study(folder / "study")
    import_paths(study, [dm, di, ec, ds])
    import_paths(study, [ae])
    return study


@pytest.fixture(scope="module")
def made_blinded(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("blinded")
    study = new_study(folder / "study", blinded_protocol())
    import_paths(study, few_files(folder / "in", doses=4))
    return study


@pytest.fixture
def study(made: Study, tmp_path: Path) -> Study:
    return copy_study(made, tmp_path / "study")


@pytest.fixture
def blinded(made_blinded: Study, tmp_path: Path) -> Study:
    return copy_study(made_blinded, tmp_path / "study")


def failed(study: Study, anchor: str | None = None) -> dict[str, str]:
    """Checks that failed, with what they found."""
    return {check.name: check.detail for check in verify_study(study, anchor) if not check.ok}


def flip_byte(path: Path, place: int) -> None:
    """Change one byte of a file that nobody may write to."""
    path.chmod(0o600)
    with path.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 0xFF]))


def alter_ledger(path: Path, *statements: str) -> None:
    """What somebody who may write the file could do: drop the triggers, change, put them back."""
    with sqlite3.connect(path) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for sql in TRIGGERS.values():
            connection.execute(sql)
    connection.close()


def test_an_untouched_study_is_sound(study: Study) -> None:
    checks = verify_study(study, str(study.ledger.head()))
    assert [check for check in checks if not check.ok] == []
    names = ["ledger", "sources", "releases", "current", "accounting", "keys", "digest"]
    assert [check.name for check in checks] == names
    require_sound(checks)


def test_a_flipped_byte_in_any_source_is_found(study: Study) -> None:
    places = random.Random(3)
    for source in sorted(study.sources_dir.glob("??/*.zst")):
        before = source.read_bytes()
        flip_byte(source, places.randrange(len(before)))
        found = failed(study)
        assert set(found) == {"sources"}, source
        assert source.stem in found["sources"]
        source.write_bytes(before)
    assert failed(study) == {}


def test_a_missing_source_is_found(study: Study) -> None:
    source = next(study.sources_dir.glob("??/*.zst"))
    source.unlink()
    assert "missing" in failed(study)["sources"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.5, 0.8, 0.999])
def test_a_flipped_byte_in_the_current_release_is_found(study: Study, share: float) -> None:
    file = trial_file(study)
    flip_byte(file, int(share * file.stat().st_size))
    found = failed(study)
    assert "trial.duckdb of release 2 is not the file that was published" in found["releases"]
    assert set(found) <= {"releases", "digest", "accounting", "keys"}


def test_a_flipped_byte_in_an_older_release_is_found(study: Study) -> None:
    flip_byte(study.releases_dir / "000001" / "trial.duckdb", 5000)
    assert set(failed(study)) == {"releases"}


def test_another_release_in_the_place_of_the_current_one_is_found(study: Study) -> None:
    shutil.copy(study.releases_dir / "000001" / "trial.duckdb", trial_file(study).with_suffix(".other"))
    os.replace(trial_file(study).with_suffix(".other"), trial_file(study))
    assert set(failed(study)) == {"releases", "digest"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET user = 'someone' WHERE seq = 3",
        "UPDATE ledger SET new = replace(new, 'ec.ndjson', 'ed.ndjson') WHERE seq = 4",
        "UPDATE ledger SET utc_us = utc_us + 1 WHERE seq = 1",
        "DELETE FROM ledger WHERE seq = 2",
    ],
)
def test_an_edited_ledger_row_is_found(study: Study, statement: str) -> None:
    alter_ledger(study.ledger_path, statement)
    assert set(failed(study)) == {"ledger"}


def test_a_cut_ledger_is_found_by_its_anchor(study: Study) -> None:
    head = study.ledger.head()
    alter_ledger(study.ledger_path, f"DELETE FROM ledger WHERE seq > {head.seq - 1}")
    assert "rows are missing" in failed(study, str(head))["ledger"]
    assert "no row has the anchor's hash" in failed(study, head.hash)["ledger"]


def test_a_cut_ledger_is_found_by_the_releases_it_no_longer_knows(study: Study) -> None:
    first = study.ledger.read(actions=["make_release"])[0].seq
    alter_ledger(study.ledger_path, f"DELETE FROM ledger WHERE seq > {first}")
    assert "does not know release 2" in failed(study)["releases"]


@pytest.mark.parametrize("place", ["trial.duckdb.wal", "releases/000001/trial.duckdb.wal"])
def test_a_write_ahead_log_is_found(study: Study, place: str) -> None:
    (study.root / place).write_bytes(b"")
    assert "opened a release for writing" in failed(study)["releases"]


def test_a_current_release_that_is_gone_is_found_and_the_remedy_named(study: Study) -> None:
    shutil.rmtree(study.releases_dir / "000002")
    found = failed(study)
    assert set(found) == {"current"}
    assert "dosetrail rebuild" in found["current"]


def test_a_current_that_was_turned_back_is_found(study: Study) -> None:
    study.current_link.unlink()
    study.current_link.symlink_to("releases/000001")
    assert "release 2 was committed and is not current" in failed(study)["current"]


def test_a_pruned_release_is_no_damage(study: Study) -> None:
    shutil.rmtree(study.releases_dir / "000001")
    assert failed(study) == {}
    assert any("1 pruned" in check.detail for check in verify_study(study))


def test_rows_that_do_not_add_up_are_found(study: Study, tmp_path: Path) -> None:
    """A program that lost a row and recorded the digest of what was left would be found by the counts."""
    import duckdb

    from store.verify import _check_accounting

    shutil.copyfile(trial_file(study), tmp_path / "changed.duckdb")  # not its mode: a release is read-only
    with duckdb.connect(str(tmp_path / "changed.duckdb")) as con:
        con.execute("DELETE FROM adverse_event WHERE rowid = 0")
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{tmp_path / 'changed.duckdb'}' AS release (READ_ONLY)")
        check = _check_accounting(con)
    assert not check.ok
    assert "do not add up" in check.detail


def test_what_failed_is_raised_together(study: Study) -> None:
    (study.root / "trial.duckdb.wal").write_bytes(b"")
    next(study.sources_dir.glob("??/*.zst")).unlink()
    with pytest.raises(IntegrityFailure) as caught:
        require_sound(verify_study(study))
    assert caught.value.exit_code == 14
    assert "sources: " in caught.value.message and "releases: " in caught.value.message


def test_a_blinded_study_is_sound(blinded: Study) -> None:
    checks = verify_study(blinded)
    assert [check for check in checks if not check.ok] == []
    assert "unblinded ledger" in [check.name for check in checks]


def test_damage_to_the_unblinded_part_is_found(blinded: Study) -> None:
    file = blinded.releases_dir / "000001" / "unblinded.duckdb"
    flip_byte(file, file.stat().st_size // 2)
    assert "unblinded.duckdb of release 1" in failed(blinded)["releases"]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE ledger SET user = 'someone' WHERE seq = 1", "was changed"),
        ("DELETE FROM ledger WHERE seq > 1", "does not name source"),
    ],
)
def test_an_altered_unblinded_ledger_is_found(blinded: Study, statement: str, found: str) -> None:
    alter_ledger(blinded.unblinded_ledger_path, statement)
    assert found in failed(blinded)["unblinded ledger"]


def test_a_missing_unblinded_ledger_is_found(blinded: Study) -> None:
    blinded.unblinded_ledger_path.unlink()
    assert "is missing" in failed(blinded)["unblinded ledger"]


def test_an_import_into_a_study_that_lost_its_names_is_refused(blinded: Study, tmp_path: Path) -> None:
    alter_ledger(blinded.unblinded_ledger_path, "DELETE FROM ledger WHERE seq > 1")
    with pytest.raises(IntegrityFailure, match="does not name source"):
        import_paths(blinded, [DataSet("SV").write(tmp_path)])
