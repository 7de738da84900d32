"""Who may take which step, where protocol.toml names roles; without any [[role]] everybody may do everything.

Roles are a convenience of the program: the ledger is open to the study's whole group. Secrecy is by file.
"""

from __future__ import annotations

DATA_MANAGER = ("data_manager",)
SITE = ("coordinator", "data_manager")
SITE_AND_MONITOR = ("coordinator", "monitor", "data_manager")

MAY: dict[str, tuple[str, ...]] = {
    "raise_query": SITE_AND_MONITOR,
    "answer_query": SITE,
    "close_query": DATA_MANAGER,
    "reopen_query": ("monitor", "data_manager"),
    "waive_query": DATA_MANAGER,
    "assign_device": SITE,
    "return_device": SITE,
    "ship_device": SITE_AND_MONITOR,
    "lose_device": SITE,
    "record_awareness": SITE_AND_MONITOR,
    "submit_report": SITE_AND_MONITOR,
    "correct_rows": SITE,
    "reject_rows": SITE,
    "exclude_rows": DATA_MANAGER,
    "withdraw_consent": SITE_AND_MONITOR,
    "answer_deletion": DATA_MANAGER,
    "name_cut": ("data_manager", "statistician"),
    "unblind_subject": ("unblinded",),
    "record_deviation": SITE_AND_MONITOR,
    "confirm_deviation": ("monitor", "data_manager"),
    "dismiss_deviation": ("monitor", "data_manager"),
}
"""Action of the ledger -> roles that may take it; an action that is not here is the study owner's or everybody's."""
