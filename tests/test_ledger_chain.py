"""Alteration of a ledger is found, and the first row that cannot be trusted is named."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import UsageProblem
from store.ledger import Entry, Ledger
from store.ledger_chain import COLUMNS, TRIGGERS, LedgerAltered, LedgerRow, row_hash

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=5,
)
entries = st.builds(
    Entry, texts.filter(bool), texts, st.none() | texts, old=values, new=values, reason=st.none() | texts
)
ledgers = st.lists(entries, min_size=1, max_size=8)
foreign = st.none() | st.integers(-5, 2**40) | texts | st.binary(max_size=8) | st.floats(allow_nan=False)


def make_ledger(folder: str, rows: list[Entry]) -> Ledger:
    ledger = Ledger.create(Path(folder) / "ledger.sqlite", mode=0o600)
    for start in range(0, len(rows), 3):
        ledger.append(rows[start : start + 3])
    return ledger


def tamper(ledger: Ledger, *statements: tuple[str, tuple[Any, ...]]) -> bool:
    """Change rows as somebody who may write the file can; whether anything is different afterwards."""
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        before = connection.execute("SELECT * FROM ledger ORDER BY seq").fetchall()
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        for statement, parameters in statements:
            connection.execute(statement, parameters)
        for trigger in TRIGGERS.values():
            connection.execute(trigger)
        after = connection.execute("SELECT * FROM ledger ORDER BY seq").fetchall()
    connection.close()
    return [tuple(map(repr, row)) for row in before] != [tuple(map(repr, row)) for row in after]


@settings(max_examples=25, deadline=None)
@given(ledgers)
def test_an_untouched_ledger_verifies(rows: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = make_ledger(folder, rows)
        head = ledger.verify_chain()
        assert head.seq == len(rows)
        assert ledger.verify_chain(str(head)) == head
        assert ledger.verify_chain(head.hash[:16]) == head
        assert [(r.old_value, r.new_value) for r in ledger.read()] == [(e.old, e.new) for e in rows]


@settings(max_examples=60, deadline=None)
@given(ledgers, st.data())
def test_any_changed_value_is_found_and_its_row_named(rows: list[Entry], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = make_ledger(folder, rows)
        seq = data.draw(st.integers(1, len(rows)), label="seq")
        column = data.draw(st.sampled_from([name for name in COLUMNS if name != "seq"]), label="column")
        value = data.draw(foreign, label="value")
        required = column in {"utc_us", "user", "uid", "host", "action", "record", "prev_hash", "hash"}
        if required and value is None:
            value = ""
        changed = tamper(ledger, (f"UPDATE ledger SET {column} = ? WHERE seq = ?", (value, seq)))
        if not changed:
            ledger.verify_chain()
            return
        with pytest.raises(LedgerAltered) as caught:
            ledger.verify_chain()
        assert caught.value.first_bad_seq == seq


@settings(max_examples=25, deadline=None)
@given(st.lists(entries, min_size=2, max_size=8), st.data())
def test_a_removed_or_moved_row_is_found(rows: list[Entry], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = make_ledger(folder, rows)
        seq = data.draw(st.integers(1, len(rows) - 1), label="seq")
        removed = ("DELETE FROM ledger WHERE seq = ?", (seq,))
        moved = ("UPDATE ledger SET seq = ? WHERE seq = ?", (len(rows) + 7, seq))
        tamper(ledger, data.draw(st.sampled_from([removed, moved])))
        with pytest.raises(LedgerAltered) as caught:
            ledger.verify_chain()
        assert caught.value.first_bad_seq == seq


@settings(max_examples=25, deadline=None)
@given(st.lists(entries, min_size=2, max_size=8), st.data())
def test_an_anchor_finds_rows_missing_at_the_end(rows: list[Entry], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = make_ledger(folder, rows)
        anchor = ledger.head()
        left = data.draw(st.integers(0, len(rows) - 1), label="rows left")
        tamper(ledger, ("DELETE FROM ledger WHERE seq > ?", (left,)))
        assert ledger.verify_chain().seq == left
        with pytest.raises(LedgerAltered, match="rows are missing") as caught:
            ledger.verify_chain(str(anchor))
        assert caught.value.first_bad_seq == left + 1
        with pytest.raises(LedgerAltered, match="no row has the anchor's hash"):
            ledger.verify_chain(anchor.hash)


def test_an_anchor_finds_a_ledger_written_anew_with_valid_hashes(tmp_path: Path) -> None:
    ledger = make_ledger(str(tmp_path), [Entry("note", f"note/{number}") for number in range(1, 7)])
    anchor = ledger.head()
    later = ledger.append([Entry("note", "note/7")])
    previous = ledger.read()[2].hash
    updates = []
    for row in ledger.read(since=3):
        forged = LedgerRow(**{**row._asdict(), "reason": "forged", "prev_hash": previous})
        forged = forged._replace(hash=row_hash(forged))
        previous = forged.hash
        updates.append(
            ("UPDATE ledger SET reason = 'forged', prev_hash = ?, hash = ? WHERE seq = ?",
             (forged.prev_hash, forged.hash, row.seq))
        )  # fmt: skip
    tamper(ledger, *updates)
    assert ledger.verify_chain().seq == 7
    for printed in (anchor, later):
        with pytest.raises(LedgerAltered, match="written anew") as caught:
            ledger.verify_chain(str(printed))
        assert caught.value.first_bad_seq == printed.seq


def test_an_anchor_of_the_past_holds_after_more_rows(tmp_path: Path) -> None:
    ledger = make_ledger(str(tmp_path), [Entry("note", "note/1")])
    anchor = str(ledger.head())
    head = ledger.append([Entry("note", "note/2")])
    assert ledger.verify_chain(anchor) == head


def test_dropped_triggers_are_reported(tmp_path: Path) -> None:
    ledger = make_ledger(str(tmp_path), [Entry("note", "note/1")])
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("DROP TRIGGER ledger_no_delete")
    connection.close()
    with pytest.raises(LedgerAltered, match="triggers"):
        ledger.verify_chain()


@pytest.mark.parametrize("anchor", ["", "abc", "g" * 64, "0" * 64 + "@", "0" * 64 + "@-1", "0" * 65])
def test_text_that_is_no_anchor_is_a_usage_problem(tmp_path: Path, anchor: str) -> None:
    ledger = make_ledger(str(tmp_path), [Entry("note", "note/1")])
    with pytest.raises(UsageProblem, match="no ledger anchor"):
        ledger.verify_chain(anchor)
