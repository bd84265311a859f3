"""`compdistort bench`: a small grid end to end, the rule of the choice, the identity gate, refusals and exit codes."""

import copy
import csv
import gc
import json
import math
import re
import weakref
from dataclasses import replace
from html.parser import HTMLParser
from statistics import median

import numpy as np
import pytest

from compdistort import synthetic
from compdistort.backend import get_backend
from compdistort.backend.bitsliced.descent import unpacked_bits
from compdistort.backend.plain import measure as plain_measure
from compdistort.cli import main
from compdistort.errors import (
    CodecRangeError,
    ConfigError,
    DeviceMemoryError,
    InputError,
    InterruptedStudyError,
)
from compdistort.features import FeatureSpec
from compdistort.forest import load_classifier, train_classifier
from compdistort.forest.holdout import Annotated
from compdistort.io.files import sha256_file
from compdistort.io.images import write_tiff
from compdistort.pipeline.bench import timing
from compdistort.pipeline.bench.choice import (
    EQUAL,
    LESS_ACCURATE,
    NO_OBJECT,
    NO_SCORE,
    OTHER_VERDICT,
    UNCLEAR,
    UNDECIDED_VERDICT,
    Candidate,
    choose_fastest,
    difference_error,
)
from compdistort.pipeline.bench.field import open_field
from compdistort.pipeline.bench.options import BenchOptions, Pipeline, parse_codec, parse_sigmas
from compdistort.pipeline.bench.scoring import make_chain
from compdistort.pipeline.bench.timing import Times, time_in_turns
from compdistort.pipeline.bench.train import count_squares, train_pipeline
from compdistort.pipeline.bench.words import remarks
from compdistort.pipeline.stopping import StopFlag
from compdistort.report.bench_page import render_bench
from compdistort.report.figures_bench import TRUST_COLOURS
from compdistort.sensor.sensor_file import save_sensor

SMALL = ("--size", "96", "--trees", "8", "-n", "3", "--rounds", "1", "--progress", "none")
GRID = ("--set", "weka", "plain", "--sigma", "1,2", "1,40", "--bins", "uint8", "--device", "cpu", "numba", "numpy")
PLAIN = ("--set", "plain", "--sigma", "1,2", "--bins", "none", "--codec", "bit-depth", "--device", "cpu")
CODECS = ("--codec", "bit-depth", "jpeg:10")
STAGE_KEYS = {"noise", "features", "forest", "objects", "replicate"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Run a grid in which every second pipeline is refused; return its folder and what was written."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    assert main(["bench", *SMALL, *GRID, *CODECS, "-o", str(folder)]) == 0
    return folder, json.loads((folder / "bench.json").read_text(encoding="utf-8"))


@pytest.fixture
def no_page(monkeypatch):
    """Leave out the figures, most of the time of a small benchmark, where a test reads numbers alone."""
    monkeypatch.setattr("compdistort.pipeline.bench.run.render_bench", lambda *_: "")


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
        (f"{name}-s1_2-ilastik-t8-uint8", device) for name in ("weka", "plain") for device in ("cpu", "numpy")
    ]
    assert [row["engine"] for row in twin["rows"][:2]] == ["numba", "numpy"]
    for row in twin["rows"]:
        assert set(row["ns_per_pixel"]) == STAGE_KEYS
        for stage, times in row["ns_per_pixel"].items():
            assert 0 < times["min"] <= times["median"] < 1e9
            assert times["median"] == pytest.approx(median(row["turn_seconds"][stage]) / 96**2 * 1e9, rel=1e-12)
        assert (row["threads"], row["compiled"]) == (1, True if row["device"] == "cpu" else None)
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
            assert math.isfinite(codec["A"]["paper"]["value"])
            assert math.isfinite(codec["A"]["expected"]["value"])
    assert twin["session"]["processors"] > 0
    assert twin["software"]["packages"]["numpy"]
    engines = [(each["device"], each["engine"], each["same_as"]) for each in twin["session"]["engines"]]
    assert engines == [("cpu", "numba", None), ("numba", "numba", "cpu"), ("numpy", "numpy", None)]
    assert twin["sensor_model"] == synthetic.SimulatedCamera().sensor().to_dict()


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
        (f"{name}-s1_40-ilastik-t8-uint8", "") for name in ("weka", "plain")
    ]
    assert "do not double" in twin["refused"][0]["reason"]
    assert "sigma 40.0 of feature set 'plain' needs 160 pixels" in twin["refused"][1]["reason"]
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


