"""Whether this user of the operating system may take a step, by the roles of the release's protocol."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from store.errors import NotAllowed
from store.permissions import user_name
from store.roles import MAY

if TYPE_CHECKING:
    from tui.reading import Reader

Holder = tuple[str, str | None, str | None]
"""Role, user, group."""


def require_role(reader: Reader, action: str) -> str | None:
    """The role in which this user may take the step; None where the protocol names no roles, or no role for it.

    Raises NotAllowed.
    """
    holders: list[Holder] = [
        (row[0], row[1], row[2]) for row in reader.rows("SELECT role, user_name, group_name FROM role_holder")
    ]
    return role_for(holders, action)


def role_for(holders: list[Holder], action: str) -> str | None:
    """As ``require_role``, of the holders of roles."""
    import grp

    allowed = MAY.get(action)
    if not holders or allowed is None:
        return None
    user = user_name(os.geteuid())
    groups = set()
    for gid in {os.getegid(), *os.getgroups()}:
        try:
            groups.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            groups.add(str(gid))
    held = {role for role, name, group in holders if name == user or (group is not None and group in groups)}
    may = [role for role in allowed if role in held]
    if not may:
        raise NotAllowed(
            f"{user} may not do this: {action.replace('_', ' ')} is for {' or '.join(allowed)}.",
            remedy="The study's owner names roles under [[role]] in protocol.toml; they hold from the next release.",
        )
    return may[0]
