"""What all tests share: where real files are, and which tests need files from outside the repository."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings

import sample_data

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# How long one example takes says nothing on a machine that others use too. What CI sets beside this stays.
settings.register_profile("dosetrail", settings(), deadline=None)
settings.load_profile("dosetrail")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: looking through it again and again took a seventh of test_desk's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure() -> None:
    """Let go of what was frozen: DuckDB's binding prints a complaint about whatever is left when the process ends."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    absent = pytest.mark.skip(reason=f"needs the reference files of {SHARED.name}/ beside the repository")
    for item in items:
        if item.get_closest_marker("external"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def desk_study_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study folder to copy from; made once."""
    from desk_study import make_desk_study

    return make_desk_study(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference files; only for tests marked `external`."""
    return SHARED


@pytest.fixture(scope="session")
def autoinjector_dir() -> Path:
    return sample_data.path("autoinjector")


@pytest.fixture(scope="session")
def pilot_dir() -> Path:
    return sample_data.path("cdisc_pilot")
