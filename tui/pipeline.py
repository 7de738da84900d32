"""From files to a release: the one place that knows importers, store and analysis together.

Order of a run: recognise -> archive -> read -> resolve and store -> analyse -> one ledger transaction (the commit) ->
swap. Killed before the commit nothing happened; killed after it, the next command that may write finishes the swap.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from importers import apart
from importers.base import Parsed, ReadContext, Recognised, SourceFile
from importers.discover import Input, find_inputs
from importers.file_names import filed_name, filed_path
from importers.registry import importer_of
from store.blinded_files import close_open_releases, close_sources
from store.blinding import Withheld
from store.build import BuildInputs, Built, ReleaseBuilder
from store.errors import DosetrailError, FileRefused, LayoutChanged
from store.facts import (
    IMPORT_SOURCE,
    MAKE_RELEASE,
    NAME_SOURCE,
    NOTHING_TO_BUILD,
    RECORD_PROTOCOL,
    Facts,
    SourceFact,
    read_facts,
    read_releases,
    receipt_time,
)
from store.interruption import interruptible, signals_held
from store.layouts import check_layout
from store.ledger import Entry
from store.locking import import_lock
from store.protocol_file import RecordedProtocol, load_protocol
from store.publish import TRIAL_FILE, building_folder, checkpoint, publish
from store.received import Received
from store.retention import prune
from store.sources import SourceArchive
from store.statement_progress import Progress, following, quiet
from tui.analyst import ANALYST
from tui.new_files import NewFile, refuse_disagreeing
from tui.release_files import (
    changed_keys,
    corrected_source,
    estimate_rows,
    explained_full_disk,
    hash_release_files,
    read_archived,
    read_unblinded_rows,
    received_cache,
    split_release,
    storable_name,
    tidy_study,
)
from tui.report import FileReport, ImportReport
from tui.version import program_version

if TYPE_CHECKING:
    import duckdb

    from store.study import Study


def import_paths(
    study: Study, paths: list[Path], progress: Progress = quiet, *, wait_s: float = 0.0, dry_run: bool = False
) -> ImportReport:
    """Import files and folders into a study and publish one release for the whole run.

    Files that cannot be read are reported and do not stop the others. Nothing new: no release. ``wait_s``: how long to
    wait for another import to end. ``dry_run``: everything but archiving, recording and publishing.
    Raises ``DosetrailError`` (not the owner, another import running, protocol mistakes, disk full).
    """
    started = time.monotonic()
    study.require_owner("import")
    with import_lock(study, wait_s), explained_full_disk():
        run = _start(study, progress, dry_run=dry_run)
        with _interruptible_until_done(run), run.builder() as builder:
            with run.archive.batch():
                run.read_inputs(find_inputs(paths, run.protocol.protocol.source), builder.con)
            if run.new_files:
                run.publish_with(builder)
        return run.report(started)


def make_release(study: Study, progress: Progress = quiet) -> ImportReport:
    """Publish a release when the protocol, the program or the ledger changed since the last one; else change
    nothing."""
    started = time.monotonic()
    study.require_owner("make a release")
    with import_lock(study), explained_full_disk():
        run = _start(study, progress)
        if run.outdated():
            with _interruptible_until_done(run), run.builder() as builder:
                run.publish_with(builder)
        return run.report(started)


def _start(study: Study, progress: Progress, *, dry_run: bool = False) -> _Run:
    messages = [] if dry_run else tidy_study(study)
    protocol = load_protocol(study.protocol_path)
    if protocol.protocol.study.state == "blinded" and not dry_run:
        close_sources(study)
    return _Run(study, protocol, progress, messages, dry_run=dry_run)


@contextlib.contextmanager
def _interruptible_until_done(run: _Run) -> Iterator[None]:
    """Ctrl-C ends the run with nothing changed, or comes too late: then the run is done and says so."""
    try:
        with interruptible() as run.check_interrupted:
            yield
    except KeyboardInterrupt:
        if run.release is None:
            raise


class _Run:
    """One run that may end in a release."""

    def __init__(
        self, study: Study, protocol: RecordedProtocol, progress: Progress, messages: list[str], *, dry_run: bool
    ) -> None:
        self.study = study
        self.dry_run = dry_run
        self.protocol = protocol
        self.blinded = protocol.protocol.study.state == "blinded"
        self._progress = progress
        self.check_interrupted: Callable[[], None] = lambda: None
        self.messages = messages
        self.archive = SourceArchive(study)
        self.rows = study.ledger.read()
        self.facts = read_facts(self.rows, read_unblinded_rows(study))
        self.releases = read_releases(self.rows)
        self.received_utc, said = receipt_time(self.facts.sources)
        self.messages.extend(said)
        self.reports: list[FileReport] = []
        self.new_files: list[NewFile] = []
        self.release: int | None = None
        self._folder: Path | None = None
        self._stage = ""
        self._rows_at_hand = 0

    @contextlib.contextmanager
    def builder(self) -> Iterator[ReleaseBuilder]:
        """A release file in a temporary folder of the study; removed again when the run does not publish it."""
        with building_folder(self.study) as folder:
            self._folder = folder
            with ReleaseBuilder(folder / TRIAL_FILE, self.progress) as builder, contextlib.ExitStack() as beside:
                if self._progress is not quiet:
                    beside.enter_context(following(builder.con, self._tell_share))
                yield builder

    def progress(self, stage: str, done: int = 0, total: int = 0) -> None:
        """Say what is done now, and how many of how many rows are through."""
        self.check_interrupted()
        self._stage = stage
        self._progress(stage, done, total)

    def _tell_share(self, share: float) -> None:
        """Rows through, from the share of a statement that is: of a file being read the rows are estimated."""
        if self._rows_at_hand and not self._stage.startswith("computing"):
            self._progress(self._stage, round(share * self._rows_at_hand), self._rows_at_hand)

    def outdated(self) -> bool:
        if not self.releases:
            return True
        last = self.releases[-1]
        return (
            last.protocol_sha256 != self.protocol.sha256
            or last.program_version != program_version()
            or any(row.seq > last.seq and row.action not in NOTHING_TO_BUILD for row in self.rows)
        )

    def report(self, started: float) -> ImportReport:
        """What the run did; ``started`` on the monotonic clock."""
        head = self.study.ledger.head()
        seconds = time.monotonic() - started
        return ImportReport(
            self.reports, self.release, head.hash, head.seq, seconds, self.messages, dry_run=self.dry_run
        )

    def read_inputs(self, inputs: list[Input], con: duckdb.DuckDBPyConnection) -> None:
        """Archive and read every input; failures become reports."""
        known_sizes = {fact.size for fact in self.facts.sources}
        for item in inputs:
            started = time.monotonic()
            shown = str(item.path)
            if item.ignored is None:
                shown = filed_path(shown, item.recognised.format if item.recognised else None, item.source)
            report = FileReport(path=shown, status="failed")
            self.reports.append(report)
            if item.ignored is not None:
                report.status, report.reason = "ignored", item.ignored
                continue
            report.code = 1
            if item.error is not None or item.recognised is None:
                report.reason = item.error
                continue
            try:
                self._read_one(item, item.recognised, report, con, known_sizes)
            except FileRefused as error:
                report.reason = f"{error.message} {error.remedy}"
            except DosetrailError as error:
                if error.exit_code not in (1, LayoutChanged.exit_code):
                    raise
                report.status, report.code = "failed", error.exit_code
                report.reason = f"{error.message} {error.remedy}"
            report.seconds = time.monotonic() - started
        self.new_files = refuse_disagreeing(self.new_files)

    def _read_one(
        self,
        item: Input,
        recognised: Recognised,
        report: FileReport,
        con: duckdb.DuckDBPyConnection,
        known_sizes: set[int],
    ) -> None:
        report.format, report.dataset = recognised.format, recognised.dataset
        name = filed_name(storable_name(item.path), recognised.format, item.source)
        self.progress(f"archiving {name}")
        if self.dry_run:
            archived = self.archive.measure(item.path)
        else:
            archived = self.archive.archive(item.path, unblinding=self.blinded, known_sizes=known_sizes)
        report.sha256 = archived.sha256
        if self._seen_before(report, archived.sha256):
            return
        checkpoint("archived")
        file = SourceFile(item.path, name, archived.sha256)
        name_of_source = item.source.name if item.source else recognised.dataset
        stream = recognised.format, name_of_source
        corrected = corrected_source(item.source, stream, self.facts.decisions)
        context = ReadContext(self.protocol.protocol, corrected, con)
        self._rows_at_hand = estimate_rows(item.path)
        self.progress(f"reading {name}")
        parsed = apart.parse(importer_of(recognised.format), file, recognised, context)
        archived.require_unchanged(item.path)
        fact = SourceFact(
            sha256=archived.sha256,
            name=name,
            size=archived.size,
            format=parsed.format,
            dataset=parsed.dataset,
            mode=parsed.mode,
            source_name=item.source.name if item.source else None,
            protocol_sha256=self.protocol.sha256,
            exported_utc=parsed.exported_utc,
            received_utc=self.received_utc,
            layout=parsed.layout,
        )
        check_layout(fact, self.facts.sources, self.rows)
        report.status, report.read, report.notes = "imported", parsed.rows_read, parsed.notes
        self.new_files.append(NewFile(fact, parsed, report))

    def _seen_before(self, report: FileReport, sha256: str) -> bool:
        """A file received again counts as read; all its rows are duplicates (its own fate stands in source_file)."""
        if self.facts.source(sha256) is not None:
            recorded = (row for row in self.rows if (row.action, row.record) == (IMPORT_SOURCE, f"source/{sha256}"))
            rows_read = next(recorded).new_value["rows_read"]
            report.reason = "the same bytes were imported before"
        else:
            same = next((other for fact, _, other in self.new_files if fact.sha256 == sha256), None)
            if same is None:
                return False
            rows_read = same.read
            report.reason = f"the same bytes as {Path(same.path).name}"
        report.status, report.read, report.duplicate = "duplicate_file", rows_read, rows_read
        return True

    def publish_with(self, builder: ReleaseBuilder) -> None:
        """Build from all facts and the new files, then commit and swap."""
        assert self._folder is not None
        number = (self.releases[-1].number if self.releases else 0) + 1
        facts = self.facts.with_sources([fact for fact, _, _ in self.new_files], self.protocol.sha256)
        files: list[tuple[SourceFact, Parsed]] = [(fact, parsed) for fact, parsed, _ in self.new_files]
        seen = {fact.sha256 for fact, _ in files}
        cache = received_cache(self.study, facts.decisions)
        cached = cache.find(fact for fact in facts.sources if fact.sha256 not in seen)
        again = [fact for fact in facts.sources if fact.sha256 not in seen and fact.source_id not in cached.rows_read]
        files += [(fact, self._read_archived(fact, builder.con)) for fact in again]
        checkpoint("parsed")
        self._rows_at_hand = sum(parsed.rows_read for _, parsed in files) + sum(cached.rows_read.values())
        # A large log is kept when it is read the second time: writing it costs half of what reading it does.
        kept = {fact: parsed.rows_read for fact, parsed in files if fact in again or not parsed.is_staged}

        def keep(received: Received) -> None:
            if not self.dry_run:
                with self._cache_may_fail():
                    cache.add(builder.con, kept, received.selects(builder.con, {fact.source_id for fact in kept}))

        inputs = BuildInputs(facts, self.protocol, self.rows, number, program_version(), self.received_utc, ANALYST)
        built = builder.finish(inputs, files, cached, keep)
        del files
        builder.con.close()
        for fact, _, report in self.new_files:
            report.count(built.counts[fact.source_id])
        if self.dry_run:
            self.messages.append(f"Nothing was changed: this run would publish release {number}.")
            return
        with self._cache_may_fail():
            cache.tidy(facts.sources)
        shutil.rmtree(self._folder / "spill", ignore_errors=True)
        withheld = split_release(self._folder) if self.blinded else []
        checkpoint("built")
        self.archive.archive_bytes(self.protocol.text.encode(), unblinding=self.blinded)
        entries = self._entries(number, facts, built)
        unblinded_entries = self._unblinded_entries(number, withheld) if self.blinded else []
        self.check_interrupted()
        with signals_held():
            publish(self.study, self._folder, number, entries, unblinded_entries=unblinded_entries)
            self.release = number
            self._tidy_releases(withheld)

    @contextlib.contextmanager
    def _cache_may_fail(self) -> Iterator[None]:
        """The cache saves time and holds nothing else: a run goes on without it."""
        import duckdb

        try:
            yield
        except (OSError, duckdb.IOException) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self.messages.append(
                f"The folder cache/ could not be written ({reason}); later imports read these files again."
            )

    def _tidy_releases(self, withheld: list[Withheld]) -> None:
        """What follows a publish; the release is there whether or not an old one can be removed."""
        if self.blinded:
            self._say_blinded(withheld)
        try:
            prune(self.study)
        except DosetrailError as error:
            self.messages.append(f"{error.message} {error.remedy}")

    def _say_blinded(self, withheld: list[Withheld]) -> None:
        self.messages.extend(
            f"{column.table}.{column.column} is withheld from the blinded release: "
            f"{column.values} of its values occur in one arm only."
            for column in withheld
        )
        closed = close_open_releases(self.study)
        if closed:
            self.messages.append(
                f"Releases made while the trial was open ({', '.join(map(str, closed))}) show the arms; they are now "
                "closed to the study's group. File names recorded then stay in the ledger."
            )

    def _read_archived(self, fact: SourceFact, con: duckdb.DuckDBPyConnection) -> Parsed:
        assert self._folder is not None
        return read_archived(self.study, self.archive, fact, self.protocol, con, self._folder, self.facts.decisions)

    def _entries(self, number: int, facts: Facts, built: Built) -> list[Entry]:
        assert self._folder is not None
        entries = []
        old = self.facts.protocol_sha256
        if old != self.protocol.sha256:
            changed = changed_keys(self.archive, old, self.protocol.text) if old else None
            new = {"changed_keys": changed} if changed is not None else None
            entries.append(Entry(RECORD_PROTOCOL, f"protocol/{self.protocol.sha256}", old=old, new=new))
        for fact, parsed, _ in self.new_files:
            told = fact.to_blinded_json() if self.blinded else fact.to_json()
            value = {**told, "release": number, "rows_read": parsed.rows_read}
            entries.append(Entry(IMPORT_SOURCE, f"source/{fact.sha256}", new=value))
        entries.append(
            Entry(
                MAKE_RELEASE,
                f"release/{number:06d}",
                new={
                    "release": number,
                    "built_from_seq": facts.seq,
                    "protocol_sha256": self.protocol.sha256,
                    "digest": built.digest,
                    "file_sha256": hash_release_files(self._folder),
                    "program_version": program_version(),
                },
            )
        )
        return entries

    def _unblinded_entries(self, number: int, withheld: list[Withheld]) -> list[Entry]:
        entries = [
            Entry(NAME_SOURCE, f"source/{fact.sha256}", new={**fact.to_withheld_json(), "release": number})
            for fact, _, _ in self.new_files
        ]
        if withheld:
            columns = [vars(column) for column in withheld]
            entries.append(Entry("withhold_columns", f"release/{number:06d}", new=columns))
        return entries
