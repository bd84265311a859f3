"""The report in a real headless browser: verdict, figures, no console message, nothing on top of something else."""

import re

import pytest
from browser import open_page, overlaps, probe
from report_case import make_report

from compdistort.report import write_report

pytestmark = pytest.mark.browser
FIGURES = ("figure-raw", "figure-magnified", "figure-areas-1", "figure-totals", "figure-scores-1", "figure-convergence")
LONG = {"8-bit": "reduced-to-8-bit-with-the-exact-inverse", "blocks-16": "means-of-4-by-4-blocks-at-16-to-1"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_report(make_report(), tmp_path_factory.mktemp("report"))


def test_page_shows_verdict_and_says_nothing_on_the_console(page, tmp_path):
    dom, console = open_page(page, tmp_path)
    assert not console
    for word in ("tolerable", "intolerable"):
        assert re.search(rf'<span class="verdict {word}">{word}</span>', dom)


def test_every_figure_is_there_with_a_size_and_a_description(page, tmp_path):
    found = probe(page, tmp_path)
    assert len(found["pictures"]) >= 15
    for picture in found["pictures"]:
        left, top, right, bottom = picture["box"]
        assert picture["loaded"], picture
        assert right - left > 20, picture
        assert bottom - top > 10, picture
        assert picture["alt"], picture
    shown = {picture["figure"] for picture in found["pictures"]}
    assert shown.issuperset(FIGURES)
    assert found["wide"] <= 0


def test_no_label_lies_on_another(page, tmp_path):
    found = probe(page, tmp_path)
    assert sum(map(len, found["texts"])) > 100
    assert not [pair for texts in found["texts"] for pair in overlaps(texts)]


def test_long_names_large_scores_and_a_narrow_window_break_nothing(tmp_path):
    report = make_report(rename=lambda name: LONG.get(name, name), damage=40.0)
    path = write_report(report, tmp_path / "report")
    found = probe(path, tmp_path)
    assert not [pair for texts in found["texts"] for pair in overlaps(texts)]
    assert found["wide"] <= 0
    assert probe(path, tmp_path, width=600)["wide"] <= 0


def test_the_checks_notice_a_bad_page(tmp_path):
    """Negative control: an error, a picture that does not load, a text on another, a page that is too wide."""
    bad = tmp_path / "bad.html"
    svg = '<svg width="200" height="50"><text x="5" y="20">one</text><text x="9" y="22">two</text></svg>'
    body = f'<main><img src="data:image/png;base64,AAAA" alt="">{svg}<div style="width:3000px">x</div></main>'
    bad.write_text(f"<!doctype html><html><head></head><body>{body}</body></html>")
    found = probe(bad, tmp_path)
    assert [picture["loaded"] for picture in found["pictures"]] == [False, True]
    assert overlaps(found["texts"][0]) == [("one", "two")]
    assert found["wide"] > 0
    bad.write_text('<!doctype html><html><body><script>throw new Error("deliberate")</script></body></html>')
    _, console = open_page(bad, tmp_path)
    assert len(console) == 1
    assert "deliberate" in console[0]


def test_the_policy_of_the_page_stops_scripts_and_network(page, tmp_path):
    """A script or picture that got in by a fault would not run or load: the browser says so on the console."""
    text = page.read_text(encoding="utf-8")
    bad = tmp_path / "injected.html"
    attack = '<script>document.title = "taken"</script><img src="http://127.0.0.1:9/x.png" alt="">'
    bad.write_text(text.replace("<main>", f"<main>{attack}"), encoding="utf-8")
    dom, console = open_page(bad, tmp_path)
    assert "<title>taken" not in dom
    assert len([line for line in console if "Content Security Policy" in line]) == 2
