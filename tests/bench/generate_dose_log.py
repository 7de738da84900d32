"""A dose log of any size for the import benchmark: 12 columns, time-ordered over all devices, with bad rows and
duplicates.

The same arguments give the same bytes. Rows are made and written in chunks: 7,000,000 rows need 15 s and 300 MB.

    python tests/bench/generate_dose_log.py FOLDER --rows 7000000

writes dose-log.csv, enrolment.csv and protocol.toml, which together make a study.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

COLUMNS = (
    "Sequence", "Subject", "Pen", "Injected at", "Finished at", "Event", "Dialled", "Injected", "Unit", "Seconds",
    "Result", "Firmware",
)  # fmt: skip

BAD_KINDS = {
    "short line": "missing_columns",
    "long line": "too_many_columns",
    "not a number": "bad_number",
    "decimal comma": "bad_number",
    "not a date": "bad_date",
    "clock lost": "impossible_time",
    "unknown unit": "unknown_unit",
    "no time": "missing_value",
}
"""What is wrong with a bad row -> the reason it must be rejected for."""

ARMS = ("PLACEBO", "LOW", "MIDDLE", "HIGH")
START = "2023-01-01"
SECONDS = 540 * 86_400
"""Length of the trial: all rows lie in it, in time order."""

PROTOCOL = """\
[study]
id = "BENCH"
title = "Import benchmark"
reference_arm = "PLACEBO"

{sites}
{arms}
[[drug]]
name = "STUDY DRUG"
unit = "mg"

[[device]]
type = "Pen"
class = "pen"

[[dosing]]
drug = "STUDY DRUG"
kind = "scheduled"
amount = 2
unit = "mg"
every_h = 6

[[source]]
name = "pens"
pattern = "dose-log*"
format = "dose_log"
date_order = "YMD"

[source.columns]
native_key = "Sequence"
subject_id = "Subject"
device_id = "Pen"
start_local = "Injected at"
end_local = "Finished at"
kind = "Event"
programmed_amount = "Dialled"
delivered_amount = "Injected"
amount_unit = "Unit"
delivered_duration_s = "Seconds"
status = "Result"
firmware = "Firmware"

[source.constants]
drug = "STUDY DRUG"

[source.values.kind]
INJ = "injection"
PRIME = "prime"

