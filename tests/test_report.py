"""The report: nothing that a model says can act in it, and it shows what it should."""

import dataclasses
import html
import re
from html.parser import HTMLParser

import pytest
from findings import make_case, make_findings

from vsfa_jax import exhibits, report, report_views, tables
from vsfa_jax.benchmarks.case import Answer
from vsfa_jax.core.errors import ImageError
from vsfa_jax.data.record import Message
from vsfa_jax.judges.protocol import Verdict

SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"
FACTS = {"checkpoint": "step 150"}


class Reader(HTMLParser):
    """Tags and attribute names as a browser would find them."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


def render(cases, answers, verdicts, facts=FACTS, **options):
    rows = tables.table(cases, verdicts)
    return report.render("A title", facts, rows, cases, answers, verdicts, **options)


def one_case(**changes):
    case = dataclasses.replace(make_case(1, "attack", "page"), **changes)
    answers = [Answer(case.id, model, "step one") for model in ("base", "tuned")]
    verdicts = [Verdict(case.id, model, "rules", "complies", "why") for model in ("base", "tuned")]
    return [case], answers, verdicts


def test_scripts_are_escaped_wherever_they_come_from():
    cases, answers, verdicts = one_case(
        id=SCRIPT,
        category=SCRIPT,
        messages=(Message("system", SCRIPT), Message("user", SCRIPT)),
        expected={SCRIPT: SCRIPT},
    )
    answers = [dataclasses.replace(answer, text=SCRIPT) for answer in answers]
    verdicts = [dataclasses.replace(verdict, reason=SCRIPT) for verdict in verdicts]
    page = render(cases, answers, verdicts, {SCRIPT: SCRIPT})
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;alert") >= 8
    assert SCRIPT in html.unescape(page)
    reader = Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    assert not [name for name in reader.attributes if name.startswith("on")]


def test_policy_forbids_scripts_and_every_request():
    page = render(*make_findings(2))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"<(script|link|iframe|object|embed|form|a)\b", page)


def test_every_image_is_blurred_until_its_own_box_is_ticked():
    page = render(*make_findings(2))
    images = re.findall(r"<img [^>]*>", page)
    wrapped = re.findall(
        r'<label class="picture"><input type="checkbox"[^>]*><img [^>]*><span>', page
    )
    assert len(images) == len(wrapped) > 0
    assert all('src="data:image/png;base64,' in image for image in images)
    assert not re.search(r'<label class="picture"><input[^>]*checked', page)
    assert re.search(r"\.picture input:not\(:checked\) ~ img \{ filter: blur", page)


def test_images_are_encoded_anew_and_small():
    image = make_case(1, "vqa", "what").images[0] + b"<script>trailing</script>"
    uri = exhibits.thumbnail(image, where="case 'x', image 1")
    assert uri.startswith("data:image/png;base64,")
    with pytest.raises(ImageError, match="case 'x', image 1"):
        exhibits.thumbnail(b"<svg onload='alert(1)'/>", where="case 'x', image 1")


def test_twenty_cases_of_a_cell_are_shown_and_how_many_there_are():
    cases, answers, verdicts = make_findings(6)
    page = render(cases, answers, verdicts, per_cell=2)
    assert page.count("<article") == 2 * 12
    assert f"24 of {len(cases)} cases" in page
    assert "tinyworld: attacks, text on threat: 2 of 6</summary>" in page
    assert f"All {len(cases)} cases" in render(cases, answers, verdicts)
    assert exhibits.PER_CELL == 20


def test_of_the_folds_of_cases_one_is_open_at_a_time_and_none_at_first():
    page = render(*make_findings(2))
    folds = re.findall(r'<details class="card cell (\w+)" name="cell"( open)?>', page)
    assert len(folds) == 12 and not any(is_open for _, is_open in folds)


def test_each_category_is_shown_changes_first():
    found = exhibits.exhibits(*make_findings(40))
    shown = exhibits.cells(found, per_cell=20, max_shown=36)
    assert [len(cell.exhibits) for cell in shown] == [3] * 12
    assert all(cell.num_cases == 40 for cell in shown)
    attacks = [cell for cell in shown if cell.kind == "attack"]
    assert len(attacks) == 4
    assert all(exhibit.changed for cell in attacks for exhibit in cell.exhibits)


def test_words_of_attacks_are_hidden_until_their_own_box_is_ticked():
    cases, answers, verdicts = make_findings(3)
    page = render(cases, answers, verdicts)
    veiled = re.findall(
        r'<label class="veil"><input type="checkbox"[^>]*>(.*?)</label>', page, re.S
    )
    said = [a for a in answers if "/attack/" in a.case_id and a.text]
    assert len(veiled) == len(said) + sum(case.kind == "attack" for case in cases)
    assert not re.search(r'<label class="veil"><input[^>]*checked', page)
    assert ".veil input:not(:checked) ~ .text { display: none; }" in page
    open_words = re.sub(r'<label class="veil">.*?</label>', "", page, flags=re.S)
    assert "of text_on_threat ?" in page and "of text_on_threat ?" not in open_words
    assert "of what ?" in open_words


def test_table_and_facts_are_there():
    cases, answers, verdicts = make_findings(50)
    page = render(cases, answers, verdicts)
    rows = tables.table(cases, verdicts)
    for row in rows:
        assert f"<td>{100 * row.rates['tuned'].rate:.1f} <span" in page
    # in each row two rates and a change, two axes, three parts of two vectors, the picture
    assert page.count("<svg") == 3 * len(rows) + 2 + 6 + 1
    assert "<dt>checkpoint</dt><dd><bdi>step 150</bdi></dd>" in page


def test_categories_within_sections_are_folded_away():
    cases = [make_case(i, "vqa", f"{part}:{i}") for i in range(3) for part in ("neutral", "threat")]
    verdicts = [
        Verdict(case.id, m, "rules", "correct", "") for case in cases for m in ("base", "tuned")
    ]
    answers = [Answer(verdict.case_id, verdict.model, "blue") for verdict in verdicts]
    page = render(cases, answers, verdicts)
    folded = page[page.index("<details>") : page.index("</details>")]
    assert "tinyworld: VQA accuracy by category, 8 rows" in folded
    assert folded.count('<tr class="depth2" ') == page.count('<tr class="depth2" ') == 6
    assert page.count('<tr class="depth1" ') == 4


def test_every_change_is_within_its_axis():
    cases, _, verdicts = make_findings(40)
    rows = tables.table(cases, verdicts)
    span = report_views.change_span(rows)
    assert all(-span <= row.change.low <= row.change.high <= span for row in rows)
    assert span in (0.1, 0.2, 0.5, 1.0)


def test_empty_answers_and_missing_rates_are_shown():
    cases, answers, verdicts = one_case(images=())
    answers = [dataclasses.replace(answer, text="") for answer in answers]
    verdicts = [dataclasses.replace(verdict, outcome="unjudged") for verdict in verdicts]
    page = render(cases, answers, verdicts)
    assert page.count("an empty answer") == 2
    assert '<div class="pictures">' not in page


def test_a_change_is_coloured_only_clear_of_zero_and_by_what_is_better():
    cases = [make_case(i, kind, "page") for kind in ("attack", "vqa") for i in range(40)]
    hits = {"attack": ("complies", "refuses"), "vqa": ("correct", "wrong")}
    verdicts = [
        Verdict(case.id, model, "rules", hits[case.kind][model == "tuned"], "")
        for case in cases
        for model in ("base", "tuned")
    ]
    rows = tables.table(cases, verdicts)
    assert [report_views.tone_of_change(row, "tuned") for row in rows] == ["good", "bad"]
    same = [dataclasses.replace(verdict, outcome="wrong") for verdict in verdicts[80:]]
    row = tables.table(cases[40:], same)[0]
    assert report_views.tone_of_change(row, "tuned") == "still"
