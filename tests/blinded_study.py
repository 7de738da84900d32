"""A blinded study that was made for tests, with its two releases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies import trial_file

from store.study import Study
from tui.report import ImportReport


@dataclass(frozen=True)
class Made:
    study: Study
    report: ImportReport

    @property
    def full(self) -> Path:
        return trial_file(self.study).with_name("unblinded.duckdb")

    @property
    def trial(self) -> Path:
        return trial_file(self.study)
