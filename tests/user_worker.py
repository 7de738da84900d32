"""A process that loads everything, becomes an ordinary user for good, and then does what it is told under any umask.

The program may lie where ordinary users cannot read it (as in a checkout of root's), so nothing may be loaded any more
once it is that user: it does all its tasks once as root, on a study of its own, before it changes. A user who gives no
commands does without those, which take half a minute.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


class Refused(Exception):
    """What the worker was told could not be done; the text is the name of the error and its message."""


class User:
    """The test's hand on a worker: `user.does(umask, task, arguments...)`."""

    def __init__(self, uid: int, groups: Sequence[int], commands: bool = True) -> None:
        self.uid = uid
        self.groups = list(groups)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(int(commands)), str(uid), *map(str, groups)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
        )

    def does(self, umask: int, task: str, *arguments: Any) -> Any:
        """What the task returns; raises ``Refused`` where it raised."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([umask, task, arguments], default=str) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["result"]

    def leave(self) -> None:
        self._process.communicate()


@contextlib.contextmanager
def users(*who: tuple[int, Sequence[int]], without_commands: tuple[int, ...] = ()) -> Iterator[list[User]]:
    """Several users; they load beside each other."""
    made = [User(uid, groups, uid not in without_commands) for uid, groups in who]
    try:
        yield made
    finally:
        for user in made:
            user.leave()


def command(*arguments: str) -> dict[str, Any]:
    """A command line: its exit code and what it printed."""
    from tui.cli import run

    printed, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
        code = run(list(arguments))
    return {"code": code, "out": printed.getvalue(), "err": complained.getvalue()}


def write_text(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def read_bytes(path: str) -> int:
    return len(Path(path).read_bytes())


def count_subjects(release: str) -> int:
    import duckdb

    with duckdb.connect(release, read_only=True) as con:
        (row,) = con.execute("SELECT count(*) FROM subject").fetchall()
    return int(row[0])


def note(root: str, text: str) -> int:
    from store.ledger import Entry
    from store.study import open_study

    return open_study(root).ledger.append([Entry("note", "study", new=text)]).seq


def touch(path: str) -> None:
    Path(path).touch()


def list_folder(path: str) -> list[str]:
    return sorted(os.listdir(path))


TASKS = {
    task.__name__: task for task in (command, write_text, read_bytes, count_subjects, note, touch, list_folder)
}  # fmt: skip


def _look_once(folder: Path) -> None:
    import duckdb

    from store.study import create_study

    duckdb.connect(str(folder / "release.duckdb")).execute("CREATE TABLE subject (subject_id VARCHAR)").close()
    count_subjects(str(folder / "release.duckdb"))
    note(str(create_study(folder / "study", None).root), "")


def _do_everything_once(folder: Path) -> None:
    from studies import blinded_protocol, few_files

    subjects, *others = (str(path) for path in few_files(folder / "in", doses=1))
    root = str(folder / "study")
    command("init", root)
    command("import", "--study", root, subjects)
    write_text(f"{root}/protocol.toml", blinded_protocol())
    command("import", "--json", "--study", root, *others)
    for line in COMMANDS:
        command(*line, "--study", root)
    for line in (("verify",), ("sql", "SELECT * FROM source_file")):
        command(*line, "--json", "--study", root)
    importlib.import_module("tui.rebuilding")
    command("release", "--study", root)
    command("release", "--study", f"{root}-no")
    count_subjects(f"{root}/trial.duckdb")
    note(root, "")


COMMANDS = (
    ("status",),
    ("summary",),
    ("summary", "accuracy"),
    ("summary", "compliance"),
    ("summary", "adverse-events"),
    ("summary", "enrolment"),
    ("patients",),
    ("patient", "CDISC001"),
    ("patient", "CDISC009"),
    ("verify",),
    ("sql", "SELECT * FROM source_file"),
    ("protocol", "check"),
)
"""Commands that only read."""


def main() -> None:
    commands, uid, *groups = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        if commands:
            _do_everything_once(Path(folder))
        else:
            _look_once(Path(folder))
    os.setgroups(groups)
    os.setgid(groups[0])
    os.setuid(uid)
    os.chdir("/")
    for line in sys.stdin:
        umask, task, arguments = json.loads(line)
        os.umask(umask)
        try:
            answer = {"result": TASKS[task](*arguments)}
        except Exception as error:  # noqa: BLE001 - the test judges it
            answer = {"refused": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
