"""The source archive: what was received comes back byte for byte, once, or nothing was stored."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import store.receiving
import store.sources
from store.errors import DiskFull, FileRefused, IntegrityFailure
from store.receiving import BLOCK
from store.sources import SourceArchive
from store.study import Study, create_study

NO_ROOM = """
import json, resource, sys
from store.errors import DosetrailError
from store.sources import SourceArchive
from store.study import open_study
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    SourceArchive(open_study(sys.argv[1])).archive(sys.argv[2])
except DosetrailError as error:
    print(json.dumps(error.attrs()))
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return create_study(tmp_path / "trial")


def stored(study: Study) -> list[str]:
    return sorted(str(path.relative_to(study.sources_dir)) for path in study.sources_dir.rglob("*") if path.is_file())


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 5])
def test_a_file_comes_back_byte_for_byte(study: Study, tmp_path: Path, size: int) -> None:
    content = noise(size)
    source = tmp_path / "pump 7.csv"
    source.write_bytes(content)
    archive = SourceArchive(study)
    archived = archive.archive(source)
    sha256 = hashlib.sha256(content).hexdigest()
    assert (archived.sha256, archived.size, archived.new) == (sha256, size, True)
    assert archived.stored_path == study.sources_dir / sha256[:2] / f"{sha256}.zst"
    with archive.open(sha256) as stream:
        assert stream.read() == content
    assert archive.check(sha256) == size
    assert stat.S_IMODE(archived.stored_path.stat().st_mode) == 0o400
    assert stored(study) == [f"{sha256[:2]}/{sha256}.zst"]


def test_the_zstd_command_can_read_the_archive(study: Study) -> None:
    archived = SourceArchive(study).archive_bytes(b"a,b\n1,2\n")
    raw = archived.stored_path.read_bytes()
    assert zstandard.ZstdDecompressor().decompress(raw) == b"a,b\n1,2\n"
    assert zstandard.get_frame_parameters(raw).has_checksum


@pytest.mark.parametrize("known", [False, True], ids=["size unknown", "size known"])
def test_the_same_content_again_changes_nothing(study: Study, tmp_path: Path, known: bool) -> None:
    archive = SourceArchive(study)
    first, again = tmp_path / "a.csv", tmp_path / "again.csv"
    for path in (first, again):
        path.write_bytes(noise(9 * BLOCK))
    one = archive.archive(first)
    before = one.stored_path.stat()
    two = archive.archive(again, known_sizes={one.size} if known else ())
    assert (two.sha256, two.size, two.stored_path, two.new) == (one.sha256, one.size, one.stored_path, False)
    assert one.stored_path.stat() == before
    assert len(stored(study)) == 1


def test_another_file_of_a_known_size_is_stored(study: Study, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(noise(9 * BLOCK))
    archive = SourceArchive(study)
    archived = archive.archive(source, known_sizes={9 * BLOCK})
    assert archived.new
    assert archive.check(archived.sha256) == 9 * BLOCK


@pytest.mark.parametrize(
    ("content", "longest"),
    [
        (b"x" * (3 * BLOCK), 3 * BLOCK),
        (b"a\n" + b"x" * (2 * BLOCK + 7) + b"\nb\n", 2 * BLOCK + 7),
        (b"a\n" * BLOCK + b"x" * (2 * BLOCK), 2 * BLOCK),
    ],
    ids=["one line", "in the middle", "at the end"],
)
def test_an_endless_line_is_measured_on_the_way(study: Study, content: bytes, longest: int) -> None:
    assert SourceArchive(study).archive_bytes(content).longest_line == longest


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), max_size=30), last=st.integers(0, 40))
def test_the_measured_line_is_exact_over_a_block_and_never_too_long(lengths: list[int], last: int) -> None:
    block, content = 8, b"".join(b"x" * length + b"\n" for length in lengths) + b"x" * last
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.receiving, "BLOCK", block)
        measured = store.receiving.copy_hashed(io.BytesIO(content), None, None).longest_line
    true = max([*lengths, last])
    assert measured <= true
    assert measured == true or true < block


class _Growing:
    """A file that another program writes to while it is read: after the first block it has another size."""

    def __init__(self, path: Path, change: bytes) -> None:
        self.path, self.change, self.read_block = path, change, store.receiving._read_block

    def __call__(self, source: Any, path: Path | None) -> bytes:
        block = self.read_block(source, path)
        if self.change:
            with self.path.open("ab") as stream:
                stream.write(self.change)
            self.change = b""
        return block


