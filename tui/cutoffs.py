"""Which day a --cutoff means, and the protocol of a release."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from store.cuts import Cut, is_cut_name, read_cuts
from store.errors import UsageProblem

if TYPE_CHECKING:
    from store.protocol import Protocol
    from store.study import Study


def check_cutoff(text: str) -> dt.date | str:
    """The day a text says, else the name it may be; raises ``UsageProblem`` for neither."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        if is_cut_name(text):
            return text
    raise UsageProblem(
        f"{text!r} is neither a day nor the name of a data cut.",
        remedy="Write the day as YYYY-MM-DD; dosetrail cut lists the names.",
    )


def find_cut(study: Study, text: str) -> Cut:
    """The cut a --cutoff means; raises ``UsageProblem`` for a name nobody gave."""
    wanted = check_cutoff(text)
    if isinstance(wanted, dt.date):
        return Cut(wanted)
    known = read_cuts(study.ledger.read())
    if wanted not in known:
        there = f"There are: {', '.join(known)}." if known else "None was named yet."
        raise UsageProblem(
            f"There is no data cut {wanted}. {there}",
            effect="Nothing was read or changed.",
            remedy="Name one: dosetrail cut NAME --date DATE --reason ... or give the day itself, as YYYY-MM-DD.",
        )
    return known[wanted]


def recorded_protocol(study: Study, sha256: str) -> Protocol:
    """The protocol a release was made with: what is in the folder may have been edited since."""
    from store.protocol_file import load_protocol, parse_protocol
    from store.sources import SourceArchive

    recorded = load_protocol(study.protocol_path)
    if recorded.sha256 != sha256:
        with SourceArchive(study).open(sha256) as stream:
            recorded = parse_protocol(stream.read().decode(), study.protocol_path)
    return recorded.protocol
