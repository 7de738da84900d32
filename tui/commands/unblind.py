"""`dosetrail unblind`: the arm of one patient, in an emergency."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.options import JsonOption, StudyOption, open_study


def unblind(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Patient whose arm has to be known.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; everybody reads it, so name no arm.")],
    study: StudyOption = None,
    json: JsonOption = False,
) -> int:
    """Show the arm of one patient in an emergency. That it was done is recorded first, with who, when and why.

    It needs the role unblinded in protocol.toml and the group of the unblinded release. The arm is printed here and
    written nowhere.

    Example: dosetrail unblind 701-004 --reason "serious event, treatment decision needed"
    """
    from store.errors import NotAllowed, UsageProblem
    from store.unblindings import UNBLIND, unblinding_entry
    from tui.output import write_json, write_lines, write_paragraph
    from tui.reading import open_release
    from tui.roles import require_role

    opened = open_study(context, study)
    with open_release(opened) as reader:
        role = require_role(reader, UNBLIND)
        if role is None:
            raise NotAllowed(
                "Nobody has the role unblinded in this trial, so nobody may unblind a patient.",
                remedy='The study\'s owner names who may under [[role]] with name = "unblinded" in protocol.toml.',
            )
    with open_release(opened, unblinded=True) as reader:
        found = reader.rows(
            "SELECT s.arm_code, a.arm, s.actual_arm_code FROM subject s LEFT JOIN arm a USING (arm_code) "
            "WHERE s.subject_id = ?",
            [subject],
        )
        if not found:
            raise UsageProblem(f"There is no subject {subject} in the study.", remedy="dosetrail patients lists them.")
        names = reader.rows(
            "SELECT arm_code FROM arm UNION SELECT arm FROM arm UNION SELECT element_code FROM treatment_period "
            "UNION SELECT period FROM treatment_period UNION SELECT drug FROM regimen"
        )
        secret = [name for (name,) in names if name]
    head = opened.ledger.append([unblinding_entry(subject, reason, secret)], role=role)
    code, name, given = found[0]
    if json:
        write_json(
            {
                "subject_id": subject,
                "arm_code": code,
                "arm": name,
                "actual_arm_code": given,
                "ledger_seq": head.seq,
                "ledger_head": f"{head.hash}@{head.seq}",
            }
        )
        return 0
    actual = f" Actually given: {given}." if given and given != code else ""
    write_paragraph(f"Subject {subject}: arm {code or 'none'}{f' ({name})' if name else ''}.{actual}")
    write_paragraph("Recorded: who, when and why, not the arm. Tell the arm to nobody who need not know it.")
    write_lines([f"Ledger head {head.hash}@{head.seq}"])
    return 0
