"""Every row of any dose log ends in exactly one place, with its own line, and no amount is ever another number."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from pathlib import Path

from examples import examples
from generic_files import COLUMNS, mapped, read
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
GOOD = "S9,2024-05-05 05:05:05,5.5,z"


def exact_amount(text: str) -> Decimal | None:
    """What a dose cell must become: rounded at the ninth decimal, then at most six; None when it must be rejected."""
    stripped = text.strip(" \t")
    if not NUMBER.fullmatch(stripped):
        return None
    with localcontext(prec=2_000):
        try:
            nine = Decimal(stripped).quantize(Decimal("1e-9"), ROUND_HALF_UP)
        except InvalidOperation:
            return None
        six = nine.quantize(Decimal("1e-6"))
        return six if six == nine and 0 <= six < 10**12 else None


numbers = st.one_of(
    st.decimals(min_value=0, max_value=10**13, places=6).map(lambda value: f"{value:f}"),
    st.decimals(min_value=-10, max_value=10, places=8).map(str),
    st.decimals(min_value=0, max_value=100, places=3).map(lambda value: f" {value}"),
    st.floats(allow_nan=True).map(repr),
    st.builds(lambda a, b: repr(a / 10 + b / 10), st.integers(0, 99), st.integers(0, 99)),
    st.text("0123456789.,eE+-_ ", min_size=1, max_size=12),
    st.text(max_size=4),
)
moments = st.one_of(
    st.datetimes(min_value=dt.datetime(2009, 12, 1), max_value=dt.datetime(2024, 12, 31)).map(
        lambda at: at.replace(microsecond=0).isoformat(sep=" ")
    ),
    st.dates(min_value=dt.date(2010, 1, 1)).map(lambda day: day.isoformat()),
    st.sampled_from(
        ("", "2023-02-29", "2024-01-01 25:00", "01.02.2024", "2024-01-01T08:00:00Z", "2024-01-01 13:00:00 PM")
    ),
)
subjects = st.one_of(st.sampled_from(("S1", "S2 ", " S3", "", "  ", "\u00e9")), st.text(max_size=3))
texts = st.text(st.characters(codec="utf-8"), max_size=8)


@dataclass(frozen=True)
class Line:
    """A row as it is written, and what it must become: (subject, time, amount, lot), or None for a rejected row."""

    text: bytes
    expected: tuple[str, dt.datetime, Decimal | None, str | None] | None


def blank_is_none(text: str) -> str | None:
    return text.strip(" \t") or None


def quoted(cell: str, always: bool) -> str:
    needs = always or any(sign in cell for sign in '",\r\n')
    return '"' + cell.replace('"', '""') + '"' if needs else cell


def moment(text: str) -> dt.datetime | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", text):
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at >= dt.datetime(2010, 1, 1) else None


@st.composite
def rows(draw: Callable[..., object]) -> Line:
    cells = [str(draw(strategy)) for strategy in (subjects, moments, numbers, texts)]
    text = ",".join(quoted(cell, bool(draw(st.booleans()))) for cell in cells)
    subject, at, amount = blank_is_none(cells[0]), moment(cells[1]), exact_amount(cells[2])
    blank_dose = blank_is_none(cells[2]) is None
    if subject is None or at is None or (amount is None and not blank_dose):
        return Line(text.encode(), None)
    return Line(text.encode(), (subject, at, amount, blank_is_none(cells[3])))


ragged = st.sampled_from((b"S1", b"S1,2024-01-01", b"S1,2024-01-01,1", b"S1,2024-01-01,1,a,b", b",,,,,", b"   ")).map(
    lambda text: Line(text, None)
)
bad_bytes = st.sampled_from((b"S1,2024-01-01,1,\xff", b"\xe9,2024-01-01,1,a", b'S1,2024-01-01,1,"\xc3"')).map(
    lambda text: Line(text, None)
)
blank = st.just(Line(b"", None))


@given(
    st.lists(st.one_of(rows(), rows(), rows(), ragged, bad_bytes, blank), max_size=12),
    st.sampled_from((b"\n", b"\r\n")),
    st.booleans(),
)
@examples(25, 80, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_in_one_place(lines: list[Line], end: bytes, final_end: bool) -> None:
    good = Line(GOOD.encode(), ("S9", dt.datetime(2024, 5, 5, 5, 5, 5), Decimal("5.5"), "z"))
    # Rows without fault keep the share of faulty ones below what makes a file suspect as a whole.
    written = [*lines, *([good] * (3 * len(lines) + 1))]
    expected, rejected = {}, {}
    number = 2
    for line in written:
        if line.expected is not None:
            expected[number] = line.expected
        elif line.text:
            rejected[number] = line.text
        number += line.text.count(b"\n") + 1
    data = end.join([b"Subject,Time,Dose,Lot", *(line.text for line in written)]) + (end if final_end else b"")
    with tempfile.TemporaryDirectory() as folder:
        log = read(Path(folder), data, mapped(columns={**COLUMNS, "lot": "Lot"}))
    events = log.events.select("line", "subject_id", "start_local", "delivered_amount", "lot").rows()
    assert {line: rest for line, *rest in events} == {line: list(row) for line, row in expected.items()}
    raws = dict(log.rejected.select("line", "raw").rows())
    assert raws == {line: text.decode("utf-8", "backslashreplace") for line, text in rejected.items()}


@given(st.lists(numbers, min_size=1, max_size=200))
@examples(25, 40)
def test_amounts_equal_the_decimal_of_their_text(cells: list[str]) -> None:
    """The same rule for a comma as decimal sign: every text with its signs exchanged gives the same amount."""
    plain = [cell for cell in cells if not any(sign in cell for sign in '\n\r"|,')]
    padding = ["1"] * (len(plain) + 1)
    for sign, table in ((".", {}), (",", str.maketrans(".", ","))):
        text = "Subject|Time|Dose\n" + "".join(f"S|2024-01-01|{cell.translate(table)}\n" for cell in (*plain, *padding))
        with tempfile.TemporaryDirectory() as folder:
            log = read(Path(folder), text.encode(), mapped(decimal=sign))
        amounts = dict(log.events.select("line", "delivered_amount").rows())
        for line, cell in enumerate(plain, 2):
            if blank_is_none(cell) is None:
                assert amounts[line] is None
            else:
                assert amounts.get(line) == exact_amount(cell), cell


@given(
    st.lists(
        st.sampled_from(
            (
                b'"',
                b'""',
                b",",
                b"\n",
                b"\r",
                b"\r\n",
                b"\0",
                b"S1",
                b"2024-01-01",
                b"1",
                b"\xff",
                b" ",
                b"\t",
                b"\xef\xbb\xbf",
            )
        ),
        max_size=60,
    )
)
@examples(25, 40)
def test_any_bytes_are_accounted_for(tokens: list[bytes]) -> None:
    """Whatever follows a header: no line is lost, and every line is part of a row, a rejected row, or blank."""
    body = b"".join(tokens)
    data = b"Subject,Time,Dose\n" + body + b"\n" + b"S9,2024-05-05,1\n" * 40
    with tempfile.TemporaryDirectory() as folder:
        log = read(Path(folder), data, mapped())
    total = data.count(b"\n")
    assert log.events["line"].to_list()[-40:] == list(range(total - 39, total + 1))
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    for line, raw in log.rejected.select("line", "raw").rows():
        assert raw.split("\n")[0].rstrip("\r") == lines[line - 1].rstrip(b"\r").decode("utf-8", "backslashreplace")
    covered = {*log.events["line"].to_list(), *log.rejected["line"].to_list()}
    if b'"' not in body:
        assert covered == {number for number, line in enumerate(lines, 1) if line and number > 1}
