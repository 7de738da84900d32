"""The key of de-identified exports: in the study owner's private folder, never in a release, a ledger or an export."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from store.errors import IntegrityFailure, write_error

if TYPE_CHECKING:
    from store.study import Study

KEY_BYTES = 32
FOLDER = "private"
FILE = "identity.key"


def read_identity_key(study: Study) -> bytes:
    """The study's key, made at its first use (folder 0700, file 0600).

    Whoever has it can tell which pseudonym is whose. Without it no later export matches the earlier ones, so it
    belongs into the backup of the owner. Raises NotAllowed for anybody but the owner, IntegrityFailure for a key that
    is damaged or open to others.
    """
    study.require_owner("export de-identified data, which needs the study's key")
    folder = study.root / FOLDER
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chmod(folder, 0o700)
        if not path.exists():
            _write_key(path.parent / f".{FILE}.{os.getpid()}", path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise IntegrityFailure(
                f"The key {path} can be read by others.",
                effect="Nothing was exported.",
                remedy=f"chmod 600 {path}; whoever read it may know which pseudonym is whose.",
            )
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise write_error(error, f"The key {path}", effect="Nothing was exported.") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise IntegrityFailure(
            f"The key {path} is damaged.",
            effect="Nothing was exported.",
            remedy="Put it back from a backup; a new key would give every subject another pseudonym.",
        )
    return key


def _write_key(draft: os.PathLike[str], path: os.PathLike[str]) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, not a rename: of two first exports at once, the second takes the key of the first.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
