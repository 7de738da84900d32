"""The two sample trials imported for real, once per test session, and their tables in memory."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import duckdb
import polars as pl
from canonical_frames import CanonicalFrames

import sample_data
from store.protocol import Protocol
from store.protocol_file import load_protocol
from store.release_frames import read_frames
from store.study import create_study
from store.tables import TABLES
from tui.pipeline import import_paths

AUTOINJECTOR = "autoinjector"
PILOT = "cdisc_pilot"


def sample_protocol(trial: str) -> Protocol:
    """The filled-in protocol that ships with a sample trial."""
    return load_protocol(sample_data.path(trial) / "protocol.toml").protocol


@cache
def release_file(trial: str) -> Path:
    """The release made by importing a sample trial's own folder under its own protocol."""
    folder = Path(tempfile.mkdtemp(prefix=f"dosetrail-{trial}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    study = create_study(folder / "study")
    shutil.copy(sample_data.path(trial) / "protocol.toml", study.protocol_path)
    report = import_paths(study, [sample_data.path(trial)])
    assert report.release == 1, report
    return study.current_link / "trial.duckdb"


@cache
def release_tables(trial: str) -> CanonicalFrames:
    """Every table of that release, derived ones and results among them."""
    con = duckdb.connect()
    con.execute(f"ATTACH '{release_file(trial).resolve()}' AS release (READ_ONLY)")
    read = read_frames(con, "release.main.")
    frames = CanonicalFrames()
    for name in TABLES:
        if name not in ("ledger", "build_info"):
            frames.tables[name] = read(name)
    con.close()
    return frames


def received(trial: str) -> CanonicalFrames:
    """The tables of the release without what the analysis derived."""
    derived = {
        "treatment_period", "population", "hold", "planned_dose", "dose_match", "monitoring_interval",
        "adverse_event_derived", "result",
    }  # fmt: skip
    frames = CanonicalFrames()
    frames.tables = {name: rows for name, rows in release_tables(trial).tables.items() if name not in derived}
    return frames


def text(frame: pl.DataFrame) -> pl.DataFrame:
    """Enum and categorical columns as text, so that values compare with plain strings."""
    kinds = (pl.Enum, pl.Categorical)
    return frame.with_columns(
        pl.col(name).cast(pl.String) for name, kind in frame.schema.items() if isinstance(kind, kinds) or kind in kinds
    )
