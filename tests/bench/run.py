"""Import speed as ratios to plain DuckDB, measured side by side in one run on the same file.

    python tests/bench/run.py [--rows 7000000] [--folder build/bench]

The yardstick is DuckDB's unsorted typed CREATE TABLE AS SELECT * FROM read_csv(...) of the same log (2 threads, storage
v1.4.0), as a process of its own from start to end. Figures and dates are kept in tests/bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOSETRAIL = Path(sys.executable).with_name("dosetrail")

YARDSTICK = """
import duckdb, sys
con = duckdb.connect(sys.argv[2], config={
    "storage_compatibility_version": "v1.4.0", "threads": 2, "preserve_insertion_order": "false"})
con.execute('''CREATE TABLE dose AS SELECT * FROM read_csv(?, header = true, auto_detect = false, delim = ',',
    columns = {"Sequence": 'BIGINT', "Subject": 'VARCHAR', "Pen": 'VARCHAR', "Injected at": 'TIMESTAMP',
        "Finished at": 'TIMESTAMP', "Event": 'VARCHAR', "Dialled": 'DECIMAL(18,6)', "Injected": 'DECIMAL(18,6)',
        "Unit": 'VARCHAR', "Seconds": 'INTEGER', "Result": 'VARCHAR', "Firmware": 'VARCHAR'},
    ignore_errors = true)''', [sys.argv[1]])
con.execute("CHECKPOINT")
"""

IMPORT = """
import json, sys, time
from pathlib import Path
started = time.monotonic()
from store.study import open_study
from tui.pipeline import import_paths
stages = []
study = open_study(Path(sys.argv[1]))
report = import_paths(study, [Path(sys.argv[2])], lambda stage, *rows: stages.append((time.monotonic(), stage)))
ended = time.monotonic()
times = [moment for moment, _ in stages] + [ended]
spent = {}
for (moment, stage), following in zip(stages, times[1:]):
    name = stage.split(" ")[0]
    spent[name] = spent.get(name, 0.0) + following - moment
print(json.dumps({"stages": spent, "files": [file.to_json() for file in report.files], "release": report.release}))
"""


def timed(command: list[str]) -> tuple[float, float, str]:
    """Seconds and peak memory (MB, all children) of a command, and what it printed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode not in (0, 3, 4):
        raise SystemExit(f"{' '.join(command[:3])} ended with {process.returncode}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000, output


def make_log(folder: Path, rows: int) -> Path:
    """The generated log in ``folder``, with its protocol and enrolment; one that is there is used again."""
    log = folder / "dose-log.csv"
    if not log.exists():
        folder.mkdir(parents=True, exist_ok=True)
        script = HERE / "generate_dose_log.py"
        subprocess.run([sys.executable, script, folder, "--rows", str(rows)], check=True, stdout=subprocess.DEVNULL)
    return log


def make_study(folder: Path, study: Path) -> None:
    """An empty study of the generated trial with its enrolment imported."""
    shutil.rmtree(study, ignore_errors=True)
    subprocess.run([DOSETRAIL, "init", study], check=True, stdout=subprocess.DEVNULL)
    shutil.copyfile(folder / "protocol.toml", study / "protocol.toml")
    subprocess.run(
        [DOSETRAIL, "import", "--study", study, folder / "enrolment.csv"], check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=7_000_000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args()
    folder = arguments.folder / str(arguments.rows)
    log = make_log(folder, arguments.rows)
    study = folder / "study"
    yardsticks, imports, again, reports, memory = [], [], [], [], []
    for _ in range(arguments.runs):
        (folder / "yardstick.duckdb").unlink(missing_ok=True)
        yardsticks.append(timed([sys.executable, "-c", YARDSTICK, str(log), str(folder / "yardstick.duckdb")])[0])
        make_study(folder, study)
        seconds, peak, output = timed([sys.executable, "-c", IMPORT, str(study), str(log)])
        imports.append(seconds)
        memory.append(peak)
        reports.append(json.loads(output))
        again.append(timed([sys.executable, "-c", IMPORT, str(study), str(log)])[0])
    unit = statistics.median(yardsticks)
    best = reports[imports.index(min(imports))]
    print(f"{arguments.rows:,} rows, {log.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} cores, {arguments.runs} runs")
    print(f"{'yardstick (typed CTAS)':32} {unit:7.2f} s   1.00x")
    total = statistics.median(imports)
    print(f"{'whole import':32} {total:7.2f} s {total / unit:6.2f}x   (at most 5x)")
    aside = best["stages"].get("archiving", 0.0) + best["stages"].get("computing", 0.0)
    bare = min(imports) - aside
    print(f"{'without archive and analysis':32} {bare:7.2f} s {bare / unit:6.2f}x   (at most 3.5x)")
    for stage, seconds in best["stages"].items():
        print(f"  {stage:30} {seconds:7.2f} s {seconds / unit:6.2f}x")
    repeat = statistics.median(again)
    print(f"{'the same file again':32} {repeat:7.2f} s {repeat / unit:6.2f}x   (0.4x)")
    print(f"{'peak memory':32} {max(memory):7.0f} MB          (at most 2,500 MB)")
    print({key: value for key, value in best["files"][0].items() if isinstance(value, int)})


if __name__ == "__main__":
    main()
