"""Many small overlapping files on a large study: what they cost against one plain reading of the study's log.

    python tests/bench/overlapping.py [--rows 7000000] [--files 3200] [--folder build/bench]

Each file is what a reader of some pens exports again: 99 rows the study holds and one it does not. The yardstick is
that of run.py, DuckDB's unsorted typed CTAS of the log the study was made from; target: at most 8 times it, in one
release.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from run import IMPORT, YARDSTICK, make_log, make_study, timed  # noqa: E402

OLD_ROWS = 99
_NEW_SEQUENCE = 1_000_000_000
_COMMAS = 11


def write_files(log: Path, folder: Path, files: int) -> int:
    """Cut the log into exports of a hundred readers; returns how many were written, which a short log may limit."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    held: dict[str, list[str]] = defaultdict(list)
    written = 0
    with log.open() as lines:
        header = next(lines)
        for line in lines:
            sequence, _, rest = line.partition(",")
            if not sequence.isdigit() or line.count(",") != _COMMAS:
                continue
            rows = held[rest.partition(",")[0][-2:]]
            rows.append(line)
            if len(rows) == OLD_ROWS:
                new = f"{_NEW_SEQUENCE + written},{rest}"
                (folder / f"dose-log-{written:05d}.csv").write_text("".join((header, *rows, new)))
                rows.clear()
                written += 1
                if written == files:
                    break
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=7_000_000)
    parser.add_argument("--files", type=int, default=3_200)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    folder = arguments.folder / str(arguments.rows)
    log = make_log(folder, arguments.rows)
    study, exports, plain = folder / "overlapping", folder / "exports", folder / "plain.duckdb"
    make_study(folder, study)
    timed([sys.executable, "-c", IMPORT, str(study), str(log)])
    written = write_files(log, exports, arguments.files)
    plain.unlink(missing_ok=True)
    unit, _, _ = timed([sys.executable, "-c", YARDSTICK, str(log), str(plain)])
    spent, memory, output = timed([sys.executable, "-c", IMPORT, str(study), str(exports)])
    told = json.loads(output)
    counts = {name: sum(file[name] for file in told["files"]) for name in ("read", "new", "duplicate", "quarantined")}
    if told["release"] != 3 or counts["duplicate"] < counts["read"] * 0.98:
        raise SystemExit(f"Not one release of duplicates: release {told['release']}, {counts}")
    print(f"{arguments.rows:,} doses and {written:,} files: {', '.join(f'{n:,} {k}' for k, n in counts.items())}")
    print(f"plain CTAS of the log {unit:6.2f}s")
    print(f"import of the files   {spent:6.2f}s {spent / unit:5.2f}x (at most 8x), {memory:,.0f} MB")
    for stage, seconds in sorted(told["stages"].items(), key=lambda entry: -entry[1]):
        print(f"    {stage:12} {seconds:6.2f}s")
    shutil.rmtree(study)
    shutil.rmtree(exports)
    plain.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