[[source]]
name = "enrolment"
pattern = "enrolment.csv"
format = "enrolment"
"""


@dataclass
class Generated:
    """What was written: data lines in all, rows without fault (duplicates included), bad rows by kind, duplicates."""

    path: Path
    lines: int = 0
    good: int = 0
    duplicates: int = 0
    bad: Counter[str] = field(default_factory=Counter)


def generate_dose_log(
    path: Path,
    *,
    rows: int = 7_000_000,
    subjects: int = 3_200,
    seed: int = 20_240_101,
    bad_per_million: int = 800,
    duplicates_per_million: int = 2_000,
) -> Generated:
    """Write the log to ``path``; ``rows`` counts the rows before duplicates are added."""
    random = np.random.default_rng(seed)
    made = Generated(path)
    with path.open("wb") as target:
        target.write((",".join(COLUMNS) + "\n").encode())
        for lines in _chunks(random, rows, subjects):
            count = len(lines)
            broken = random.choice(count, size=_share(random, count, bad_per_million), replace=False)
            kinds = random.choice(list(BAD_KINDS), size=len(broken))
            spoilt = dict(zip(broken.tolist(), kinds.tolist(), strict=True))
            for index, kind in spoilt.items():
                lines[index] = _spoil(lines[index], kind)
            copies = random.choice(count, size=_share(random, count, duplicates_per_million), replace=False)
            lines += [lines[index] for index in copies.tolist() if index not in spoilt]
            made.duplicates += len(lines) - count
            made.lines += len(lines)
            made.good += len(lines) - len(spoilt)
            made.bad.update(spoilt.values())
            target.write(("\n".join(lines) + "\n").encode())
    return made


def _share(random: np.random.Generator, count: int, per_million: int) -> int:
    return min(count, int(random.poisson(count * per_million / 1_000_000)))


def _chunks(random: np.random.Generator, rows: int, subjects: int) -> Iterator[list[str]]:
    """Lines of whole rounds: in a round every subject doses once, in random order, at random times of the round."""
    rounds_per_chunk = max(1, 200_000 // subjects)
    rounds = -(-rows // subjects)
    first = np.datetime64(START, "ms")
    per_round = SECONDS / rounds
    for begin in range(0, rounds, rounds_per_chunk):
        number = np.arange(begin, min(begin + rounds_per_chunk, rounds))
        subject = random.permuted(np.tile(np.arange(subjects), (len(number), 1)), axis=1)
        offset = np.sort(random.random(subject.shape), axis=1)
        second = ((number[:, None] + offset) * per_round).astype(np.int64).ravel()
        sequence = np.repeat(number + 1, subjects)
        keep = min(len(second), rows - begin * subjects)
        yield _lines(random, first, subject.ravel()[:keep], sequence[:keep], second[:keep])


def _lines(
    random: np.random.Generator, first: np.datetime64, subject: np.ndarray, sequence: np.ndarray, second: np.ndarray
) -> list[str]:
    count = len(subject)
    programmed = random.integers(2, 40, count) * 50
    shortfall = np.where(random.random(count) < 0.03, random.integers(1, 2_000, count), random.integers(0, 3, count))
    delivered = np.maximum(programmed - shortfall, 0)
    duration = random.integers(4, 30, count)
    prime = random.random(count) < 0.02
    status = np.where(delivered == 0, "none_delivered", np.where(shortfall > 50, "partial", "completed"))
    number = pl.Series("s", subject + 1)
    frame = pl.DataFrame(
        {
            "sequence": sequence,
            "subject": number,
            "start": first + (second * 1000).astype("timedelta64[ms]"),
            "end": first + ((second + duration) * 1000).astype("timedelta64[ms]"),
            "event": np.where(prime, "PRIME", "INJ"),
            "programmed": programmed,
            "delivered": delivered,
            "duration": duration,
            "status": status,
            "firmware": np.where(second > SECONDS // 2, "2.1.0", "2.0.3"),
        }
    )
    digits = pl.col("subject").cast(pl.String).str.zfill(4)
    return (
        frame.select(
            pl.concat_str(
                pl.col("sequence").cast(pl.String),
                pl.lit("S") + digits,
                pl.lit("PEN-") + digits,
                pl.col("start").dt.strftime("%Y-%m-%d %H:%M:%S"),
                pl.col("end").dt.strftime("%Y-%m-%d %H:%M:%S"),
                pl.col("event"),
                _thousandths("programmed"),
                _thousandths("delivered"),
                pl.lit("mg"),
                pl.col("duration").cast(pl.String),
                pl.col("status"),
                pl.col("firmware"),
                separator=",",
            )
        )
        .to_series()
        .to_list()
    )


def _thousandths(column: str) -> pl.Expr:
    whole, rest = pl.col(column) // 1000, pl.col(column) % 1000
    return whole.cast(pl.String) + pl.lit(".") + rest.cast(pl.String).str.zfill(3)


def _spoil(line: str, kind: str) -> str:
    cells = line.split(",")
    if kind == "short line":
        return ",".join(cells[:7])
    if kind == "long line":
        return ",".join([*cells, "E17", ""])
    changes = {
        "not a number": (7, "ERR"),
        "decimal comma": (7, '"1,5"'),
        "not a date": (3, "2023-02-30 12:00:00"),
        "clock lost": (3, "2007-01-01 00:00:17"),
        "unknown unit": (8, "clicks"),
        "no time": (3, ""),
    }
    index, value = changes[kind]
    cells[index] = value
    return ",".join(cells)


def generate_enrolment(path: Path, *, subjects: int = 3_200) -> None:
    """Write the enrolment of the log's subjects: 40 sites, four arms in turn."""
    lines = ["subject_id,site_id,arm_code,sex,age,enrolled_date,reference_start,device_id,status"]
    lines += [
        f"S{number:04d},{1 + number % 40:02d},{ARMS[number % 4]},{'FM'[number % 2]},{20 + number % 60},"
        f"2022-12-20,2023-01-01,PEN-{number:04d},on_treatment"
        for number in range(1, subjects + 1)
    ]
    path.write_text("\n".join(lines) + "\n")


def generate_protocol(path: Path) -> None:
    """Write the protocol that maps the log and the enrolment."""
    sites = "".join(f'[[site]]\nid = "{number:02d}"\ntime_zone = "Europe/Berlin"\n\n' for number in range(1, 41))
    arms = "".join(
        f'[[arm]]\ncode = "{code}"\nname = "{code.title()}"\n\n[[arm.period]]\norder = 1\nelement = "{code}"\n'
        "duration_days = 540\n\n"
        for code in ARMS
    )
    path.write_text(PROTOCOL.format(sites=sites, arms=arms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=7_000_000)
    parser.add_argument("--subjects", type=int, default=3_200)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    made = generate_dose_log(arguments.folder / "dose-log.csv", rows=arguments.rows, subjects=arguments.subjects)
    generate_enrolment(arguments.folder / "enrolment.csv", subjects=arguments.subjects)
    generate_protocol(arguments.folder / "protocol.toml")
    print(f"{made.path}: {made.lines:,} rows, {sum(made.bad.values()):,} bad, {made.duplicates:,} duplicates")


if __name__ == "__main__":
    main()
