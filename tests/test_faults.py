"""Each call by which an import changes the study folder fails once: the last release stays whole, nothing is lost, no
litter stays, and the next run finishes the work.

Calls are counted by an audit hook of the interpreter; what DuckDB and SQLite write themselves fails in
test_kill_import (a limit on the size of files).
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from studies import copy_study, current_digest, few_files, litter, new_study

from store.facts import read_releases
from store.publish import release_numbers
from store.study import Study
from store.verify import verify_study
from tui.cli import run
from tui.pipeline import import_paths

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES, errno.EMFILE)
_CHANGES = {"os.rename": 2, "os.link": 2, "os.symlink": 2, "os.mkdir": 1, "os.chmod": 1, "os.truncate": 1}
"""Audit events that change a folder -> how many of their arguments are paths."""


class _Faults:
    """Counts the changes under a folder and lets the chosen one fail."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.chosen: int | None = None
        self.error = 0
        self.calls: list[str] = []

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.count(event, path)
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                if self.count(event, path):
                    break

    def count(self, event: str, path: object) -> bool:
        """Whether the path lies in the folder; raises where this is the chosen call."""
        if not isinstance(path, (str, os.PathLike)) or not str(path).startswith(str(self.root)):
            return False
        self.calls.append(f"{event} {path}")
        if len(self.calls) == self.chosen:
            raise OSError(self.error, os.strerror(self.error), str(path))
        return True


_FAULTS = _Faults()
_installed: list[bool] = []


@contextmanager
def failing(root: Path, chosen: int | None, error: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The calls that changed the folder, in order; the one with this number (from 1) fails."""
    if not _installed:
        sys.addaudithook(_FAULTS.hear)
        _installed.append(True)
    fsync: Callable[[int], None] = os.fsync

    def counted(descriptor: int) -> None:
        _FAULTS.count("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    _FAULTS.root, _FAULTS.chosen, _FAULTS.error, _FAULTS.calls = str(root), chosen, error, []
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", counted)
        try:
            yield _FAULTS.calls
        finally:
            _FAULTS.root = None


class Begun:
    """A study with release 1, the files its next import brings, and the calls such an import makes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        dm, di, ec, ae, ds = few_files(folder / "in", doses=2)
        self.study = new_study(folder / "study")
        assert import_paths(self.study, [dm, di, ds]).exit_code == 0
        self.files = [ec, ae]
        whole = copy_study(self.study, folder / "whole")
        with failing(whole.root, None, 0, monkeypatch) as calls:
            assert import_paths(whole, self.files).exit_code == 0
        self.calls = [call.replace(str(whole.root), "") for call in calls]
        self.before, self.after = current_digest(self.study), current_digest(whole)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return Begun(tmp_path_factory.mktemp("faults"), monkeypatch)


def fail_once(
    begun: Begun, folder: Path, number: int, error: int, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> None:
    study = copy_study(begun.study, folder / f"study-{number}-{error}")
    capsys.readouterr()
    with failing(study.root, number, error, patch):
        code = run(["import", "--json", "--study", str(study.root), *map(str, begun.files)])
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert out.err == "" and code in (0, 1, 2, 13), told
    assert "defect" not in told.get("message", "").lower(), told
    if code == 13:
        assert error in (errno.ENOSPC, errno.EDQUOT), told
    # The last release is whole (with one of the files where only the other one failed), the ledger goes on.
    wrong = {check.name for check in verify_study(study) if not check.ok}
    switching = "The switch to release" in told.get("message", "")
    assert wrong <= ({"current"} if switching else set()), begun.calls[number - 1]
    assert code == 1 or current_digest(study) in (begun.before, begun.after)
    head = begun.study.ledger.head()
    assert study.ledger.verify_chain(str(head)).seq >= head.seq
    recovered(study, begun)


def recovered(study: Study, begun: Begun) -> None:
    report = import_paths(study, begun.files)
    assert report.exit_code in (0, 4)
    assert litter(study) == []
    assert [check for check in verify_study(study) if not check.ok] == []
    assert current_digest(study) == begun.after
    digests = [release.digest for release in read_releases(study.ledger.read())]
    assert (digests[0], digests[-1]) == (begun.before, begun.after)
    assert release_numbers(study) == list(range(1, len(digests) + 1))


def test_an_import_changes_the_folder_by_calls_that_are_counted(begun: Begun) -> None:
    kinds = {call.split(" ")[0] for call in begun.calls}
    assert {"open", "fsync", "os.rename", "os.symlink", "os.mkdir"} <= kinds


def test_some_calls_fail_once(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, number in enumerate(range(1, len(begun.calls) + 1, max(1, len(begun.calls) // 3))):
        fail_once(begun, tmp_path, number, ERRORS[place % len(ERRORS)], capsys, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_every_call_fails_once(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    for number in range(1, len(begun.calls) + 1):
        fail_once(begun, tmp_path, number, error, capsys, monkeypatch)
