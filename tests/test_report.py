"""The sponsor's report: every section, the numbers of the summary, one file that needs nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from studies import SAMPLE, blinded_protocol, new_study

from analysis.charts import Contrast, adherence_calendar, dot_plot, forest_plot, kaplan_meier_plot, weekly_lines
from analysis.survival import kaplan_meier
from store.study import Study
from tui.cli import run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = new_study(tmp_path_factory.mktemp("report") / "study")
    assert run(["import", "--study", str(made.root), str(SAMPLE)]) == 0
    return made


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    out = study.root.parent / "report.html"
    assert run(["report", "--study", str(study.root), "--out", str(out)]) == 0
    return out.read_text()


def test_the_page_needs_nothing_else(page: str) -> None:
    assert "<script" not in page and "<link" not in page and "@import" not in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", page.replace('xlink:href="#', 'xlink:="#'))
    titles = re.findall(r'<h2 id="section-\d">(.*?)</h2>', page)
    assert re.findall(r'<a href="#section-\d">(.*?)</a>', page) == titles
    assert titles == [
        "Enrolment", "Exposure", "Dose accuracy", "Compliance", "Adverse events", "Differences between arms",
        "Data quality",
    ]  # fmt: skip
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(charts) == 5
    for chart in charts:
        ET.fromstring(chart)


def test_it_prints_the_numbers_of_the_summary(page: str, study: Study, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["summary", "--study", str(study.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = 0
    for row in told["rows"]:
        key = (row["parameter"], row["statistic"], row["by"], row["period"], row["estimand"], row["comparator"])
        if key in (("recorded_compliance", "share", None, None, None, None), ("dose_conformity", "share", *[None] * 4)):
            if row["arm"] != "ALL":
                assert f"{row['numerator']:,.6g}/{row['denominator']:,.6g} " in page
                shown += 1
    assert shown == 6
    assert told["ledger_head"] in page
    # Every file's rows, and the sentence of what cannot be given.
    assert "read = new + duplicate + superseded + quarantined" in page
    assert "Trumpet curve: not assessable" in page


def test_a_table_has_intervals_differences_and_how_each_line_is_computed(page: str) -> None:
    """As the summary prints them; a definition stands once, with the lines it is of, and each line has its own."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page)]
    any_event = rows.index(["any event", "3/5 60.0%", "4/5 80.0%", "6/7 85.7%"])
    assert rows[any_event + 1] == ["interval", "(14.7 to 94.7)", "(28.4 to 99.5)", "(42.1 to 99.6)"]
    assert rows[any_event + 2] == ["diff. to PLACEBO", "", "20.0 (-38.0 to 67.0)", "25.7 (-25.7 to 69.3)"]
    notes = re.findall(r"<li>(.*?)</li>", page)
    assert len(notes) == len(set(notes))
    for note in (
        "mean absolute error: device-reported (volume x conc); mean absolute percent error, mean of subject means, "
        "t interval",
        "error at most 10 %: device-reported (volume x conc); absolute error at most 10 %, pooled",
        "any event, mild, moderate, severe, fatal: treatment-emergent (no end); events as recorded, no rows collapsed; "
        "uncoded by reported term; Clopper-Pearson",
    ):
        assert note in notes
    assert "<h3>Safety population</h3>" in page and "ZAN_LOW: Zanomaline Low Dose (54 mg)" in page


@pytest.mark.slow
def test_the_same_release_gives_the_same_bytes(page: str, study: Study, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    assert run(["report", "--study", str(study.root), "--out", str(again)]) == 0
    assert again.read_text() == page
    assert run(["report", "--study", str(study.root), "--out", str(again)]) == 0
    again.write_text("something else")
    assert run(["report", "--study", str(study.root), "--out", str(again)]) == 2
    assert run(["report", "--study", str(study.root), "--out", str(tmp_path / "report.pdf")]) == 2


def test_a_report_is_an_export_the_ledger_knows(study: Study, tmp_path: Path, capsys: Capture) -> None:
    """Its release is kept for it, its file is watched, and it is made again with the same bytes."""
    out = tmp_path / "handed-out.html"
    assert run(["report", "--study", str(study.root), "--out", str(out)]) == 0
    content = out.read_bytes()
    capsys.readouterr()

    def listed() -> dict[str, str]:
        assert run(["exports", "--study", str(study.root), "--json"]) == 0
        found: dict[str, str] = json.loads(capsys.readouterr().out)["exports"][0]
        return found

    assert (listed()["what"], listed()["state"], listed()["release"]) == ("report", "as written", 1)
    out.write_text("somebody was here")
    assert listed()["state"] == "changed"
    number = listed()["number"]
    assert run(["export", "again", number, "--study", str(study.root)]) == 2
    assert run(["export", "again", number, "--force", "--study", str(study.root)]) == 0
    assert "The bytes are those of export" in " ".join(capsys.readouterr().out.split())
    assert out.read_bytes() == content


def test_markdown_has_the_tables(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "report.md"
    assert run(["report", "--study", str(study.root), "--out", str(out)]) == 0
    text = out.read_text()
    assert "| as recorded | 677/684 99.0% | 348/348 100% | 558/558 100% |" in text
    assert text.count("chart in the HTML file") == 5


@pytest.mark.slow
def test_a_blinded_report_names_no_arm(tmp_path: Path) -> None:
    made = new_study(tmp_path / "study", blinded_protocol())
    assert run(["import", "--study", str(made.root), str(SAMPLE)]) == 0
    out = tmp_path / "report.html"
    assert run(["report", "--study", str(made.root), "--out", str(out)]) == 0
    text = out.read_text()
    for word in ("PLACEBO", "Placebo", "ZAN_LOW", "ZAN_HIGH", "54 mg", "81 mg"):
        assert word not in text


def test_charts_hold_every_label_escaped() -> None:
    hostile = "<script>&x"
    charts = [
        forest_plot([Contrast(hostile, 1, -2, 4)], "points"),
        dot_plot([hostile, "b"], {"A": [0.5, None]}),
        kaplan_meier_plot({hostile: kaplan_meier([1, 2, 3], [1, 0, 1]), "B": kaplan_meier([], [])}, "days", "event"),
        weekly_lines({hostile: [(1, 0.5), (2, 1.0)]}, "% taken"),
        adherence_calendar({hostile: [(0, "taken"), (1, "taken"), (2, "missed")]}),
    ]
    for chart in charts:
        assert "<script" not in chart
        texts = [element.text or "" for element in ET.fromstring(chart).iter("{http://www.w3.org/2000/svg}text")]
        assert hostile in texts
