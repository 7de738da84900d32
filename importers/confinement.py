"""What a process that reads files from outside gives up before it reads the first one (Linux, no privileges needed).

Always: memory, files written, open files and core dumps (rlimits); processor time per file. Where the kernel offers
them: Landlock (5.13 and newer) leaves read access to the program's own code and nothing else in the file system, and a
seccomp filter (x86-64, arm64) takes sockets, other programs and other processes away. ``confine`` says what holds.
What stays possible: reading the program and system libraries, seeing names in the folder the program lies in.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

MEMORY = 4 << 30
"""Bytes of address space beyond what the process has when it starts."""
CPU_S = 60
"""Seconds of processor time a file may take, and one more for each of its megabytes."""
OPEN_FILES = 128

_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _TSYNC = 38, 1, 1
_ACTION_AVAILABLE, _REFUSED = 2, 0x00050000  # seccomp: ask whether calls can be answered with an error
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_RIGHTS = (1 << 16) - 1  # ABI 5 and newer
_DENIED_CALLS = {
    # audit architecture, seccomp, and the numbers of: socket, socketpair, connect, execve, execveat, ptrace,
    # process_vm_readv, process_vm_writev, kill, io_uring_setup
    "x86_64": (0xC000003E, 317, (41, 53, 42, 59, 322, 101, 310, 311, 62, 425)),
    "aarch64": (0xC00000B7, 277, (198, 199, 203, 221, 281, 117, 270, 271, 129, 425)),
}


_KEPT_FROM = {"landlock": ("other files",), "seccomp": ("the network", "other programs")}
"""Measure -> what the reader of files cannot reach."""


def available() -> list[str]:
    """Measures this machine offers, asked of the kernel without taking any (``confine`` says what holds). A container
    may refuse a measure that its kernel has."""
    if not hasattr(os, "memfd_create"):
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    held = ["rlimits"]
    if libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1) >= 1:
        held.append("landlock")
    known = _DENIED_CALLS.get(platform.machine())
    refused = ctypes.c_uint32(_REFUSED)
    if known is not None and libc.syscall(known[1], _ACTION_AVAILABLE, 0, ctypes.byref(refused)) == 0:
        held.append("seccomp")
    return held


def confinement_words(held: Iterable[str]) -> str:
    """One sentence on what keeps the reader of vendor files from doing harm, and what does not on this machine."""
    held = list(held)
    if not held:
        return "vendor files are read by the program itself: this system has no confined process for them"
    kept = [words for name, every in _KEPT_FROM.items() if name in held for words in every]
    open_to = [words for name, every in _KEPT_FROM.items() if name not in held for words in every]
    said = "vendor files are read in a process of their own with limits on memory and time"
    if kept:
        said += f", kept from {_listed(kept, 'and')}"
    if open_to:
        said += f"; this machine's kernel or container cannot keep it from {_listed(open_to, 'or')}"
    return said


def _listed(words: list[str], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]


def confine(packages: Iterable[Path]) -> list[str]:
    """Give up what reading does not need; returns the names of the measures that hold. Call before any thread starts.

    ``packages``: folders of the program's own code.
    """
    held = ["rlimits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return held
    if _landlock(libc, packages):
        held.append("landlock")
    if _seccomp(libc):
        held.append("seccomp")
    return held


def limit_memory() -> None:
    """Bound the address space at ``MEMORY`` beyond what is mapped now (libraries reserve more than they use)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def limit_time(size: int) -> None:
    """Bound the processor time from now on, for a file of ``size`` bytes; the system ends the process at the bound."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(usage.ru_utime + usage.ru_stime) + allowed_seconds(size)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def allowed_seconds(size: int) -> int:
    return CPU_S + (size >> 20)


def _landlock(libc: ctypes.CDLL, packages: Iterable[Path]) -> bool:
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    # Network (TCP) too from ABI 4 on; the structure of older kernels ends after the first field.
    handled = struct.pack("=Q", _RIGHTS_OF_ABI.get(abi, _RIGHTS)) + (struct.pack("=Q", 3) if abi >= 4 else b"")
    ruleset = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    try:
        names = ("stdlib", "platstdlib", "purelib", "platlib")
        code = {sysconfig.get_path(name) for name in names} | {sysconfig.get_config_var("LIBDIR") or ""}
        # An environment may see the packages of another one.
        code |= {entry for entry in sys.path if os.path.basename(entry) in ("site-packages", "dist-packages")}
        system = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/proc", "/sys/devices")
        for folder in {*code, *system, *map(str, packages)}:
            _allow(libc, ruleset, folder, _READ_FILE | _READ_DIR | _EXECUTE)
        for folder in {str(package.parent) for package in packages}:
            _allow(libc, ruleset, folder, _READ_DIR)  # Python lists a folder to find a package in it
        for device in ("/dev/null", "/dev/urandom", "/etc/localtime", "/etc/ld.so.cache"):
            _allow(libc, ruleset, device, _READ_FILE)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _seccomp(libc: ctypes.CDLL) -> bool:
    known = _DENIED_CALLS.get(platform.machine())
    if known is None:
        return False
    architecture, number, denied = known
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    refused, allowed = _REFUSED | 13, 0x7FFF0000  # errno 13: permission denied
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, refused), (load, 0, 0, 0)]
    # x32 calls of x86-64 have numbers of their own, from 2**30 on.
    tests = [(at_least, 1 << 30), *((equal, call) for call in denied)]
    # A jump counts instructions from the next one: past the tests that are left and the permission, to the refusal.
    code += [(kind, len(tests) - place, 0, value) for place, (kind, value) in enumerate(tests)]
    code += [(answer, 0, 0, allowed), (answer, 0, 0, refused)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(filters))
    return bool(libc.syscall(number, _SET_MODE_FILTER, _TSYNC, program) == 0)