@pytest.mark.parametrize("size", [100, 9 * BLOCK])
def test_a_file_that_changes_while_it_is_read_is_refused(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "growing.csv"
    source.write_bytes(noise(size))
    monkeypatch.setattr(store.receiving, "_read_block", _Growing(source, b"one more line\n"))
    with pytest.raises(FileRefused, match="changed while it was read") as caught:
        SourceArchive(study).archive(source)
    assert caught.value.exit_code == 1
    assert stored(study) == []


def test_a_file_that_is_cut_while_it_is_read_is_refused(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "cut.csv"
    source.write_bytes(noise(9 * BLOCK))
    read_block = store.receiving._read_block

    def cut(stream: Any, path: Path | None) -> bytes:
        os.truncate(source, 2 * BLOCK)
        return read_block(stream, path)

    monkeypatch.setattr(store.receiving, "_read_block", cut)
    with pytest.raises(FileRefused, match="changed while it was read"):
        SourceArchive(study).archive(source)
    assert stored(study) == []


def test_a_file_replaced_after_it_was_archived_is_noticed(study: Study, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(b"a,b\n")
    archived = SourceArchive(study).archive(source)
    archived.require_unchanged(source)
    os.utime(source, ns=(0, archived.mtime_ns + 1 if archived.mtime_ns else 0))
    with pytest.raises(FileRefused, match="changed while it was imported"):
        archived.require_unchanged(source)


def test_what_is_no_file_is_refused_at_once(study: Study, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    archive = SourceArchive(study)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "absent.csv", Path("/dev/zero")):
        with pytest.raises(FileRefused):
            archive.archive(path)
    assert stored(study) == []


@pytest.mark.parametrize("damage", ["cut", "other byte", "other content", "empty", "gone"])
def test_damage_in_the_archive_is_found_and_never_read_as_data(study: Study, damage: str) -> None:
    archive = SourceArchive(study)
    archived = archive.archive_bytes(b"subject,dose\n" * 300_000)
    path = archived.stored_path
    raw = path.read_bytes()
    path.chmod(0o600)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": raw[: len(raw) // 2],
                "other byte": raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:],
                "other content": zstandard.compress(b"subject,dose\n" * 299_999),
                "empty": b"",
            }[damage]
        )
    with pytest.raises(IntegrityFailure) as caught:
        archive.check(archived.sha256)
    assert caught.value.exit_code == 14
    if damage != "other content":  # a valid file of other content is found by its hash only
        with pytest.raises(IntegrityFailure), archive.open(archived.sha256) as stream:
            stream.read()


def test_a_full_disk_stores_nothing_and_says_so(study: Study, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(noise(5 * BLOCK))
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(study.root), str(source)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["error"], told["exit_code"], told["effect"]) == ("DiskFull", 13, "Nothing was changed.")
    assert stored(study) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_no_room_at_the_last_step_stores_nothing(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(b"a,b\n")

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store.sources.os, call, refuse)
        with pytest.raises(DiskFull):
            SourceArchive(study).archive(source)
    assert stored(study) == []
    assert SourceArchive(study).archive(source).new


def test_a_batch_is_kept_when_it_ends(study: Study, tmp_path: Path) -> None:
    archive = SourceArchive(study)
    with archive.batch():
        made = [archive.archive_bytes(f"row {number}\n".encode()) for number in range(20)]
        again = archive.archive_bytes(b"row 3\n")
        assert (again.new, again.sha256) == (False, made[3].sha256)
        with archive.open(made[5].sha256) as stream:
            assert stream.read() == b"row 5\n"
        assert not any(item.stored_path.exists() for item in made)
    assert [archive.check(item.sha256) for item in made] == [item.size for item in made]
    assert len(stored(study)) == 20


def test_a_batch_that_fails_keeps_nothing(study: Study) -> None:
    archive = SourceArchive(study)
    with pytest.raises(KeyboardInterrupt), archive.batch():
        archive.archive_bytes(b"row 1\n")
        raise KeyboardInterrupt
    assert stored(study) == []
    assert archive.archive_bytes(b"row 1\n").new
