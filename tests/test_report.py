"""The report as files: what it says, that it stands alone, that equal input gives equal bytes, and the odd cases."""

import base64
import csv
import dataclasses
import doctest
import importlib
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from report_case import (
    NAN,
    codec_samples,
    estimate,
    make_report,
    provenance,
    samples,
    sensor,
    study_scores,
)
from skimage.segmentation import find_boundaries

from compdistort.backend.base import PARAMETERS
from compdistort.errors import ResourceError
from compdistort.report import figures_areas, pictures, write_report
from compdistort.report.formatting import fixed, number
from compdistort.report.inputs import RecordedView, Step, VolumeView
from compdistort.report.style import png_uri
from compdistort.report.tables_detail import totals_table
from compdistort.report.words import headline, problems
from compdistort.score import delta_replicate, score_study

MODULES = ("figures_areas", "formatting", "pictures", "steps", "style", "words")
VOID = {"meta", "link", "img", "br", "input", "hr"}
HOSTILE = {
    "identity": '<script>alert("x")</script>',
    "8-bit": '"><img src=http://evil.example/x onerror=alert(1)>',
    "blocks-16": "$\\frac{x^{$ -->&amp;]]>",
}


class Page(HTMLParser):
    """Elements, attributes and text of a page; every element must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open, self.faults = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def attributes(self, *names):
        return [value for _, attrs in self.elements for key, value in attrs.items() if key in names]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def report():
    return make_report()


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    return write_report(report, tmp_path_factory.mktemp("study") / "report").parent


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def twin(folder):
    def refuse(word):
        raise AssertionError(word)

    return json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_files_are_there_and_nothing_else(folder):
    names = set(everything(folder))
    tables = {
        "verdicts", "scores", "delta_area", "delta_area_histogram", "matching", "shifts", "uncertainty", "convergence",
        "objects", "object_scores",
    }  # fmt: skip
    assert names == {"index.html", "report.json", *(f"tables/{name}.csv" for name in tables)}


def test_equal_input_gives_equal_bytes(folder, tmp_path):
    write_report(make_report(), tmp_path / "again")
    assert everything(tmp_path / "again") == everything(folder)


def test_page_stands_alone(page):
    for value in page.attributes("src", "href", "xlink:href", "srcset", "action", "data"):
        assert value.startswith(("#", "data:image/png;base64,", "data:,", "https://doi.org/10.1038/"))
    assert not [tag for tag, _ in page.elements if tag in {"script", "iframe", "object", "embed"}]
    assert not page.faults
    assert not page.open
    assert page.attributes("http-equiv") == ["Content-Security-Policy"]


def test_page_has_no_other_address(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'<\s]+", text)) == {"https://doi.org/10.1038/s41598-022-07445-4"}
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


def test_ids_are_unique_and_anchors_lead_somewhere(page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    anchors = {value[1:] for tag, attrs in page.elements if tag == "a" for value in [attrs["href"]] if value[0] == "#"}
    assert len(anchors) >= 15
    assert anchors <= set(ids)


def test_every_picture_is_described(page):
    for tag, attrs in page.elements:
        if tag in {"img", "svg"}:
            assert attrs.get("alt") or (attrs.get("role") == "img" and attrs.get("aria-label")), (tag, attrs)


def test_page_says_what_matters_first(page):
    text = page.text
    start = text.index("Compression to 2.00:1 with 8-bit is tolerable.")
    assert start < text.index("What to know first") < text.index("Raw image and mask.")
    for words in (
        "blocks-16 (15.7:1) is intolerable", "asked 16.0:1, not reached", "100 replicates", "known to ± 14 %",
        "Codec blocks-16 is intolerable: ", "Simulated truth", "pixel dice", "Pomarico", "0.4000", "noise alone",
        "Methods, ready to paste", "compdistort run", "ab" * 32, "out-of-bag error",
    ):  # fmt: skip
        assert words in text, words


def test_json_holds_verdicts_scores_and_conditions(twin):
    assert (twin["format"], twin["version"]) == ("compdistort-report", 1)
    assert twin["verdicts"] == {"identity": "tolerable", "8-bit": "tolerable", "blocks-16": "intolerable"}
    assert [codec["codec"] for codec in twin["codecs"]] == ["identity", "8-bit", "blocks-16"]
    for codec in twin["codecs"]:
        assert [q["name"] for q in codec["quantities"]] == ["N", "A", "mean_area", *PARAMETERS]
        assert {"expected", "paper", "uncertainty", "decision"} <= set(codec["quantities"][0])
        assert "object_scores" not in codec
    assert twin["codecs"][0]["quantities"][0]["paper_spread"] is None
    assert twin["codecs"][2]["compression"]["target_ratio"] == 16.0
    assert twin["codecs"][2]["compression"]["reached"] is False
    assert twin["codecs"][0]["residual"]["rms"] == 0
    assert twin["image"] == {"rows": 192, "columns": 192, "raw_bytes": 2 * 192 * 192}
    assert twin["provenance"]["inputs"]["raw"]["sha256"] == "ab" * 32


def test_json_holds_nothing_of_the_run_or_the_machine(report, folder, tmp_path):
    """Other sessions, threads and folders: the same bytes. Negative control: another seed gives others."""
    other = provenance() | {
        "sessions": [{"start": "2027-05-05T00:00:00Z", "seconds": 1, "command": ["x", "/home/u/a.tif"]}] * 2
    }
    config = report.config | {"compute": {"threads": 7}, "output": {"folder": "/home/u/study.cdist"}}
    config |= {"input": {"raw": "/home/u/my images/spheres.tif"}}
    moved = dataclasses.replace(report, provenance=other, config=config)
    write_report(moved, tmp_path / "moved")
    before = (folder / "report.json").read_bytes()
    assert (tmp_path / "moved" / "report.json").read_bytes().replace(b"my images/", b"") == before
    changed = dataclasses.replace(report, config=report.config | {"noise": {"seed": 2}})
    write_report(changed, tmp_path / "changed")
    assert (tmp_path / "changed" / "report.json").read_bytes() != before


def test_csv_tables_hold_full_precision(report, folder):
    def read(name):
        return list(csv.DictReader(io.StringIO((folder / "tables" / f"{name}.csv").read_text(encoding="utf-8"))))

    scores = read("scores")
    assert len(scores) == 3 * 22
    expected = [q.expected.value for codec in report.scores.codecs for q in codec.quantities]
    assert [float(row["E3"]) for row in scores] == expected
    assert scores[0]["E1_spread"] == ""
    assert [row["verdict"] for row in read("verdicts")] == ["tolerable", "tolerable", "intolerable"]
    objects = read("objects")
    assert [float(row["Area"]) for row in objects] == report.raw_values[:, 0].tolist()
    scored = read("object_scores")
    assert len(scored) == 3 * len(objects)
    assert float(scored[-1]["Area low"]) == report.scores.codecs[2].object_low[-1, 0]
    histogram = read("delta_area_histogram")
    assert (
        sum(int(row["objects"]) for row in histogram if row["codec"] == "8-bit")
        == report.scores.codecs[1].counts.matched
    )


def test_hostile_names_stay_text(tmp_path):
    report = make_report(
        title="</title><script>alert(2)</script>",
        rename=HOSTILE.get,
        warnings=("<b onclick=alert(3)>warning</b>",),
        classifier={"label_source": "<iframe src=//evil.example>"},
        truth={"<i>scene</i>": "<u>"},
    )
    path = write_report(report, tmp_path / "report")
    page = Page(path.read_text(encoding="utf-8"))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "u", "i"}
    assert not [key for _, attrs in page.elements for key in attrs if key.startswith("on")]
    assert not page.faults
    for name in HOSTILE.values():
        assert " ".join(name.split()) in page.text, name
    assert all(not value.startswith("http://") for value in page.attributes("src", "href"))
    assert set(json.loads((path.parent / "report.json").read_text(encoding="utf-8"))["verdicts"]) == set(
        HOSTILE.values()
    )


def test_no_object_at_all(tmp_path):
    report = make_report(threshold=1e9)
    assert len(report.raw_values) == 0
    path = write_report(report, tmp_path / "report")
    text = Page(path.read_text(encoding="utf-8")).text
    assert "No object was found in the raw image, so no codec can be judged." in text
    assert text.count("No objects: nothing to draw.") == 3
    twin = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
    assert twin["n_objects"] == 0
    assert set(twin["verdicts"].values()) == {"undecided"}
    assert twin["scene"]["median_size"] is None


def test_identity_is_no_compression(report):
    """A codec that saves nothing is never recommended."""
    scores = dataclasses.replace(report.scores, codecs=report.scores.codecs[:1])
    only = dataclasses.replace(report, codecs=report.codecs[:1], scores=scores)
    assert headline(only) == ("No codec of this study that saves space is shown to be tolerable.",)


@pytest.mark.parametrize("threshold", [600.0, 1e9])
def test_real_scores_fit_the_report(threshold, tmp_path):
    """Scores as a study makes them, with objects and without any."""
    made = make_report(threshold=threshold)
    raw = samples(made.raw_values, n_replicates=12)
    codecs = [codec_samples(raw, codec) for codec in made.codecs]
    scores = score_study(raw, codecs)
    path = write_report(dataclasses.replace(made, scores=scores, delta_replicate=delta_replicate(raw)), tmp_path / "r")
    page = Page(path.read_text(encoding="utf-8"))
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())
    assert not page.faults
    twin = json.loads((path.parent / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert twin["n_replicates"] == 12
    assert twin["verdicts"]["identity"] == ("tolerable" if threshold == 600.0 else "undecided")


def test_no_codec(tmp_path):
    report = make_report(codecs=(), scores=study_scores((), 21))
    text = Page(write_report(report, tmp_path / "report").read_text(encoding="utf-8")).text
    assert "This study holds no codec" in text


def test_codec_without_any_match(report, tmp_path):
    """All columns NaN: no match, no score, no interval."""
    lost = dataclasses.replace(report.codecs[2], values=np.full_like(report.codecs[2].values, NAN))
    nothing = estimate(NAN, NAN)
    scores = report.scores.codecs[2]
    quantities = tuple(
        dataclasses.replace(
            q,
            expected=nothing,
            paper=nothing,
            paper_spread=NAN,
            uncertainty=nothing,
            compressed=NAN,
            decision="undecided",
        )
        for q in scores.quantities
    )
    empty = dataclasses.replace(
        scores,
        verdict="undecided",
        quantities=quantities,
        object_scores=np.full_like(scores.object_scores, NAN),
        delta_size=dataclasses.replace(scores.delta_size, counts=(0,) * 121, mean=nothing, spread=nothing),
    )
    changed = dataclasses.replace(
        report,
        codecs=(lost,),
        scores=dataclasses.replace(report.scores, codecs=(empty,)),
        delta_replicate=(NAN, NAN, NAN),
        sigma_dn=np.zeros_like(report.sigma_dn),
    )
    path = write_report(changed, tmp_path / "report")
    page = Page(path.read_text(encoding="utf-8"))
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())
    assert "no matched object" in page.text
    json.loads((path.parent / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_many_objects_keep_the_page_small(report, tmp_path):
    """With 5000 objects the scatter becomes a picture: the page grows by less than 1 MB."""
    draw = np.random.default_rng(1)
    values = draw.gamma(4.0, 30.0, (5000, len(PARAMETERS))) + 1
    codecs = tuple(dataclasses.replace(c, values=values + draw.normal(0, 3, values.shape)) for c in report.codecs)
    small = write_report(report, tmp_path / "small").stat().st_size
    scores = dataclasses.replace(report.scores, object_uncertainty=np.ones(values.shape))
    large = dataclasses.replace(report, raw_values=values, codecs=codecs, scores=scores)
    path = write_report(large, tmp_path / "large")
    assert path.stat().st_size < small + 1_000_000
    text = path.read_text(encoding="utf-8")
    areas = re.search(r'<figure id="figure-areas-1">(.*?)</figure>', text, re.DOTALL).group(1)
    assert areas.count("<image") == 3


def test_large_image_is_reduced(tmp_path):
    report = make_report(side=1300, n_spheres=12)
    text = write_report(report, tmp_path / "report").read_text(encoding="utf-8")
    shapes = [
        imagecodecs.png_decode(base64.b64decode(data)).shape
        for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    ]
    assert max(max(shape[:2]) for shape in shapes) <= pictures.MAX_PIXELS
    assert "shown 1:2" in text


@pytest.mark.slow
def test_pages_of_large_volumes_stay_small(tmp_path):
    """Pictures of planes of 2048 x 2048: projections of the raw volume and under every codec, in less than 3 MB."""
    plane = make_report(side=2048, n_spheres=40)
    seen = VolumeView(shape=(90, 2048, 2048), plane=40, voxel_um=None, projection=plane.raw, labels=plane.labels)
    codecs = tuple(dataclasses.replace(codec, projected_labels=codec.labels) for codec in plane.codecs)
    path = write_report(dataclasses.replace(plane, volume=seen, codecs=codecs), tmp_path / "report")
    assert path.stat().st_size < 3_000_000
    page = Page(path.read_text(encoding="utf-8"))
    assert "The whole volume under every codec." in page.text
    alts = page.attributes("alt")
    for codec in plane.codecs:
        assert f"Maximum of the raw volume with the outlines of the raw image and of {codec.codec}" in alts
    sides = [max(int(a["width"]), int(a["height"])) for tag, a in page.elements if tag == "img"]
    assert max(sides) <= pictures.VOLUME_PIXELS


def test_estimated_sensor_and_threshold_labels_are_marked(report, tmp_path):
    changed = dataclasses.replace(
        report,
        sensor=sensor(estimated=True),
        classifier={"label_source": "annotations from a threshold: no ground truth", "held_out": {"dice": 0.5}},
        truth=None,
        warnings=("annotations from a threshold: no ground truth", "the lamp flickers"),
    )
    text = Page(write_report(changed, tmp_path / "report").read_text(encoding="utf-8")).text
    assert "The sensor noise is estimated" in text
    assert "Sensor (estimated)" in text
    assert "frame estimated" in text
    assert "Annotations from a threshold: no ground truth" in text
    assert "Simulated truth" not in text
    found = " ".join(problems(changed))
    assert found.count("no ground truth") == 1
    assert "The lamp flickers" in found
    assert "held out, dice is 50.0 %" in found


def _with_steps(report):
    """Return the report of a study whose images go through two steps, recorded as a stack of 40 x 30 pixels."""
    draw = np.random.default_rng(3)
    frame = draw.integers(300, 900, (40, 30)).astype(np.uint16)
    codecs = tuple(
        dataclasses.replace(codec, recorded=(frame // step * step).astype(np.uint16))
        for codec, step in zip(report.codecs, (1, 8, 64), strict=True)
    )
    steps = (
        Step(name="attenuation", words="projections: <b>divided</b>", found={"clipped": 3}, shape=(7, 40, 30)),
        Step(name="divide-by-median", words="divided by the median of the image", found={}, shape=(7, 40, 30)),
    )
    return dataclasses.replace(
        report,
        raw=(report.raw / 60000.0).astype(np.float32),
        codecs=codecs,
        sigma_dn=np.full((40, 30), 4.0),
        recorded=RecordedView(shape=(7, 40, 30), frame=3, raw=frame, steps=steps),
    )


def test_noise_codecs_and_sizes_are_of_what_was_recorded(report, tmp_path):
    path = write_report(_with_steps(report), tmp_path / "report")
    page = Page(path.read_text(encoding="utf-8"))
    for words in (
        "From what was recorded to what is seen", "frame 3 of 0 to 6", "Pixels are those of frame 3", "Whole frame",
        "Projections: <b>divided</b>", "clipped 3", "Recorded: 7 × 40 × 30", "(2) divided by the median of the image.",
        "of the 7 x 40 x 30 pixel recorded image", "Raw image after the steps",
    ):  # fmt: skip
        assert words in page.text, words
    assert "contrast of objects, in units of pixel noise" not in page.text
    twin = json.loads((path.parent / "report.json").read_text(encoding="utf-8"))
    assert twin["image"]["raw_bytes"] == 2 * 7 * 40 * 30
    assert twin["recorded"]["steps"][0]["found"] == {"clipped": 3}
    assert twin["scene"]["contrast"] is None
    rms = [codec["residual"]["rms"] for codec in twin["codecs"]]
    assert rms[0] == 0
    assert rms[1] == pytest.approx(np.sqrt(np.mean((np.arange(8) / 4) ** 2)), rel=0.1)  # whole steps of eight levels


def test_without_steps_the_page_says_nothing_of_them(page):
    for words in ("what is seen", "after the steps", "before the steps", "Whole frame"):
        assert words not in page.text


def test_values_between_zero_and_one_have_contrast():
    values = np.linspace(0.2, 0.3, 1000, dtype=np.float32).reshape(20, 50)
    low, high = pictures.contrast(values)
    assert 0.2 <= low < high <= 0.3
    assert np.unique(pictures.grey(values, (low, high))).size > 200
    assert pictures.contrast(np.full((4, 4), 7, np.uint16)) == (7, 8)
    assert pictures.contrast(np.full((4, 4), 7.0)) == (7, 8)


def test_every_total_is_in_one_table_with_its_uncertainty_and_scores(report, page):
    table = totals_table(report)
    assert [row[0].text for row in table.rows] == ["N", "A", "mean area"]
    first = report.scores.codecs[2].quantities[0]
    assert table.rows[0][1].text == f"{first.raw:.0f}"
    assert table.rows[0][5].text == f"{first.compressed:.0f}"
    assert table.rows[0][5].small == f"{fixed(first.paper.value)} / {fixed(first.expected.value)}"
    assert table.rows[2][1].text == number(report.scores.codecs[0].quantities[2].raw, 5)
    assert "number of objects" in page.text


def test_a_mean_that_hides_changes_of_single_objects_is_named(report):
    def with_rms(rms, verdict="tolerable"):
        codec = report.scores.codecs[1]
        quantities = tuple(
            dataclasses.replace(q, paper_rms=rms if q.name in ("N", "Feret", "AR") else 0.5) for q in codec.quantities
        )
        codec = dataclasses.replace(codec, verdict=verdict, quantities=quantities)
        return " ".join(
            problems(dataclasses.replace(report, scores=dataclasses.replace(report.scores, codecs=(codec,))))
        )

    assert "8-bit keeps the means, but single objects" in with_rms(1.4)
    assert "in 2 of 19 parameters: Feret by 1.40 s" in with_rms(1.4)
    assert "single objects" not in with_rms(0.9) + with_rms(1.4, "intolerable")


def test_unwritable_folder_is_one_clear_error(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="file"):
        write_report(report, tmp_path / "file" / "report")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_older_report_is_replaced(report, folder, tmp_path):
    write_report(make_report(title="old"), tmp_path / "report")
    write_report(report, tmp_path / "report")
    assert everything(tmp_path / "report") == everything(folder)


def test_importing_the_package_draws_nothing_in():
    code = "import sys, compdistort.report; print([m for m in ('matplotlib', 'jinja2', 'sklearn') if m in sys.modules])"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"compdistort.report.{name}")).failed == 0


def test_png_is_read_back_by_another_decoder():
    draw = np.random.default_rng(2)
    palette = draw.integers(0, 256, (252, 3), dtype=np.uint8)
    indices = draw.integers(0, 252, (37, 53), dtype=np.uint8)
    for used, truth in ((None, indices), (palette, palette[indices])):
        data = base64.b64decode(png_uri(indices, used).partition(",")[2])
        np.testing.assert_array_equal(imagecodecs.png_decode(data), truth)


def test_boundary_equals_scikit_image():
    labels = np.pad(np.random.default_rng(4).integers(0, 3, (40, 50)), 1).astype(np.int32)
    np.testing.assert_array_equal(pictures.boundary(labels), find_boundaries(labels, connectivity=1, mode="inner"))


def test_outline_path_covers_every_edge_once():
    labels = np.random.default_rng(5).integers(0, 3, (20, 30)).astype(np.int32)
    covered = set()
    for column, row, kind, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", pictures.edge_path(labels)):
        for step in range(int(length)):
            dx, dy = (step, 0) if kind == "h" else (0, step)
            edge = (kind, int(row) + dy, int(column) + dx)
            assert edge not in covered
            covered.add(edge)
    truth = {("h", r + 1, c) for r, c in zip(*np.nonzero(labels[1:] != labels[:-1]), strict=True)}
    truth |= {("v", r, c + 1) for r, c in zip(*np.nonzero(labels[:, 1:] != labels[:, :-1]), strict=True)}
    assert covered == truth


def test_residual_is_difference_over_noise():
    raw = np.array([[10, 20, 30, 40]], np.uint16)
    one = pictures.residual(raw, np.array([[12.0, 20.0, 30.5, 41.0]]), np.array([[2.0, 0.0, 0.5, 0.0]]))
    np.testing.assert_array_equal(one.scores, [[-1.0, 0.0, -1.0, math.nan]])
    assert one.unscored == 1
    assert one.mean == pytest.approx(-2 / 3)
    assert one.rms == pytest.approx(math.sqrt(2 / 3))


def test_magnified_part_holds_the_most_outline():
    labels = np.zeros((300, 400), np.int32)
    labels[20:30, 20:30] = 1
    for n in range(5):
        labels[200 + 12 * n : 208 + 12 * n, 300:310] = n + 2
    window = pictures.choose_window(labels)
    assert (labels[window.slices] > 1).sum() == 400
    whole = pictures.boundary(labels)
    best = max(whole[r : r + 144, c : c + 144].sum() for r in range(0, 157, 4) for c in range(0, 257, 4))
    assert whole[window.slices].sum() >= best


def test_many_objects_are_drawn_as_a_density(monkeypatch):
    made = make_report()
    few = figures_areas.area_figures(made)
    monkeypatch.setattr(figures_areas, "_HISTOGRAM_FROM", 2)
    many = figures_areas.area_figures(made)
    assert len(many) == len(few)
    assert all("<image" in figure and figure.count("<svg") == 1 for figure in many)
    assert [figure.split("aria-label")[1][:80] for figure in many] == [f.split("aria-label")[1][:80] for f in few]
