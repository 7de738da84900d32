"""The elements of a CDISC ODM file as they stream by: metadata that explains the items, and the items that are wanted.

Only wanted items are kept, and one small entry per form; names, signatures, audit records and files in
Base64 are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from xml.sax.handler import ContentHandler

ELEMENTS = ("SubjectData", "StudyEventData", "FormData", "ItemGroupData")
BINARY = "ItemDataBase64Binary"
_PASSED_OVER = frozenset(
    {
        "AuditRecord",
        "AuditRecords",
        "Signature",
        "Signatures",
        "Annotation",
        "Annotations",
        "ReferenceData",
        "AdminData",
    }
)
_OWN_KEYS = {
    "SubjectData": "SubjectKey",
    "StudyEventData": "StudyEventOID",
    "FormData": "FormOID",
    "ItemGroupData": "ItemGroupOID",
}


def folded(name: str) -> str:
    return "".join(name.split()).casefold()


@dataclass
class Form:
    """One form of one subject: its wanted items by item group and repeat key."""

    event: str
    event_repeat: str
    form: str
    form_repeat: str
    attributes: dict[str, str]
    is_whole: bool
    """Whether the file inserts the form, rather than changing one it does not hold."""
    groups: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def key_text(self, arm: re.Pattern[str]) -> str:
        """Event and form with their repeat keys, without the arm REDCap writes behind an event."""
        parts = ((arm.sub("", self.event), self.event_repeat), (self.form, self.form_repeat))
        return "/".join(oid if repeat in ("", "1") else f"{oid}[{repeat}]" for oid, repeat in parts if oid) or "1"


class OdmStream(ContentHandler):
    """SAX handler; after parsing it holds what the file says.

    ``wanted``: names of mapped columns: ItemOID, FormOID.ItemOID or Element.Attribute.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        super().__init__()
        self.root: dict[str, str] = {}
        self.items: set[str] = set()
        """Items the metadata define or the data hold, as ItemOID and FormOID.ItemOID."""
        self.attributes: set[str] = {"SubjectData.SubjectKey", "ClinicalData.StudyOID"}
        self.forms: dict[tuple[str, ...], Form] = {}
        self.group_repeats: dict[str, bool] = {}
        self.has_clinical_data = False
        self.lost_removals: list[str] = []
        self._wanted = {folded(name) for name in wanted}
        self._counts = {
            "audit records were passed over": 0,
            "items are stated as null": 0,
            "files in the data were passed over": 0,
        }
        self._path: list[str] = []
        self._skipped = 0
        self._levels: dict[str, dict[str, str]] = {}
        self._actions: dict[str, str] = {}
        self._form: Form | None = None
        self._is_empty: dict[str, bool] = {}
        self._item: tuple[list[str], list[str]] | None = None
        self._code_lists: dict[str, dict[str, str]] = {}
        self._item_lists: dict[str, str] = {}
        self._event_names: dict[str, str] = {}
        self._form_groups: list[tuple[str, str]] = []
        self._group_items: dict[str, list[str]] = {}
        self._qualified: dict[str, str] = {}
        self._defined = ""
        self._list = ""
        self._code = ""
        self._decode: list[str] | None = None

    @property
    def own_items(self) -> set[str]:
        """ItemOIDs alone, without their forms."""
        return self.items - set(self._qualified)

    @property
    def is_transactional(self) -> bool:
        return self.root.get("FileType") == "Transactional"

    def is_wanted(self, name: str) -> bool:
        return folded(name) in self._wanted or name == "SubjectData.SubjectKey"

    def decodes(self) -> dict[str, dict[str, str]]:
        """Column -> (code = label): code lists of items (checkboxes apart), names of events."""
        found: dict[str, dict[str, str]] = {"StudyEventData.StudyEventOID": self._event_names}
        for item, code_list in self._item_lists.items():
            if "___" not in item and code_list in self._code_lists:
                found[item] = self._code_lists[code_list]
        return found | {name: found[item] for name, item in self._qualified.items() if item in found}

    def notes(self) -> list[str]:
        return [f"{count:,} {words}" for words, count in self._counts.items() if count]

    # The methods of a SAX handler keep its names.
    def startElementNS(self, name: tuple[str | None, str], qname: str | None, attrs: Any) -> None:
        local = name[1]
        self._path.append(local)
        if local == "AuditRecord":
            self._counts["audit records were passed over"] += 1
        if self._skipped or local in _PASSED_OVER:
            self._skipped += 1
            return
        found = {key[1]: str(value) for key, value in attrs.items()}
        if local == "ODM":
            self.root = found
        elif local == "ClinicalData":
            self.has_clinical_data = True
            self._levels = {local: found}
        elif self._levels:
            self._start_data(local, found)
        else:
            self._start_metadata(local, found)

    def endElementNS(self, name: tuple[str | None, str], qname: str | None) -> None:
        local = self._path.pop()
        if self._skipped:
            self._skipped -= 1
        elif local == "ClinicalData":
            self._levels = {}
        elif self._levels:
            self._end_data(local)
        elif local == "TranslatedText" and self._decode is not None:
            self._code_lists[self._list].setdefault(self._code, "".join(self._decode).strip())
            self._decode = None

    def characters(self, content: str) -> None:
        if self._skipped:
            return
        if self._item is not None and self._path[-1].startswith("ItemData"):
            self._item[1].append(content)
        elif self._decode is not None:
            self._decode.append(content)

    def _start_metadata(self, local: str, found: dict[str, str]) -> None:
        oid = found.get("OID", "")
        if local == "StudyEventDef":
            self._event_names[oid] = found.get("EventName") or found.get("Name") or oid
        elif local in ("FormDef", "ItemGroupDef", "ItemDef"):
            self._defined = oid
            if local == "ItemDef":
                self.items.add(oid)
            elif local == "ItemGroupDef":
                self.group_repeats[oid] = found.get("Repeating") == "Yes"
        elif local == "ItemGroupRef":
            self._form_groups.append((self._defined, found.get("ItemGroupOID", "")))
        elif local == "ItemRef":
            self._group_items.setdefault(self._defined, []).append(found.get("ItemOID", ""))
        elif local == "CodeListRef":
            self._item_lists[self._defined] = found.get("CodeListOID", "")
        elif local == "CodeList":
            self._list = oid
            self._code_lists.setdefault(oid, {})
        elif local == "CodeListItem":
            self._code = found.get("CodedValue", "")
        elif local == "TranslatedText" and self._path[-2:-1] == ["Decode"]:
            self._decode = []
        elif local == "BasicDefinitions":
            self._defined = ""

    def _start_data(self, local: str, found: dict[str, str]) -> None:
        if local in ELEMENTS:
            self._start_level(local, found)
        elif local == "SiteRef":
            self._levels["SiteRef"] = found
            self.attributes.add("SiteRef.LocationOID")
        elif local == BINARY:
            self._counts["files in the data were passed over"] += 1
        elif local.startswith("ItemData"):
            self._start_item(local, found)

    def _start_level(self, local: str, found: dict[str, str]) -> None:
        depth = ELEMENTS.index(local)
        for inner in ELEMENTS[depth:]:
            self._levels.pop(inner, None)
            self._actions.pop(inner, None)
        if depth == 0:
            self._levels.pop("SiteRef", None)
        self._levels[local] = found
        action = found.get("TransactionType", "")
        outer = self._actions.get(ELEMENTS[depth - 1], "") if depth else ""
        # What stands in a removed element is removed with it.
        self._actions[local] = "Remove" if outer == "Remove" else action or outer
        self.attributes.update(
            f"{local}.{name}" for name in found if local != "ItemGroupData" or name == "ItemGroupRepeatKey"
        )
        self._is_empty[local] = True
        for around in ELEMENTS[:depth]:
            self._is_empty[around] = False
        if action == "Remove" and outer != "Remove":
            self._remove(local)
        if local == "FormData":
            self._form = self._open_form()
        elif local == "ItemGroupData" and self._form is not None and self._actions[local] != "Remove":
            self._form.groups.setdefault(self._group_key(), {})

    def _key(self) -> tuple[str, ...]:
        level = self._levels
        event, form = level.get("StudyEventData", {}), level.get("FormData", {})
        return (
            level["ClinicalData"].get("StudyOID", ""),
            level.get("SubjectData", {}).get("SubjectKey", ""),
            event.get("StudyEventOID", ""),
            event.get("StudyEventRepeatKey", "1"),
            form.get("FormOID", ""),
            form.get("FormRepeatKey", "1"),
        )

    def _group_key(self) -> tuple[str, str]:
        group = self._levels["ItemGroupData"]
        return group.get("ItemGroupOID", ""), group.get("ItemGroupRepeatKey", "1")

    def _open_form(self) -> Form | None:
        """The form (or the event or subject without any) the parser stands in; None when it is being removed."""
        innermost = next((name for name in reversed(ELEMENTS[:3]) if name in self._levels), "SubjectData")
        if self._actions.get(innermost) == "Remove":
            return None
        key = self._key()
        form = self.forms.get(key)
        attributes = {
            f"{element}.{name}": value
            for element in ("ClinicalData", "SubjectData", "SiteRef", "StudyEventData", "FormData")
            for name, value in self._levels.get(element, {}).items()
        }
        if form is None:
            _, _, event, event_repeat, oid, repeat = key
            is_whole = self._actions.get(innermost) == "Insert"
            form = self.forms[key] = Form(event, event_repeat, oid, repeat, {}, is_whole)
        form.attributes.update({name: value for name, value in attributes.items() if self.is_wanted(name)})
        return form

    def _remove(self, local: str) -> None:
        key = self._key()
        if local == "ItemGroupData":
            removed = self._form is not None and self._form.groups.pop(self._group_key(), None) is not None
        else:
            kept = {"SubjectData": 2, "StudyEventData": 4, "FormData": 6}[local]
            gone = [one for one in self.forms if one[:kept] == key[:kept]]
            for one in gone:
                del self.forms[one]
            removed = bool(gone)
        if not removed and self.is_transactional:
            self.lost_removals.append(f"removes a {local} that is not in this file; import a snapshot of the study")

    def _start_item(self, local: str, found: dict[str, str]) -> None:
        item, form = found.get("ItemOID", ""), self._levels.get("FormData", {}).get("FormOID", "")
        names = (item, f"{form}.{item}")
        self.items.update(names)
        self._qualified[names[1]] = item
        self._item = None
        if self._form is None or "ItemGroupData" not in self._levels or self._actions["ItemGroupData"] == "Remove":
            return
        items = self._form.groups.setdefault(self._group_key(), {})
        wanted = [name for name in names if self.is_wanted(name)]
        if not wanted:
            return
        if found.get("TransactionType") == "Remove":
            for name in wanted:
                items.pop(name, None)
            return
        if found.get("IsNull") == "Yes":
            self._counts["items are stated as null"] += 1
            found["Value"] = ""
        if local == "ItemData" or "Value" in found:
            items.update(dict.fromkeys(wanted, found.get("Value", "")))
        else:
            self._item = (wanted, [])

    def _end_data(self, local: str) -> None:
        if local.startswith("ItemData") and self._item is not None and self._form is not None:
            names, parts = self._item
            self._form.groups[self._group_key()].update(dict.fromkeys(names, "".join(parts).strip()))
            self._item = None
        elif local in ("SubjectData", "StudyEventData") and self._is_empty.get(local):
            # A subject without events, an event without forms: it is there all the same.
            self._open_form()
        if local in ELEMENTS:
            self._levels.pop(local, None)
            self._actions.pop(local, None)
            if local == "FormData":
                self._form = None

    def endDocument(self) -> None:
        for form, group in self._form_groups:
            self._qualified.update({f"{form}.{item}": item for item in self._group_items.get(group, ())})
        self.items.update(self._qualified)