def test_the_choice_can_be_made_again_from_the_json(made):
    _, twin = made
    rows = twin["rows"]
    candidates = [
        Candidate(
            pipeline=row["pipeline"],
            score=row["score"],
            squares=np.array(row["squares"], float),
            turns=tuple(row["turn_seconds"]["replicate"]),
            verdicts={name: codec["verdict"] for name, codec in row["codecs"].items()},
            n_objects=row["objects"],
            truth_dice=row["truth_dice"],
        )
        for row in rows
    ]
    choice = choose_fastest(candidates, twin["options"]["tolerance"])
    assert (choice.most_accurate, choice.fastest) == (twin["most_accurate"], twin["fastest_at_equal_trust"])
    assert (list(choice.overtakers), list(choice.tied)) == (twin["overtakers"], twin["tied"])
    for row, standing in zip(rows, choice.standings, strict=True):
        assert (row["standing"]["kind"], row["standing"]["reason"]) == (standing.kind, standing.reason)
        assert len(row["squares"]) == row["n_squares"] > 1
    chosen, best = rows[choice.fastest], rows[choice.most_accurate]
    trusted = [row for row in rows if row["standing"]["trusted"]]
    assert best["score"] == max(row["score"] for row in rows)
    assert chosen["ns_per_pixel"]["replicate"]["median"] == min(
        row["ns_per_pixel"]["replicate"]["median"] for row in trusted
    )


def test_what_a_reader_must_know_is_said(made):
    """Each remark appears with its cause and not without it."""
    _, twin = made
    bare = copy.deepcopy(twin)
    bare |= {"overtakers": [], "tied": [], "engines_equal": False, "most_accurate": 0, "fastest_at_equal_trust": 0}
    bare["session"]["engines"] = []
    bare["options"]["rounds"] = 3
    for row in bare["rows"]:
        row |= {"warnings": [], "compiled": True}
        row["standing"] |= {"kind": EQUAL, "trusted": True}
        row["codecs"]["bit-depth"]["verdict"] = row["codecs"]["jpeg-10"]["verdict"] = "tolerable"
        row["ns_per_pixel"]["replicate"]["median"] = 100.0
    assert remarks(bare) == []

    def said(change):
        changed = copy.deepcopy(bare)
        change(changed)
        (text,) = remarks(changed)
        return text

    def faster(changed):
        changed["rows"][2]["ns_per_pixel"]["replicate"]["median"] = 50.0
        changed["rows"][2]["standing"] |= {"kind": UNDECIDED_VERDICT, "trusted": False}

    plain = "plain-s1_2-ilastik-t8-uint8"
    assert said(lambda t: t.update(overtakers=[2])) == f"too close to call: in some turn {plain} on cpu was faster"
    assert "--rounds 2 gives too few turns" in said(lambda t: t["options"].update(rounds=2))
    assert f"undecided verdicts alone after 3 replicates: {plain} on cpu; more of them (-n)" in said(faster)
    assert "leaves jpeg-10 undecided" in said(lambda t: t["rows"][0]["codecs"]["jpeg-10"].update(verdict="undecided"))
    assert "2 pipelines share the best score" in said(lambda t: t.update(tied=["a", "b"]))
    assert "devices cpu and numba are one engine" in said(
        lambda t: t["session"].update(engines=twin["session"]["engines"])
    )
    assert f"the forest of {plain} is not compiled" in said(lambda t: t["rows"][2].update(compiled=False))
    assert "the same to the bit" in said(lambda t: t.update(engines_equal=True))
    assert said(lambda t: t["rows"][0].update(warnings=["shifted"])).startswith("warning: shifted (weka-")
    assert said(lambda t: t["rows"][2].update(warnings=["a", "b"])).endswith("alone, on the page: 2")


