"""The same data set from any carrier gives the same canonical rows, down to the row number."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from sdtm_files import read

import sample_data


def assert_same(one: Path, other: Path) -> None:
    first, second = read(one), read(other)
    assert first.dataset == second.dataset
    assert first.rows_read == second.rows_read
    assert first.tables.keys() == second.tables.keys()
    assert first.rejected is None and second.rejected is None
    for name, frame in first.tables.items():
        twin = second.tables[name]
        assert isinstance(frame, pl.DataFrame) and isinstance(twin, pl.DataFrame)
        assert frame.height > 0
        assert frame.schema == twin.schema
        assert frame.equals(twin), name


@pytest.mark.parametrize("carrier", ["xpt", "json", "dsjc"])
@pytest.mark.parametrize("domain", ["dm", "ae", "di"])
def test_every_carrier_gives_the_rows_of_ndjson(domain: str, carrier: str) -> None:
    assert_same(
        sample_data.path(f"autoinjector/{domain}.ndjson"), sample_data.path(f"autoinjector_formats/{domain}.{carrier}")
    )


@pytest.mark.external
@pytest.mark.parametrize("carrier", ["xpt", "json", "dsjc"])
def test_doses_are_the_same_from_every_carrier(shared: Path, carrier: str) -> None:
    folder = shared / "data/trials/autoinjector"
    assert_same(folder / "ec.ndjson", folder / f"ec.{carrier}")


@pytest.mark.external
@pytest.mark.parametrize("domain", ["dd", "ds", "ex", "fa", "relrec", "se", "suppdm", "suppec", "sv"])
def test_every_domain_is_the_same_from_xpt(shared: Path, domain: str) -> None:
    folder = shared / "data/trials/autoinjector"
    assert_same(folder / f"{domain}.ndjson", folder / f"{domain}.xpt")
