"""Whether an adverse event is treatment-emergent.

An event emerges under treatment when it starts on or after the first dose (and not later than a window
after the last), or when it started before and got worse while treatment was given. Missing dates count in
favour of emergence, the cautious choice for safety.

Rule: pharmaverse admiral (derive_var_trtemfl) and the PHUSE white paper on treatment-emergent adverse events.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta


def treatment_emergent(
    start: date | None,
    end: date | None,
    first_dose: date | None,
    last_dose: date | None = None,
    window_days: int | None = None,
    initial_grade: int | None = None,
    grade: int | None = None,
    time_of_last_dose_counts: bool = False,
) -> bool:
    """Whether an event is treatment-emergent; dates may carry a time, all with a zone or all without.

    - Never dosed: no. - Start and end missing, or start missing and the end not before the first dose: yes.
    - Start not before the first dose, and not later than `window_days` after the last dose: yes. No window,
    or no
      last dose (still treated), means no upper limit.
    - Start before the first dose: yes if the event did not end before it and `grade` exceeds
    `initial_grade`; without
      grades no.

    Where one of two moments is a date without a time, they are compared as dates. The end of the window is
    a day, unless `time_of_last_dose_counts`.

    >>> treatment_emergent(date(2022, 5, 10), None, date(2022, 1, 1), date(2022, 4, 30), window_days=10)
    True
    >>> treatment_emergent(date(2021, 12, 30), None, date(2022, 1, 1), initial_grade=3, grade=4)
    True
    """
    if window_days is not None and window_days < 0:
        raise ValueError(f"a window has at least 0 days, got {window_days!r}")
    if first_dose is None:
        return False
    if start is None:
        return end is None or not _before(end, first_dose)
    if not _before(start, first_dose):
        if window_days is None or last_dose is None:
            return True
        limit = last_dose + timedelta(days=window_days)
        return not _before(limit if time_of_last_dose_counts else _day(limit), start)
    if end is not None and _before(end, first_dose):
        return False
    return grade is not None and initial_grade is not None and grade > initial_grade


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _before(first: date, second: date) -> bool:
    """Whether `first` is before `second`, compared as dates where either has no time."""
    if isinstance(first, datetime) and isinstance(second, datetime):
        return first < second
    return _day(first) < _day(second)