def test_page_of_every_standing(made):
    """A pipeline without objects, and one of every standing; warnings and their pipelines are on the page."""
    folder, twin = made
    assert {*TRUST_COLOURS, NO_SCORE} == {
        EQUAL, UNDECIDED_VERDICT, OTHER_VERDICT, UNCLEAR, LESS_ACCURATE, NO_OBJECT, NO_SCORE,
    }  # fmt: skip
    odd = copy.deepcopy(twin)
    for row, kind in zip(odd["rows"], (OTHER_VERDICT, UNDECIDED_VERDICT, UNCLEAR, NO_OBJECT), strict=True):
        row["standing"] |= {"kind": kind, "trusted": False, "reason": f"because {kind}"}
        row["warnings"] = [f"warned of {kind}"]
        row["threads"] = None
    none = {"value": None, "low": None, "high": None}
    for codec in odd["rows"][3]["codecs"].values():
        codec |= {"worst": None, "reasons": [], "N": {"paper": none, "expected": none}}
    odd["rows"][3] |= {"objects": 0, "relative_uncertainty": dict.fromkeys(odd["rows"][3]["relative_uncertainty"])}
    text = render_bench(odd, ["remarkable"])
    assert "remarkable" in text
    for row in odd["rows"]:
        assert row["standing"]["reason"] in text
        assert f"{row['warnings'][0]} <b>({row['pipeline']})</b>" in text
        assert row["standing"]["kind"] in text
    assert "one thread" not in text
    assert "one thread" in (folder / "index.html").read_text(encoding="utf-8")


