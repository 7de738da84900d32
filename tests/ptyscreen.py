"""A program in a pseudo-terminal: what it sends, byte for byte, and what a terminal makes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import pyte

if TYPE_CHECKING:
    from store.study import Study

QUIET = 0.35
"""Seconds without a byte after which a program has said what it had to say."""

KEYS = {
    "Down": b"\x1b[B",
    "Up": b"\x1b[A",
    "PgDn": b"\x1b[6~",
    "PgUp": b"\x1b[5~",
    "Home": b"\x1b[H",
    "End": b"\x1b[F",
    "Enter": b"\r",
    "Esc": b"\x1b",
    "Tab": b"\t",
    "Backspace": b"\x7f",
}


class PtyScreen:
    """Runs a command on a terminal of its own; use as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        """Everything the program has sent."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        base = {name: value for name, value in os.environ.items() if not name.startswith(("TEXTUAL", "NO_COLOR"))}
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**base, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **(environ or {})},
        )
        os.close(slave)

    def __enter__(self) -> PtyScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._master >= 0:
            os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """The rows of the terminal, without trailing blanks."""
        return [line.rstrip() for line in self.screen.display]

    def wait_for(self, text: str, limit_s: float = 20.0) -> int:
        """Read until `text` is on the screen and the program is quiet; returns the bytes it sent meanwhile."""
        before = len(self.sent)
        deadline = time.monotonic() + limit_s
        while not any(text in line for line in self.screen.display):
            if time.monotonic() > deadline or not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} did not appear:\n" + "\n".join(self.lines))
        self.settle()
        return len(self.sent) - before

    def press(self, *keys: str) -> int:
        """Send keys at once, as a fast typist on a slow line; returns the bytes sent back until it is quiet."""
        self.send(*keys)
        return self.settle()

    def send(self, *keys: str) -> None:
        """Send keys without waiting."""
        os.write(self._master, b"".join(KEYS.get(key, key.encode()) for key in keys))

    def settle(self, quiet_s: float = QUIET, limit_s: float = 20.0, first_s: float = 0.0) -> int:
        """Read until nothing came for `quiet_s`, for `first_s` as long as nothing came at all; returns the bytes."""
        before = len(self.sent)
        deadline = time.monotonic() + limit_s
        self._read(first_s)
        while time.monotonic() < deadline and self._read(quiet_s):
            pass
        return len(self.sent) - before

    def kill(self, signal_number: int) -> None:
        """What the terminal's end does to the program: SIGHUP when the line drops."""
        os.kill(self._process.pid, signal_number)

    def hang_up(self, limit_s: float = 20.0) -> int:
        """Take the terminal away without a signal, as behind `su -c`; wait for the program, return its exit code."""
        os.close(self._master)
        self._master = -1
        return self._process.wait(limit_s)

    def finish(self, limit_s: float = 10.0) -> int:
        """Wait for the program to end and return its exit code."""
        deadline = time.monotonic() + limit_s
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        return self._process.wait(timeout=1)

    def memory_mb(self) -> float:
        """Largest resident size of the program so far."""
        with open(f"/proc/{self._process.pid}/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, wait_s))
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the other side is closed
                raise
            return False
        self.sent += data
        self._stream.feed(data)
        return bool(data)


def app_command(release: str, glyphs: str = "cp437", title: str = "SDD-204") -> list[str]:
    """The app on a release file, as the command line starts it."""
    program = (
        "import sys; from pathlib import Path; from tui.launch import launch; "
        f"sys.exit(launch(Path('.'), Path({release!r}), title={title!r}, glyphs={glyphs!r}))"
    )
    return [sys.executable, "-c", program]


def study_command(study: Study, *words: str) -> list[str]:
    """The program as installed, on a study; without words it opens the app."""
    return [sys.executable, "-m", "tui.cli", "--study", str(study.root), *words]
