"""`compdistort bench`: a small grid end to end, the rule of the choice, the identity gate, refusals and exit codes."""

import csv
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from compdistort import synthetic
from compdistort.backend import get_backend
from compdistort.backend.plain import measure as plain_measure
from compdistort.cli import main
from compdistort.errors import ConfigError, InputError, InterruptedStudyError
from compdistort.features import FeatureSpec
from compdistort.forest import load_classifier, train_classifier
from compdistort.forest.holdout import Annotated
from compdistort.io.images import write_tiff
from compdistort.pipeline.bench.choice import Candidate, choose_fastest, difference_error
from compdistort.pipeline.bench.field import open_field
from compdistort.pipeline.bench.options import BenchOptions, Pipeline, parse_codec, parse_sigmas
from compdistort.pipeline.bench.scoring import make_chain
from compdistort.pipeline.bench.timing import STAGES, Times, time_in_turns
from compdistort.pipeline.bench.train import count_squares, train_pipeline
from compdistort.pipeline.stopping import StopFlag
from compdistort.sensor.sensor_file import save_sensor

SMALL = ("--size", "96", "--trees", "8", "-n", "3", "--rounds", "1", "--progress", "none")
GRID = ("--set", "weka", "plain", "--sigma", "1,2", "1,40", "--bins", "none", "uint8", "--device", "cpu", "numpy")
CODECS = ("--codec", "bit-depth", "jpeg:10")
STAGE_KEYS = {"noise", "features", "forest", "objects", "replicate"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Run a grid in which every second pipeline is refused; return its folder and what was written."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    assert main(["bench", *SMALL, *GRID, *CODECS, "-o", str(folder)]) == 0
    return folder, json.loads((folder / "bench.json").read_text(encoding="utf-8"))


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.links, self.tags = set(), [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found[key] for key in ("href", "src", "xlink:href") if key in found]


def test_page_is_whole(made):
    """Every link leads somewhere in the folder, both figures are there, and nothing comes from a network."""
    folder, twin = made
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.tags.count("svg") == 2
    assert {"figure-trade", "figure-stages", "answer", "rule", "refused"} <= page.ids
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            assert (folder / link).is_file()
    assert not re.search(r"https?://", text)
    chosen = twin["rows"][twin["fastest_at_equal_trust"]]
    assert f"Fastest at equal trust: {chosen['pipeline']} on {chosen['device']}" in text
    for row in twin["rows"]:
        assert row["pipeline"] in text


def test_json_holds_every_number(made):
    _, twin = made
    assert (twin["format"], twin["version"]) == ("compdistort-bench", 1)
    assert [(row["pipeline"], row["device"]) for row in twin["rows"]] == [
        (f"{name}-s1_2-ilastik-t8-{bins}", device)
        for name in ("weka", "plain")
        for bins in ("float", "uint8")
        for device in ("cpu", "numpy")
    ]
    assert [row["engine"] for row in twin["rows"][:2]] == ["numba", "numpy"]
    for row in twin["rows"]:
        assert set(row["ns_per_pixel"]) == STAGE_KEYS
        for times in row["ns_per_pixel"].values():
            assert 0 < times["min"] <= times["median"] < 1e9
        assert row["trees"] == 8
        assert row["stack_bytes"] == 4 * row["features"] * 96 * 96
        assert min(row[key] for key in ("model_bytes", "nodes", "working_bytes", "objects", "warm_up_seconds")) > 0
        assert 0.5 < row["score"] == row["held_out"]["dice"] <= 1
        assert 0 <= row["oob_error"] < 0.5
        assert row["uncertainty"]["A"]["low"] <= row["uncertainty"]["A"]["value"] <= row["uncertainty"]["A"]["high"]
        assert 0 < row["relative_uncertainty"]["Area"] < 1
        assert 0.8 < row["truth_dice"] < 1
        assert set(row["codecs"]) == {"bit-depth", "jpeg-10"}
        for codec in row["codecs"].values():
            assert codec["verdict"] in ("tolerable", "intolerable", "undecided")
            assert math.isfinite(codec["A"]["value"])
    assert twin["session"]["processors"] > 0
    assert twin["software"]["packages"]["numpy"]


def test_engines_measure_the_same(made):
    """Uncertainty, scores and the hash of all tables are those of the slow twin, and are not the same everywhere."""
    _, twin = made
    assert twin["engines_equal"]
    for fast, slow in zip(twin["rows"][::2], twin["rows"][1::2], strict=True):
        assert fast["measured_sha256"] == slow["measured_sha256"]
        for key in ("uncertainty", "relative_uncertainty", "codecs", "objects", "score"):
            assert fast[key] == slow[key]
    assert len({row["measured_sha256"] for row in twin["rows"]}) > 1


def test_refused_pipelines_are_listed(made):
    folder, twin = made
    assert [(each["pipeline"], each["device"]) for each in twin["refused"]] == [
        (f"{name}-s1_40-ilastik-t8-{bins}", "") for name in ("weka", "plain") for bins in ("float", "uint8")
    ]
    assert "do not double" in twin["refused"][0]["reason"]
    assert "sigma 40.0 of feature set 'plain' needs 160 pixels" in twin["refused"][2]["reason"]
    assert "needs 160 pixels" in (folder / "index.html").read_text(encoding="utf-8")


def test_csv_and_models(made):
    folder, twin = made
    lines = list(csv.DictReader((folder / "bench.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["pipeline"] for line in lines] == [row["pipeline"] for row in twin["rows"]]
    assert float(lines[0]["replicate_ns_median"]) == twin["rows"][0]["ns_per_pixel"]["replicate"]["median"]
    assert sorted(path.name for path in folder.iterdir()) == ["bench.csv", "bench.json", "index.html", "models"]
    for row in twin["rows"]:
        model = folder / "models" / f"{row['pipeline']}.npz"
        assert model.stat().st_size == row["model_bytes"]
        assert load_classifier(model).forest.feature.size == row["nodes"]


def test_the_choice_follows_the_rule(made):
    _, twin = made
    rows = twin["rows"]
    best = rows[twin["most_accurate"]]
    trusted = [row for row in rows if row["standing"]["trusted"]]
    chosen = rows[twin["fastest_at_equal_trust"]]
    assert best["score"] == max(row["score"] for row in rows)
    assert chosen["ns_per_pixel"]["replicate"]["median"] == min(
        row["ns_per_pixel"]["replicate"]["median"] for row in trusted
    )
    for row in trusted:
        verdicts = {name: codec["verdict"] for name, codec in row["codecs"].items()}
        assert verdicts == {name: codec["verdict"] for name, codec in best["codecs"].items()}


def test_words_and_json_on_the_terminal(tmp_path, capsys):
    words = ["bench", *SMALL, "--set", "plain", "--sigma", "1,2", "--bins", "none", "--codec", "bit-depth"]
    words += ["--device", "cpu", "-o", str(tmp_path / "out")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "fastest at equal trust: plain-s1_2-ilastik-t8-float on cpu" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("page")) < 160
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["pipeline"] == "plain-s1_2-ilastik-t8-float"
    assert found["page"] == str(tmp_path / "out" / "index.html")


def test_a_planted_fault_of_an_engine_is_an_error(tmp_path, monkeypatch, capsys):
    """Negative control of the identity gate: one area of the twin is wrong by a pixel."""
    true = plain_measure.measure_objects

    def wrong(labels):
        table = true(labels)
        table[0, 2] += 1
        return table

    monkeypatch.setattr(plain_measure, "measure_objects", wrong)
    words = ["bench", *SMALL, "--set", "plain", "--sigma", "1,2", "--bins", "none", "--codec", "bit-depth"]
    assert main([*words, "--device", "cpu", "numpy", "-o", str(tmp_path / "out")]) == 1
    assert "devices cpu and numpy measured different objects" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_that_one_engine_refuses_runs_on_the_other(tmp_path, monkeypatch, capsys):
    def refusing(trained, field, backend, seed):
        if backend.name == "numpy":
            raise ConfigError("feature set 'plain' is not made here", "use another engine")
        return make_chain(trained, field, backend, seed)

    monkeypatch.setattr("compdistort.pipeline.bench.run.make_chain", refusing)
    words = ["bench", *SMALL, "--set", "plain", "--sigma", "1,2", "--bins", "none", "--codec", "bit-depth"]
    assert main([*words, "--device", "numpy", "cpu", "-o", str(tmp_path / "out")]) == 0
    assert "refused: plain-s1_2-ilastik-t8-float on numpy: feature set" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    assert [row["device"] for row in found["rows"]] == ["cpu"]
    assert not found["engines_equal"]


def test_own_image(tmp_path, capsys):
    """An image with annotations and a sensor file; squares of the annotations are held out."""
    camera = synthetic.SimulatedCamera()
    scene = synthetic.scene("spheres", 128, 3)
    write_tiff(tmp_path / "raw.tif", synthetic.expose(scene, camera, 3))
    write_tiff(tmp_path / "labels.tif", synthetic.annotations(scene, 3).train)
    save_sensor(tmp_path / "sensor.json", camera.sensor())
    words = ["bench", str(tmp_path / "raw.tif"), "--labels", str(tmp_path / "labels.tif"), *SMALL[2:]]
    words += ["--sensor", str(tmp_path / "sensor.json"), "--set", "plain", "--sigma", "1,2", "--leaves", "0", "4"]
    words += ["--bins", "none", "--codec", "bit-depth", "--min-size", "20", "--device", "cpu", "--json"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    grown, pruned = found["rows"]
    assert (grown["pipeline"], pruned["pipeline"]) == ("plain-s1_2-ilastik-t8-float", "plain-s1_2-ilastik-t8-l4-float")
    assert pruned["nodes"] <= 8 * 7
    assert "squares" in grown["held_out"]["source"]
    assert grown["held_out"]["n_pixels"] == pruned["held_out"]["n_pixels"]
    assert found["image"]["source"] == "raw.tif"
    assert grown["truth_dice"] is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--set", "nonsense"], 2, "feature set 'nonsense' is unknown"),
        (["--preset", "nonsense"], 2, "forest preset 'nonsense' is unknown"),
        (["--bins", "uint4"], 2, "bins 'uint4' are unknown"),
        (["--codec", "jpg"], 2, "codec 'jpg' does not exist"),
        (["--codec", "jpeg:10", "jpeg:10"], 2, "is given twice"),
        (["--codec", "jpeg:nonsense"], 2, "is no setting"),
        (["--device", "quantum"], 2, "quantum"),
        (["--device", "cpu", "cuda"], 4, "cuda"),
        (["--sigma", "fine"], 2, "no list of scales"),
        (["--scene", "forest"], 2, "--scene forest is unknown"),
        (["--leaves", "1"], 2, "--leaves 1"),
        (["--margin", "-1"], 2, "margin is -1"),
        (["--tolerance", "2"], 2, "--tolerance 2"),
        (["--labels", "labels.tif"], 2, "--labels labels.tif belongs to an image"),
        (["raw.tif"], 2, "needs annotations"),
        (["raw.tif", "--labels", "a.tif", "b.tif", "--sensor", "estimate"], 2, "2 files for one image"),
        (["missing.tif", "--labels", "labels.tif", "--sensor", "estimate"], 3, "does not exist"),
        (["stack.tif", "--labels", "labels.tif", "--sensor", "estimate"], 3, "is a stack of shape (3, 64, 64)"),
        (["--set", "plain", "--sigma", "1,40"], 2, "no pipeline can be made for this image"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, capsys, words, code, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPDISTORT_DEVICE", "cpu")
    write_tiff(tmp_path / "stack.tif", np.full((3, 64, 64), 500, np.uint16))
    assert main(["bench", *words, *SMALL]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["stack.tif"]


def test_a_folder_that_is_no_benchmark_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["bench", *SMALL, "--force", "-o", str(tmp_path)]) == 2
    assert "is no benchmark" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_words_of_codecs_and_sigmas():
    assert parse_codec("jpeg:ratio=10,search=x") == {"id": "jpeg", "ratio": 10, "search": "x"}
    assert parse_codec("jpeg:2.5") == {"id": "jpeg", "ratio": 2.5}
    assert parse_sigmas("0.7,1") == (0.7, 1.0)
    with pytest.raises(ConfigError):
        parse_codec("jpeg:=3")


# ---- the rule -------------------------------------------------------------------------------------------------------

SQUARES = np.array([[90.0, 100, 100], [95, 100, 100], [92, 100, 100], [93, 100, 100]])


def _candidate(score, ns, verdict="tolerable", squares=None):
    return Candidate(score=score, squares=squares, ns_per_pixel=ns, fastest_ns=ns, verdicts={"jpeg": verdict})


def test_fast_but_inaccurate_is_not_chosen():
    choice = choose_fastest([_candidate(0.95, 300), _candidate(0.80, 10), _candidate(0.948, 200)], 0.005)
    assert (choice.most_accurate, choice.fastest) == (0, 2)
    assert choice.standings[1].reason == "score lower by 0.1500"
    # Negative control: with a tolerance as wide as the difference it would be.
    assert choose_fastest([_candidate(0.95, 300), _candidate(0.80, 10)], 0.2).fastest == 1


def test_fast_with_another_verdict_is_not_chosen():
    rows = [_candidate(0.95, 300), _candidate(0.95, 10, "intolerable"), _candidate(0.95, 250)]
    choice = choose_fastest(rows, 0.005)
    assert choice.fastest == 2
    assert choice.standings[1].reason == "other verdict on jpeg"


def test_most_accurate_of_equal_scores_is_the_one_others_agree_with():
    rows = [_candidate(0.95, 10, "undecided"), _candidate(0.95, 300), _candidate(0.95, 250)]
    choice = choose_fastest(rows, 0.005)
    assert (choice.most_accurate, choice.fastest) == (1, 2)
    assert choose_fastest(rows[:2], 0.005).most_accurate == 0


def test_one_standard_error_counts_as_equal():
    """The same mean difference, spread over squares or the same in each of them."""
    uneven = SQUARES - np.array([[10.0, 0, 0], [-2, 0, 0], [0, 0, 0], [0, 0, 0]])
    even = SQUARES - np.array([[2.0, 0, 0]] * 4)
    score = [2 * each[:, 0].sum() / each[:, 1:].sum() for each in (SQUARES, uneven, even)]
    rows = [
        _candidate(s, ns, squares=q) for s, ns, q in zip(score, (300, 10, 20), (SQUARES, uneven, even), strict=True)
    ]
    assert score[1] == score[2]
    choice = choose_fastest(rows, 0.005)
    assert [standing.accurate for standing in choice.standings] == [True, True, False]
    assert choice.fastest == 1


def test_standard_error_is_the_jackknife():
    other = SQUARES + np.array([[-8.0, -3, 0], [1, 2, 0], [-1, 0, 0], [0, 5, 0]])
    left = []
    for k in range(4):
        kept = [np.delete(each, k, axis=0).sum(axis=0) for each in (SQUARES, other)]
        left.append(2 * kept[0][0] / kept[0][1:].sum() - 2 * kept[1][0] / kept[1][1:].sum())
    expected = math.sqrt(3 / 4 * sum((each - np.mean(left)) ** 2 for each in left))
    assert difference_error(SQUARES, other) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(difference_error(SQUARES[:1], other[:1]))
    assert math.isnan(difference_error(None, other))


def test_without_a_score_nothing_is_chosen():
    choice = choose_fastest([_candidate(None, 10), _candidate(0.9, 300)], 0.005)
    assert choice.fastest == 1
    assert choice.standings[0].reason == "no score"
    with pytest.raises(InputError, match="no pipeline could be judged"):
        choose_fastest([_candidate(None, 10)], 0.005)


def test_a_close_race_is_said():
    rows = [_candidate(0.95, 300), replace(_candidate(0.95, 310), fastest_ns=290)]
    choice = choose_fastest(rows, 0.005)
    assert (choice.fastest, choice.fastest_by_minimum) == (0, 1)


# ---- training and clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bins", "given"), [("none", True), ("uint8", False)])
def test_training_is_that_of_train(bins, given):
    """The same forest, held-out quality and out-of-bag error as `train_classifier`, to the bit."""
    field = open_field(BenchOptions(size=96))
    field = field if given else replace(field, held_out=None)
    backend = get_backend("cpu")
    pipeline = Pipeline(set_name="plain", sigmas=(1.0, 2.0), preset="ilastik", bins=bins)
    mine = train_pipeline(pipeline, field, 5, backend)
    spec = FeatureSpec(set="plain", sigmas=(1.0, 2.0))
    classifier, report = train_classifier(
        field.raw, field.labels, spec, "ilastik", 5, backend, held_out=field.held_out, bins=bins
    )
    for name in ("feature", "threshold", "left", "root", "leaf_value"):
        assert getattr(mine.classifier.forest, name).tobytes() == getattr(classifier.forest, name).tobytes()
    assert mine.oob_error == report.oob_error
    assert (mine.held_out.dice, mine.held_out.n_pixels) == (report.held_out.dice, report.held_out.n_pixels)
    hit, found, true = mine.squares.sum(axis=0)
    assert 2 * hit / (found + true) == pytest.approx(report.held_out.dice, rel=1e-12)


def test_squares_count_pixels():
    place = np.array([[0, 0], [31, 31], [0, 32], [40, 40]])
    pixels = Annotated(image=np.zeros(4, np.int64), place=place, value=np.ones(4, np.uint8))
    found, true = np.array([True, False, True, False]), np.array([True, True, False, False])
    assert count_squares(pixels, found, true).tolist() == [[1, 1, 2], [0, 1, 0], [0, 0, 0]]


def test_times_are_nanoseconds_a_pixel():
    times = Times(pixels=1000)
    times.seconds["forest"] = [3e-6, 1e-6, 9e-6]
    assert times.median_ns("forest") == pytest.approx(3.0)
    assert times.fastest_ns("forest") == pytest.approx(1.0)
    assert set(STAGES) == STAGE_KEYS


def test_a_stop_ends_the_turns(monkeypatch):
    stop = StopFlag()
    stop.set("SIGTERM")

    class Raw:
        size = 1

    class Chain:
        raw = Raw()

    with pytest.raises(InterruptedStudyError):
        time_in_turns([Chain()], 1, stop)
