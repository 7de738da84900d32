"""What the words of the filter line mean."""

from __future__ import annotations

import duckdb
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from tui.filters import Field, FilterProblem, complete, read_filter, words_of

FIELDS = (
    Field("subject"),
    Field("site"),
    Field("comp", "number"),
    Field("last", "time"),
    Field("ae", searched=False),
    Field("hidden", word=False, searched=False),
)


def matching(text: str) -> list[str]:
    condition = read_filter(text, FIELDS)
    con = duckdb.connect()
    con.execute(
        "CREATE TABLE t AS SELECT * FROM (VALUES "
        "('S-1', '701', 79.9, DATE '2025-01-02', 'HEADACHE', 'x'), "
        "('S-2', '702', 80.0, DATE '2025-02-02', NULL, 'x'), "
        "('S-3', '701', NULL, NULL, '', 'x'), "
        "('100%_[odd] \"name\"', '703', 12.5, DATE '2025-02-03', 'RASH', 'x')"
        ") AS rows(subject, site, comp, last, ae, hidden)"
    )
    where = f"WHERE {condition.sql}" if condition.sql else ""
    return [row[0] for row in con.execute(f"SELECT subject FROM t {where}", list(condition.parameters)).fetchall()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["S-1", "S-2", "S-3", '100%_[odd] "name"']),
        ("s-1", ["S-1"]),
        ("site:701", ["S-1", "S-3"]),
        ("site:701 comp<80", ["S-1"]),
        ("comp<80%", ["S-1", '100%_[odd] "name"']),
        ("comp>=80", ["S-2"]),
        ("comp:12,5", ['100%_[odd] "name"']),
        ("!site:701", ["S-2", '100%_[odd] "name"']),
        ("!comp<80", ["S-2", "S-3"]),
        ("ae:", ["S-1", '100%_[odd] "name"']),
        ("ae:head", ["S-1"]),
        ("headache", []),
        ("last>2025-02", ["S-2", '100%_[odd] "name"']),
        ("last:2025-01", ["S-1"]),
        ("100%_", ['100%_[odd] "name"']),
        ('"[odd]"', ['100%_[odd] "name"']),
        ("site=701", ["S-1", "S-3"]),
        ("site=70", []),
        ("comp<", ["S-1", "S-2", "S-3", '100%_[odd] "name"']),
        ("SITE:702", ["S-2"]),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert matching(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sit:701", "no word sit: here; words are subject: site: comp< last: ae:"),
        ("hidden:x", "no word hidden: here"),
        ("comp<many", "comp< wants a number, not many"),
    ],
)
def test_what_is_not_understood_is_said(text: str, said: str) -> None:
    with pytest.raises(FilterProblem, match="^" + said.replace("<", "<")):
        read_filter(text, FIELDS)


@examples(80, 200)
@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        matching(text.replace("\x00", ""))
    except FilterProblem as problem:
        assert str(problem)
    except UnicodeEncodeError:
        assert not text.isprintable()


def test_tab_completes_a_word_when_only_one_fits() -> None:
    assert complete("si", FIELDS) == "site:"
    assert complete("site:701 co", FIELDS) == "site:701 comp<"
    assert complete("s", FIELDS) == "s"
    assert complete("!a", FIELDS) == "!ae:"
    assert complete("zz", FIELDS) == "zz"
    assert words_of(FIELDS) == ["subject:", "site:", "comp<", "last:", "ae:"]