def test_words_and_json_on_the_terminal(tmp_path, capsys):
    words = ["bench", *SMALL, *PLAIN, "--progress", "plain", "-o", str(tmp_path / "out")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "simulating the scene" in err.splitlines()[0]
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
    assert main(["bench", *SMALL, *PLAIN, "numpy", "-o", str(tmp_path / "out")]) == 1
    assert "devices cpu and numpy measured different objects" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_page")
def test_a_pipeline_that_one_engine_refuses_runs_on_the_other(tmp_path, monkeypatch, capsys):
    def refusing(trained, field, backend, seed):
        if backend.name == "numpy":
            raise ConfigError("feature set 'plain' is not made here", "use another engine")
        return make_chain(trained, field, backend, seed)

    monkeypatch.setattr("compdistort.pipeline.bench.contenders.make_chain", refusing)
    assert main(["bench", *SMALL, *PLAIN, "numpy", "-o", str(tmp_path / "out")]) == 0
    assert "refused: plain-s1_2-ilastik-t8-float on numpy: feature set" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    assert [row["device"] for row in found["rows"]] == ["cpu"]
    assert not found["engines_equal"]


def _out_of_memory_on_codes(chain, planes):
    if chain.classifier.forest.bins is not None:
        raise DeviceMemoryError("the device is full", "use a smaller image")
    return VOTING(chain, planes)


VOTING = timing._voting


@pytest.mark.usefixtures("no_page")
def test_what_has_no_memory_in_the_first_turn_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "_voting", _out_of_memory_on_codes)
    words = ["bench", *SMALL, *PLAIN[:4], *PLAIN[6:], "--json"]
    assert main([*words, "--bins", "none", "uint8", "-o", str(tmp_path / "some")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["bins"] for row in found["rows"]] == ["none"]
    refused = {"pipeline": "plain-s1_2-ilastik-t8-uint8", "device": "cpu"}
    assert found["refused"] == [{**refused, "reason": "the device is full; use a smaller image"}]
    assert main([*words, "--bins", "uint8", "-o", str(tmp_path / "none")]) == 4
    assert f"for this image: {refused['pipeline']}: the device is full; use" in capsys.readouterr().err


@pytest.mark.usefixtures("no_page")
def test_what_cannot_fit_is_refused_before_it_is_tried(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("compdistort.pipeline.environment.memory_bytes", lambda: 1 << 20)
    assert main(["bench", *SMALL, *PLAIN, "--set", "weka", "--json", "-o", str(tmp_path / "some")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["set"] for row in found["rows"]] == ["plain"]
    assert [each["pipeline"] for each in found["refused"]] == ["weka-s1_2-ilastik-t8-float"]
    monkeypatch.setattr("compdistort.pipeline.environment.memory_bytes", lambda: 1 << 19)
    assert main(["bench", *SMALL, *PLAIN, "-o", str(tmp_path / "none")]) == 4
    said = "no pipeline can be made for this image: plain-s1_2-ilastik-t8-float: not enough memory (3 feature stacks"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            InputError("odd pixels"),
            3,
            "no pipeline can be made for this image: plain-s1_2-ilastik-t8-float: odd pixels",
        ),
        (CodecRangeError("codec 'x' holds 8 bits"), 3, "compdistort: codec 'x' holds 8 bits"),
        (MemoryError(), 4, "plain-s1_2-ilastik-t8-float: not enough memory; use a smaller crop"),
    ],
)
def test_refusals_keep_their_exit_code(tmp_path, monkeypatch, capsys, error, code, said):
    def refusing(*_args):
        raise error

    monkeypatch.setattr("compdistort.pipeline.bench.contenders.make_chain", refusing)
    assert main(["bench", *SMALL, *PLAIN, "-o", str(tmp_path / "out")]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_objects_nothing_is_chosen(tmp_path, capsys):
    assert main(["bench", *SMALL, *PLAIN, "--min-size", "9000", "-o", str(tmp_path / "out")]) == 3
    assert "no pipeline finds an object" in capsys.readouterr().err


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Write an image, its annotations and its sensor; return their folder."""
    folder = tmp_path_factory.mktemp("own")
    camera = synthetic.SimulatedCamera()
    scene = synthetic.scene("spheres", 128, 3)
    labels = synthetic.annotations(scene, 3).train
    write_tiff(folder / "raw.tif", synthetic.expose(scene, camera, 3))
    write_tiff(folder / "labels.tif", labels)
    write_tiff(folder / "one_class.tif", np.minimum(labels, 1))
    for name, value in (("background.tif", 1), ("objects.tif", 2), ("foreign.tif", 3)):
        write_tiff(folder / name, np.full_like(labels, value))
    write_tiff(folder / "same.tif", labels)
    save_sensor(folder / "sensor.json", camera.sensor())
    return folder


@pytest.mark.usefixtures("no_page")
def test_own_image(own, tmp_path, capsys):
    """An image with annotations and a sensor file; squares of the annotations are held out."""
    words = ["bench", str(own / "raw.tif"), "--labels", str(own / "labels.tif"), *SMALL[2:], *PLAIN]
    words += ["--sensor", str(own / "sensor.json"), "--leaves", "0", "4", "--min-size", "20", "--json"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    grown, pruned = found["rows"]
    assert (grown["pipeline"], pruned["pipeline"]) == ("plain-s1_2-ilastik-t8-float", "plain-s1_2-ilastik-t8-l4-float")
    assert pruned["nodes"] <= 8 * 7
    assert "squares" in grown["held_out"]["source"]
    assert grown["held_out"]["n_pixels"] == pruned["held_out"]["n_pixels"]
    assert found["image"]["source"] == "raw.tif"
    assert found["image"]["inputs"] == {
        role: {"name": name, "sha256": sha256_file(own / name)}
        for role, name in (("image", "raw.tif"), ("labels", "labels.tif"), ("sensor", "sensor.json"))
    }
    assert str(own) not in json.dumps({**found, "session": None})
    assert not found["engines_equal"]
    assert grown["truth_dice"] is None


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"labels": "one_class.tif"}, "one_class.tif: only one class is annotated"),
        ({"held_out": "background.tif"}, "background.tif: held-out annotations: no pixel of the foreground beyond"),
        ({"held_out": "objects.tif"}, "objects.tif: held-out annotations: no pixel of the background beyond"),
        ({"held_out": "foreign.tif"}, "foreign.tif: held-out annotations: hold the value 3"),
        ({"held_out": "same.tif"}, "same.tif: held-out annotations: no pixel of them is free"),
        ({"sensor": "framed.json"}, "framed.json: the sensor belongs to a frame of (64, 64)"),
    ],
)
def test_an_error_names_the_file_that_is_wrong(own, files, said):
    framed = replace(synthetic.SimulatedCamera().sensor(), frame_shape=(64, 64))
    save_sensor(own / "framed.json", framed)
    given = {"image": "raw.tif", "labels": "labels.tif", "sensor": "sensor.json", **files}
    paths = {role: str(own / name) if role == "sensor" else own / name for role, name in given.items()}
    with pytest.raises(InputError, match=re.escape(said)):
        open_field(BenchOptions(**paths))


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
        (
            ["raw.tif", "--labels", "a.tif", "--sensor", "estimate", "--scene", "spheres"],
            2,
            "--scene spheres belongs to",
        ),
        (["-o", "."], 2, "a benchmark makes a folder of its own"),
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
    size = () if "--labels" in words or "raw.tif" in words else SMALL[:2]
    assert main(["bench", *words, *size, *SMALL[2:]]) == code
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["stack.tif"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"mine.txt": "precious"}, "no bench.json of one"),
        ({"bench.json": '{"format": "of another program", "rows": [], "refused": []}'}, "no bench.json of one"),
        ({"bench.json": "[]"}, "no bench.json of one"),
        ({"bench.json": "OURS", "mine.txt": "precious"}, "it holds mine.txt"),
        ({"bench.json": "OURS", "models/mine.npz": "precious"}, "it holds models/mine.npz"),
    ],
)
def test_a_folder_that_is_no_benchmark_is_left_alone(tmp_path, capsys, files, said):
    ours = json.dumps({"format": "compdistort-bench", "rows": [{"pipeline": "plain"}], "refused": []})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ours if text == "OURS" else text)
    assert main(["bench", *SMALL, "--force", "-o", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "exists and is no benchmark" in err
    assert said in err
    assert all((tmp_path / name).exists() for name in files)


def test_names_tell_pipelines_apart():
    """Sigmas that differ in their last bit are two pipelines."""
    near = [Pipeline(set_name="plain", sigmas=(sigma,)) for sigma in (1.0, np.nextafter(1.0, 2), 1.0000001)]
    assert near[0].name == "plain-s1-weka-float"
    assert len({each.name for each in near}) == 3
    assert len(BenchOptions(sets=("plain",), sigmas=("1", "1.0000001", "1.0"), bins=("none",)).grid()) == 2


def test_words_of_codecs_and_sigmas():
    assert parse_codec("jpeg:ratio=10,search=x") == {"id": "jpeg", "ratio": 10, "search": "x"}
    assert parse_codec("jpeg:2.5") == {"id": "jpeg", "ratio": 2.5}
    assert parse_sigmas("0.7,1") == (0.7, 1.0)
    with pytest.raises(ConfigError):
        parse_codec("jpeg:=3")


# ---- the rule -------------------------------------------------------------------------------------------------------

SQUARES = np.array([[90.0, 100, 100], [95, 100, 100], [92, 100, 100], [93, 100, 100]])


def _candidate(score, ns, verdict="tolerable", squares=None, **more):
    turns = ns if isinstance(ns, tuple) else (ns,)
    given = {"pipeline": f"{score} {verdict} {ns}", "n_objects": 5, **more}
    return Candidate(score=score, squares=squares, turns=turns, verdicts={"jpeg": verdict}, **given)


def test_fast_but_inaccurate_is_not_chosen():
    choice = choose_fastest([_candidate(0.95, 300), _candidate(0.80, 10), _candidate(0.948, 200)], 0.005)
    assert (choice.most_accurate, choice.fastest) == (0, 2)
    assert choice.standings[1].reason == "score lower by 0.1500"
    # Negative control: with a tolerance as wide as the difference it would be.
    assert choose_fastest([_candidate(0.95, 300), _candidate(0.80, 10)], 0.2).fastest == 1


def test_fast_with_another_verdict_is_not_chosen():
    rows = [_candidate(0.95, 300), _candidate(0.95, 10, "intolerable"), _candidate(0.95, 250)]
    rows.append(_candidate(0.95, 20, "undecided"))
    choice = choose_fastest(rows, 0.005)
    assert choice.fastest == 2
    contradicting, unresolved = choice.standings[1], choice.standings[3]
    assert contradicting.reason == "jpeg intolerable here, tolerable there"
    assert unresolved.reason == "jpeg undecided here, tolerable there"
    assert (contradicting.kind, unresolved.kind) == (OTHER_VERDICT, UNDECIDED_VERDICT)
    assert contradicting.unresolved == unresolved.contradicting == ()
    # The other way round: what the most accurate one leaves undecided is not contradicted either.
    decided = choose_fastest([_candidate(0.95, 300, "undecided"), _candidate(0.949, 10)], 0.005).standings[1]
    assert decided.reason == "jpeg tolerable here, undecided there"
    assert (decided.kind, decided.contradicting) == (UNDECIDED_VERDICT, ())


def test_most_accurate_of_equal_scores_is_the_one_others_agree_with():
    rows = [_candidate(0.95, 10, "undecided"), _candidate(0.95, 300), _candidate(0.95, 250)]
    choice = choose_fastest(rows, 0.005)
    assert (choice.most_accurate, choice.fastest) == (1, 2)
    assert choose_fastest(rows[:2], 0.005).most_accurate == 0


def test_an_engine_more_is_no_voice_more():
    twice = [_candidate(0.95, ns, "undecided", pipeline="plain") for ns in (10, 20, 30)]
    others = [_candidate(0.95, 300), _candidate(0.95, 310)]
    choice = choose_fastest([*twice, *others], 0.005)
    assert (choice.most_accurate, choice.tied) == (3, ())
    # Negative control: three pipelines would outvote two.
    voices = [replace(each, pipeline=f"plain {k}") for k, each in enumerate(twice)]
    assert choose_fastest([*voices, *others], 0.005).most_accurate == 0


def test_a_tie_of_verdicts_is_said_or_broken_by_the_truth():
    rows = [_candidate(0.95, 100), _candidate(0.95, 300, "intolerable"), _candidate(0.9, 10)]
    for order in (rows, [rows[1], rows[0], rows[2]]):
        choice = choose_fastest(order, 0.005)
        assert choice.most_accurate == 0  # the order decides
        assert choice.tied == (order[0].pipeline, order[1].pipeline)
        known = [replace(each, truth_dice=0.99 if each is rows[1] else 0.98) for each in order]
        choice = choose_fastest(known, 0.005)
        assert (known[choice.most_accurate].pipeline, choice.tied) == (rows[1].pipeline, ())
    level = [replace(each, truth_dice=0.98) for each in rows]
    assert choose_fastest(level, 0.005).tied == (rows[0].pipeline, rows[1].pipeline)
    assert choose_fastest([rows[0], rows[0], rows[2]], 0.005).tied == ()


def test_a_standard_error_buys_no_trust():
    """The same mean difference beyond the tolerance, spread over squares or the same in each of them."""
    uneven = SQUARES - np.array([[10.0, 0, 0], [-2, 0, 0], [0, 0, 0], [0, 0, 0]])
    even = SQUARES - np.array([[2.0, 0, 0]] * 4)
    score = [2 * each[:, 0].sum() / each[:, 1:].sum() for each in (SQUARES, uneven, even)]
    rows = [
        _candidate(s, ns, squares=q) for s, ns, q in zip(score, (300, 10, 20), (SQUARES, uneven, even), strict=True)
    ]
    assert score[1] == score[2]
    choice = choose_fastest(rows, 0.005)
    assert choice.fastest == 0
    assert [standing.kind for standing in choice.standings] == [EQUAL, UNCLEAR, LESS_ACCURATE]
    error = choice.standings[1].standard_error
    assert error > score[0] - score[1]
    assert choice.standings[1].reason == f"score lower by 0.0200 ± {error:.4f}: these annotations cannot tell"
    assert choice.standings[2].reason.startswith("score lower by 0.0200 ± ")
    assert not choice.standings[2].reason.endswith("tell")
    # Negative control: within the tolerance both are trusted.
    assert choose_fastest(rows, 0.03).fastest == 1


def test_a_pipeline_without_objects_is_never_trusted():
    rows = [_candidate(0.99, 10, n_objects=0), _candidate(0.95, 300), _candidate(0.95, 20, n_objects=0)]
    choice = choose_fastest(rows, 0.005)
    assert (choice.most_accurate, choice.fastest) == (1, 1)
    assert [choice.standings[k].reason for k in (0, 2)] == ["no object", "no object"]
    with pytest.raises(InputError, match="no pipeline finds an object"):
        choose_fastest([rows[0], rows[2]], 0.005)


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


def test_a_race_is_close_where_any_turn_goes_the_other_way():
    winner, slower = _candidate(0.95, (300, 310, 320)), _candidate(0.95, (301, 311, 321))
    untrusted = _candidate(0.5, (1, 1, 1))
    assert choose_fastest([winner, slower, untrusted], 0.005).overtakers == ()
    once = _candidate(0.95, (400, 309, 400))
    choice = choose_fastest([once, winner, slower, untrusted], 0.005)
    assert (choice.fastest, choice.overtakers) == (1, (0,))


# ---- training and clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bins", "given"), [("none", True), ("uint8", False)])
def test_training_is_that_of_train(bins, given):
    """The same forest, held-out quality and out-of-bag error as `train_classifier`, to the bit."""
    field = open_field(BenchOptions(size=64))
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


@pytest.mark.parametrize("bins", ["none", "uint8"])
def test_the_timed_votes_are_those_of_the_twin(bins):
    """Of an image that is no multiple of the network's unit."""
    field = open_field(BenchOptions(size=70))
    pipeline = Pipeline(set_name="plain", sigmas=(1.0, 2.0), preset="ilastik", trees=8, bins=bins)
    trained = train_pipeline(pipeline, field, 5, get_backend("cpu"))
    masks = []
    for device in ("cpu", "numpy"):
        chain = make_chain(trained, field, get_backend(device, threads=1), 5)
        planes = chain.backend.feature_stack(chain.on_device, chain.bank)
        masks.append(timing._voting(chain, planes)())
    fast = unpacked_bits(masks[0])[: field.raw.size].reshape(field.raw.shape).astype(bool)
    assert 0 < fast.sum() < fast.size
    assert np.array_equal(fast, masks[1])


def test_a_stop_ends_the_turns(monkeypatch):
    """Asked for in the second turn under the clock, after the warm-up of both."""
    stop, turns = StopFlag(), []

    class Chain:
        raw = np.zeros(1)

    def turn(_chain, number, _times, *, keep):
        turns.append((number, keep))
        if len(turns) == 3:
            stop.set("SIGTERM")

    monkeypatch.setattr(timing, "_turn", turn)
    with pytest.raises(InterruptedStudyError):
        time_in_turns([Chain(), Chain()], 2, stop)
    assert turns == [(0, False), (0, False), (1, True)]


def test_what_ran_out_of_memory_holds_none(monkeypatch):
    """Neither the frames of the error nor those of its cause are kept; the chains after it go on."""
    held = []

    class Chain:
        raw = np.zeros(1)

    def allocate():
        planes = Chain()
        held.append(weakref.ref(planes))
        raise MemoryError("pool")

    def turn(chain, _number, times, *, keep):
        if chain is full:
            try:
                allocate()
            except MemoryError as error:
                raise DeviceMemoryError("the device is full") from error
        times.stack_bytes += keep

    monkeypatch.setattr(timing, "_turn", turn)
    full = Chain()
    refused, timed = time_in_turns([full, Chain()], 2, StopFlag())
    gc.collect()
    assert isinstance(refused, DeviceMemoryError)
    assert (len(held), held[0]()) == (1, None)
    assert timed.stack_bytes == 2
