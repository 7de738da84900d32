"""The analysis as the build asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from store.protocol import Protocol
    from store.release_frames import ReadFrame


class StudyAnalyst:
    """Derived tables and results of a release, up to the protocol's data cut."""

    def derive(self, frames: ReadFrame, protocol: Protocol) -> dict[str, pl.DataFrame]:
        from analysis.derive import derive_study

        return derive_study(frames, protocol, protocol.study.data_cut)

    def compute(self, frames: ReadFrame, protocol: Protocol) -> pl.DataFrame:
        from analysis.results import compute_results

        return compute_results(frames, protocol, protocol.study.data_cut)


ANALYST = StudyAnalyst()
