"""Tables lie in a release in their declared order: a patient's page is one range of the file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from store.study import create_study
from store.tables import TABLES
from tui.pipeline import import_paths


@pytest.fixture(scope="module", params=["autoinjector", "cdisc_pilot"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    folder = repository / "sample_data" / request.param
    study = create_study(tmp_path_factory.mktemp("order") / "study")
    study.protocol_path.write_bytes((folder / "protocol.toml").read_bytes())
    import_paths(study, [folder])
    return study.trial_link


def test_rows_are_stored_in_the_declared_order(release: Path) -> None:
    con = duckdb.connect(str(release), read_only=True)
    for table in TABLES.values():
        if not table.sort:
            continue
        columns = ", ".join(f'"{name}"' for name in table.sort)
        stored = con.execute(f"SELECT {columns} FROM {table.name}").fetchall()
        ordered = con.execute(f"SELECT {columns} FROM {table.name} ORDER BY {columns}").fetchall()
        assert stored == ordered, f"{table.name} is not in the order {columns}"
