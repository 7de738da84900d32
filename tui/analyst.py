"""The analysis as the build asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from store.protocol import Protocol
    from store.release_frames import KeepFrame, ReadFrame


class StudyAnalyst:
    """Derived tables and results of a release, up to the protocol's data cut."""

    def analyse(self, frames: ReadFrame, protocol: Protocol, keep: KeepFrame) -> pl.DataFrame:
        from analysis.results import analyse_study

        return analyse_study(frames, protocol, protocol.study.data_cut, keep)


ANALYST = StudyAnalyst()
