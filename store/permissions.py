"""Owners, groups, modes and folder syncs: the few system calls the study folder stands on.

Modes are set with chmod after creation and never left to the umask: SQLite creates 0644 whatever the umask
says and mkstemp 0600, and a nightly account with umask 077 would otherwise lock its own coordinators out.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from store.errors import NotAllowed, UsageProblem

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs afs coda ncpfs 9p ceph glusterfs lustre beegfs gpfs orangefs "
    "fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone fuse.gcsfuse fuse.davfs davfs webdav".split()
)


def set_mode(path: Path, mode: int, gid: int | None = None) -> None:
    """Give `path` exactly this mode (and group), whatever the umask was.

    The kernel drops the set-group-id bit in silence when the caller is not in the group, so the result is
    read back.
    """
    if gid is not None and path.stat().st_gid != gid:
        try:
            os.chown(path, -1, gid)
        except PermissionError as error:
            raise _not_in_group(path, gid) from error
    os.chmod(path, mode)
    if stat.S_IMODE(path.stat().st_mode) != mode:
        raise _not_in_group(path, path.stat().st_gid)


def _not_in_group(path: Path, gid: int) -> NotAllowed:
    return NotAllowed(
        f"{path} cannot be given to group {group_name(gid)}: {user_name(os.geteuid())} is not in it.",
        remedy=f"Have the account added to the group (usermod -aG {group_name(gid)} ...) and log in again.",
        path=path,
    )


def sync_folder(folder: Path) -> None:
    """Make names created, renamed or removed in `folder` survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def group_id(group: str) -> int:
    """The number of a group given by name or number; raises UsageProblem for an unknown name."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if group.isdecimal():
            return int(group)
    raise UsageProblem(
        f"There is no group {group} on this machine.",
        remedy="Make it first (groupadd), or name an existing one: getent group lists them.",
        group=group,
    )


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name(uid: int) -> str:
    """The account name of a uid, or its number where the machine knows no name (containers, removed
    accounts).
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def network_file_system(path: Path) -> str | None:
    """The type of network file system that `path` is on, None for a local disk or where it cannot be told.

    File locks and fsync of network file systems are not what a ledger needs, so `init` warns. Linux only:
    other systems have no /proc/self/mountinfo.
    """
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    target = Path(os.path.realpath(path))
    best, kind = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split(" ")[4].replace("\\040", " "))
        # A later line on the same mount point hides the earlier one, hence >=.
        if (target == mount_point or mount_point in target.parents) and len(mount_point.parts) >= best:
            best, kind = len(mount_point.parts), after.split(" ")[0]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None
