"""The benchmark of the CPU engine: it runs, refuses what is wrong, judges by its floors; the README tells its JSON."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
sys.path.append(str(BENCH))

import codec_report  # noqa: E402
import cpu  # noqa: E402
import cpu_stages  # noqa: E402
import volume_scale  # noqa: E402
from cpu_engine import Ours, digest  # noqa: E402 - found by the line above
from cpu_forest_peers import lightgbm_text  # noqa: E402
from cpu_gates import (  # noqa: E402
    GateError,
    gate_chain,
    gate_features,
    gate_forecast,
    gate_forest,
    gate_noise,
    gate_table,
)
from cpu_laps import in_pieces  # noqa: E402
from cpu_peers import NumpyChain  # noqa: E402
from cpu_report import (  # noqa: E402
    MISSED,
    NOT_MEASURED,
    PASSED,
    TARGETS,
    UNDISTURBED,
    Bench,
    document,
    is_met,
    joined,
    markdown,
    part,
)
from cpu_scenes import HARD, PLANE, SENSOR, enlarged, forest_size, make_scene  # noqa: E402
from cpu_turns import Contender, Pieces, Times, Worker, WorkerError, in_turns  # noqa: E402
from readme_block import block_of, newest, replace_block  # noqa: E402

from compdistort.backend.compiled.blocks import FeatureBlocks  # noqa: E402
from compdistort.features import FEATURE_SETS  # noqa: E402
from compdistort.replicate import noise_tables  # noqa: E402
from compdistort.sensor.model import SensorModel  # noqa: E402

ABOUT = {
    "date": "2026-01-02T03:04:05+00:00",
    "mode": "full",
    "machine": {"processor": "P", "cores": 2, "vectors": "AVX2", "versions": {"numpy": "2", "scipy": "1"}},
}
ABOUT["machine"]["versions"]["scikit-learn"] = "1.9"


@pytest.fixture(scope="module")
def ours():
    return Ours(threads=1)


@pytest.fixture(scope="module")
def small(ours):
    """A small hard volume and a float forest of it."""
    scene = make_scene(HARD, 40, trees=6)
    return scene, scene.grow(ours.backend)


def _smoke(tmp_path, *stages):
    """Return what a smoke run of some stages, or of all, writes."""
    path = tmp_path / "smoke.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(BENCH / "cpu.py"), "--smoke", "--output", str(path)]
    command += ["--only", *stages] if stages else []
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=900)
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(path.read_text())
    assert joined(found["parts"], "failures") == []
    return found, path


@pytest.mark.slow
def test_smoke_of_some_stages_keeps_no_time(tmp_path):
    found, path = _smoke(tmp_path, "noise", "table")
    assert found["mode"] == "smoke, 2 of 12 stages"
    assert {row["target"] for row in joined(found["parts"], "rows")} - {""} < set(TARGETS)
    assert "_ns" not in path.read_text()


@pytest.mark.slow
def test_smoke_runs_every_stage_and_keeps_no_time(tmp_path):
    found, path = _smoke(tmp_path)
    assert {row["target"] for row in joined(found["parts"], "rows")} - {""} == set(TARGETS)
    compared = [gate for gate in joined(found["parts"], "identity").values() if "differences" in gate]
    assert len(compared) >= 13
    assert all(gate["differences"] == 0 and 0 < gate["foreground"] < 1 for gate in compared)
    assert "_ns" not in path.read_text()
    assert "compile_seconds" not in json.dumps(joined(found["parts"], "forests"))


@pytest.mark.parametrize(
    ("kind", "tables"),
    [("cpu", markdown), ("volume", volume_scale.markdown), ("codecs", codec_report.markdown)],
)
def test_readme_tells_the_newest_result(kind, tables):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = newest(BENCH / "results", kind)
    assert text.count(f"<!-- bench:{kind} -->") == text.count(f"<!-- /bench:{kind} -->") == 1
    if found is None:
        assert f"<!-- bench:{kind} -->\n<!-- /bench:{kind} -->" in text
    else:
        assert replace_block(text, kind, block_of(*found, tables)) == text


def test_committed_results_prove_what_they_claim():
    for path in (BENCH / "results").glob("cpu_*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["mode"] == "full"
        chains = [gate for name, gate in joined(found["parts"], "identity").items() if "differences" in gate]
        assert all(gate["differences"] == 0 and gate["pixels"] >= 1 << 20 for gate in chains)
        assert all(row["ours"]["rounds"] >= 5 for row in joined(found["parts"], "rows"))


def _found(bench):
    """Return the document of two stages, the second of them empty."""
    return document({"one": part(bench, {}), "two": part(Bench(), {})}, ABOUT)


def _times(units, rounds, *calls):
    times = Times(units, rounds=rounds)
    for pieces in calls:
        times.add(np.array(pieces))
    return times


def _bench(ratio, disturbed=False):
    """Return rows of the ratios that `ratio` gives, of calls of two pieces; `disturbed`: one of them is slow each time.

    A call of ours takes 2 s, undisturbed 1 s where calls are disturbed.
    """
    bench = Bench(say=lambda _: None)
    for target in TARGETS:
        calls = [[0.5, 1.5], [1.5, 0.5]] if disturbed else [[1.0, 1.0]]
        ours = _times(1e6, 9, *calls * 6)
        peer = _times(1e6, 3, *[[2 * ratio(target)]] * 3)
        bench.compare(f"row {target}", ours, peer, "peer", target=target)
    return bench


def test_floors_judge_the_ratio_of_medians():
    met = _found(_bench(lambda target: TARGETS[target].floor))
    assert is_met(met)
    assert met["parts"]["one"]["rows"][0]["ratio"] == TARGETS["volume float"].floor
    assert {met["parts"]["one"]["rows"][0]["ours"][name] for name in ("median_ns", "min_ns", "undisturbed_ns")} == {2e3}
    missed = _found(_bench(lambda target: TARGETS[target].floor * (0.99 if target == "noise" else 1)))
    assert not is_met(missed)
    assert missed["verdicts"][TARGETS["noise"].words] == MISSED
    assert missed["verdicts"][TARGETS["table"].words] == PASSED
    assert "3 MISSED" in markdown(missed)


def test_floors_that_medians_miss_are_reached_undisturbed_and_the_table_says_so():
    low = lambda target: TARGETS[target].floor * (0.6 if target == "noise" else 1)  # noqa: E731
    found = _found(_bench(low, disturbed=True))
    assert is_met(found)
    assert found["verdicts"][TARGETS["noise"].words] == UNDISTURBED
    assert "| 1.80 (3.60) | 3 passed undisturbed |" in markdown(found)
    assert not is_met(_found(_bench(low)))  # calls as long, but none of their pieces was ever faster


def test_rounds_go_on_until_undisturbed_times_settle_or_patience_ends():
    slow_until = {"a": 9, "b": 5}
    calls = []

    def call(name):
        def run(number):
            calls.append(name)
            return Pieces(np.array([0.1, max(0.1, 1.0 - 0.1 * min(number, slow_until[name]))]))

        return run

    pair = [Contender(name, call(name), 1.0) for name in "ab"]
    alone = Contender("c", call("b"), 1.0, settles=False)
    found = in_turns([*pair, alone], 2, repeat=False, settle=True)
    # Further rounds of about 3 s: 2 calls while they take more than a second, up to 15 of 0.2 s.
    assert [found[name].undisturbed for name in "ab"] == pytest.approx([0.2e9, 0.6e9])
    assert all(found[name].settled and len(found[name].seconds) > slow_until[name] + 7 for name in "ab")
    assert len(found["c"].seconds) == 2
    assert calls[:6] == ["a", "b", "b"] * 2
    assert len(in_turns(pair, 2, repeat=False)["a"].seconds) == 2
    assert len(in_turns(pair, 2, repeat=False, settle=True, patience=0.0)["a"].seconds) == 2


def test_slow_improvement_is_not_settled():
    times = _times(1.0, 1, *[[1.0 - 0.002 * k] for k in range(20)])
    assert not times.settled  # every call lowers it a little, eight of them by 1.6 %
    assert _times(1.0, 1, *[[1.0 - 0.0004 * k] for k in range(20)]).settled


def test_undisturbed_times_are_the_fastest_pieces_of_all_calls():
    times = _times(1.0, 1, [1.0, 4.0, 2.0], [3.0, 2.0, 2.0])
    assert (times.undisturbed, times.fastest, times.median) == (5e9, 7e9, 7e9)
    with pytest.raises(ValueError, match="2 pieces, the calls before had 3"):
        times.add(np.array([1.0, 1.0]))


def test_pieces_are_those_of_the_work_and_leave_it_as_it_is(ours, small):
    scene, grown = small
    work = ours.replicate(scene, grown)
    pieces = [in_pieces(work)(number).seconds for number in range(2)]
    n_blocks = -(-scene.raw.shape[1] * 48 // 4096) * scene.raw.shape[0]
    assert len(pieces[0]) == len(pieces[1]) >= 2 * n_blocks  # features and votes of every block, and what it reads
    assert all((piece > 0).all() for piece in pieces)
    before = digest(work(0))
    passed = in_pieces(lambda number: tables.append(digest(work(number))))
    tables = []
    passed(0)
    assert tables == [before]
    assert not hasattr(FeatureBlocks.run, "__wrapped__")  # nothing stays wrapped
    chain = NumpyChain(scene, "ilastik")
    found = chain(0).seconds
    n_filters = sum(1 + (sigma > 1) for sigma in FEATURE_SETS["ilastik"])
    assert len(found) > grown.estimator.n_estimators + 3 * n_filters  # every tree, and every pass along an axis
    assert found.sum() == pytest.approx(sum(seconds[-1] for seconds in chain.stages.values()))


def test_a_call_that_raises_leaves_nothing_wrapped():
    with pytest.raises(ZeroDivisionError):
        in_pieces(lambda number: 1 / number)(0)
    assert not hasattr(FeatureBlocks.run, "__wrapped__")


def test_what_was_not_measured_is_not_met():
    bench = _bench(lambda target: TARGETS[target].floor)
    bench.rows = [row for row in bench.rows if row.target != "threads"]
    found = _found(bench)
    assert found["verdicts"][TARGETS["threads"].words] == NOT_MEASURED
    assert not is_met(found)


def test_a_wrong_result_ends_its_stage_and_is_told():
    bench = _bench(lambda target: TARGETS[target].floor)
    with bench.stage("features"):
        raise GateError("one pixel differs")
    found = _found(bench)
    assert joined(found["parts"], "failures") == ["features: FAILED: one pixel differs"]
    assert not is_met(found)


def _cpu_main(capsys, *arguments):
    try:
        code = cpu.main([str(each) for each in arguments])
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().err


def test_stages_of_an_earlier_result_are_taken_over(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cpu_stages, "STAGES", {name: cpu_stages.STAGES[name] for name in ("noise", "table")})
    first, both = tmp_path / "first.json", tmp_path / "both.json"
    assert _cpu_main(capsys, "--smoke", "--only", "table", "--output", first)[0] == 0
    assert _cpu_main(capsys, "--smoke", "--add", first, "--output", both)[0] == 0
    whole, half = json.loads(both.read_text()), json.loads(first.read_text())
    assert list(whole["parts"]) == ["noise", "table"]
    assert whole["parts"]["table"] == half["parts"]["table"]
    assert (half["mode"], whole["mode"]) == ("smoke, 1 of 2 stages", "smoke")
    assert "has the stage table of another file" in _cpu_main(capsys, "--smoke", "--add", both, first)[1]
    half["machine"]["versions"]["numpy"] = "1.0"
    half["parts"] = {}
    first.write_text(json.dumps(half))
    for others in ((), (both,)):  # stages are to be run here; none is
        code, said = _cpu_main(capsys, "--smoke", "--add", *others, first)
        assert code == 2
        assert "its versions is" in said
    half["parts"] = whole["parts"]
    first.write_text(json.dumps(half))
    assert _cpu_main(capsys, "--smoke", "--add", first, "--output", both)[0] == 0  # all of another machine
    assert json.loads(both.read_text())["machine"]["versions"]["numpy"] == "1.0"
    for wrong in ("-1", "abc"):
        code, said = _cpu_main(capsys, "--smoke", "--patience", wrong)
        assert (code, f"{wrong} is not a number of seconds" in said) == (2, True)
    first.write_text("no result")
    code, said = _cpu_main(capsys, "--smoke", "--add", first)
    assert (code, "is no result of this benchmark" in said) == (2, True)


def test_a_full_result_is_not_lost_to_a_run_that_is_broken_off(tmp_path, monkeypatch):
    def noise(_stages, name):
        if name == "table":
            raise KeyboardInterrupt
        return part(Bench(say=lambda _: None), {"date": "2026-01-02"})

    monkeypatch.setattr(cpu_stages, "STAGES", {"noise": None, "table": None})
    monkeypatch.setattr(cpu, "RESULTS", tmp_path)
    monkeypatch.setattr(cpu, "_stage", noise)
    cache = os.environ.get("COMPDISTORT_CACHE")
    with pytest.raises(KeyboardInterrupt):
        cpu.main([])
    assert os.environ.get("COMPDISTORT_CACHE") == cache
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    monkeypatch.setattr(cpu, "_stage", lambda *_: part(Bench(say=lambda _: None), {"date": "2026-01-03"}))
    monkeypatch.setattr(cpu, "write_readme", lambda *_: 0)
    assert cpu.main(["--add", str(left)]) == 1  # whole, and no floor was measured
    (whole,) = tmp_path.iterdir()
    assert whole.suffix == ".json"
    assert json.loads(whole.read_text())["date"] == "2026-01-03"


def test_slow_compiling_is_missed():
    bench = _bench(lambda target: TARGETS[target].floor)
    size = {"trees": 100, "inner_nodes": 9, "distinct_thresholds": 9, "visits_per_pixel": 9}
    bench.compiled("hard, uint8", 11.0, size, kind="uint8", limited=True)
    bench.compiled("hard, float", 11.0, size, kind="none", limited=True)
    again = Bench(say=lambda _: None)
    again.compiled("hard, uint8", 9.0, size, kind="uint8", limited=True)
    twice = document({"one": part(bench, {}), "two": part(again, {})}, ABOUT)["verdicts"]
    assert twice["compiling hard, uint8"] == MISSED
    verdicts = _found(bench)["verdicts"]
    assert (verdicts["compiling hard, uint8"], verdicts["compiling hard, float"]) == (MISSED, PASSED)


def test_newest_result_is_the_full_one_with_the_latest_date(tmp_path):
    for name, date, mode in (("a", "2026-03", "full"), ("b", "2026-01", "full"), ("c", "2026-09", "quick")):
        (tmp_path / f"cpu_{name}.json").write_text(json.dumps({"date": date, "mode": mode}))
    assert newest(tmp_path, "cpu")[0].name == "cpu_a.json"


def test_contenders_take_turns():
    order = []
    contenders = [Contender(name, lambda k, name=name: order.append((name, k)) or 1.0, 10.0) for name in "ab"]
    found = in_turns(contenders, 3)
    assert order == [(name, k) for k in range(4) for name in "ab"]  # the first pair without the clock
    assert (found["a"].seconds, found["a"].rounds) == ([1.0] * 3, 3)
    assert found["a"].median == found["a"].fastest == 1.0 / 10 * 1e9


def test_an_array_that_a_call_returns_is_no_time():
    found = in_turns([Contender("a", lambda _: np.full(9, 1e6), 1.0)], 2, repeat=False)["a"]
    assert len(found.pieces) == 1
    assert found.median < 1e9


def test_short_calls_are_repeated_within_a_round():
    found = in_turns([Contender("short", lambda _: 0.01, 1.0)], 2)
    assert (found["short"].calls_a_round, found["short"].rounds) == (50, 2)
    assert found["short"].seconds == pytest.approx([0.01] * 100)


def test_a_worker_that_lacks_its_library_says_so():
    with pytest.raises(WorkerError, match="No module named 'no_such_library'"):
        Worker([sys.executable, "-c", "import no_such_library"])


def test_a_worker_answers_question_by_question():
    echo = "print('{}', flush=True)\nfor line in __import__('sys').stdin: print(line, end='', flush=True)"
    with Worker([sys.executable, "-c", echo]) as worker:
        assert [worker.ask(number=k) for k in range(3)] == [{"number": k} for k in range(3)]


def test_gates_let_the_engine_pass(ours, small):
    scene, grown = small
    assert gate_chain(ours, scene, grown)["objects"] > 0
    assert gate_features(ours, scene)["largest_rounding_in_sd"] < 1e-2
    assert gate_noise(ours, scene)["pixels"] == 4 * 40**3


def test_gates_stop_a_forest_with_one_wrong_threshold(ours, small):
    scene, grown = small
    planes = ours.backend.feature_stack(scene.raw, scene.bank()).reshape(grown.flat.n_features, -1)
    root = int(grown.flat.root[0])
    threshold = grown.flat.threshold.copy()
    threshold[root] = np.median(planes[grown.flat.feature[root]])
    wrong = replace(grown, flat=replace(grown.flat, threshold=threshold))
    ours.compile(wrong.flat, scene.rule)
    gate_forest(grown, scene.rule, planes)
    with pytest.raises(GateError, match="scikit-learn"):
        gate_forest(wrong, scene.rule, planes)
    with pytest.raises(GateError, match="scikit-learn"):
        gate_chain(ours, scene, wrong)


def test_gate_of_the_noise_stops_another_gain(ours, small):
    """n = 256,000 draws; a variance 10 % too large is more than ten standard errors away."""
    scene, _ = small
    wrong = scene.of(scene.raw)
    region = SENSOR.regions[0]
    other = SensorModel.scalar(
        offset_dn=region.offset_dn, gain_e_per_dn=region.gain_e_per_dn / 1.1, read_noise_e=region.read_noise_e
    )
    wrong.__dict__["noise"] = noise_tables(other, "poisson-gaussian", scene.raw.shape)
    with pytest.raises(GateError, match=r"variance by \d\d"):
        gate_noise(ours, wrong)


def test_gate_of_the_forecast_stops_what_is_more_than_ten_percent_off():
    row = {"side": 64, "forest": "float", "peak_bytes": 1000}
    gate_forecast([row | {"forecast_bytes": n} for n in (900, 1100)])
    gate_forecast([row | {"peak_bytes": None, "forecast_bytes": 1}])  # a system that does not tell
    for n in (899, 1101):
        with pytest.raises(GateError, match=f"a peak of 1000 bytes, forecast were {n}"):
            gate_forecast([row | {"forecast_bytes": n}])


def test_gate_of_the_table_stops_a_shifted_box(ours):
    from skimage.measure import regionprops_table

    labels = np.zeros((20, 20), np.int32)
    labels[2:5, 3:9], labels[10:12, 4:5] = 1, 2
    table = regionprops_table(labels, properties=("area", "bbox", "centroid"))
    values = ours.backend.measure(labels)
    gate_table(values, table)
    with pytest.raises(GateError, match="BX"):
        gate_table(values, table | {"bbox-1": table["bbox-1"] + 1})


def test_scenes_are_made_from_their_seed():
    first, again = (make_scene(PLANE, 96) for _ in range(2))
    assert np.array_equal(first.raw, again.raw)
    assert np.array_equal(first.places, again.places)
    assert set(np.unique(first.labels)) == {0, 1}
    assert set(np.unique(make_scene(HARD, 40).labels)) == {0, 1, 2}


def test_enlarged_images_are_mirrored_periods():
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert enlarged(image, 7)[0].tolist() == [0, 1, 2, 2, 1, 0, 0]
    assert enlarged(image, 7)[:, 0].tolist() == [0, 3, 3, 0, 0, 3, 3]
    assert enlarged(image, 2).tolist() == [[0, 1], [3, 4]]


def test_visits_are_the_inner_nodes_that_pixels_meet(small, ours):
    scene, grown = small
    planes = ours.backend.feature_stack(scene.raw, scene.bank()).reshape(grown.flat.n_features, -1)
    rows = grown.sees(planes[:, :4000])
    visits = forest_size(grown.estimator, grown.flat, rows)["visits_per_pixel"]
    nodes, _ = grown.estimator.decision_path(rows)
    assert visits == pytest.approx(nodes.sum() / len(rows) - grown.flat.n_trees, abs=0.06)


def test_lightgbm_text_holds_the_same_forest(small, ours):
    scene, grown = small
    planes = ours.backend.feature_stack(scene.raw, scene.bank()).reshape(grown.flat.n_features, -1)
    rows = grown.sees(planes[:, ::997])
    head, *blocks = lightgbm_text(grown.flat, 1).split("\n\n")
    sizes = [int(n) for n in head.split("tree_sizes=")[1].split()]
    assert len(sizes) == grown.flat.n_trees
    trees = [dict(line.split("=") for line in block.split("\n") if "=" in line) for block in blocks if "Tree=" in block]
    found = np.mean([[_descend(tree, row) for row in rows] for tree in map(_arrays, trees)], axis=0)
    assert np.allclose(found, grown.estimator.predict_proba(rows)[:, 1], rtol=0, atol=1e-12)


def _arrays(tree):
    return {key: [float(word) for word in text.split()] for key, text in tree.items()}


def _descend(tree, row):
    node = 0 if tree["split_feature"] else -1
    while node >= 0:
        left = row[int(tree["split_feature"][node])] <= tree["threshold"][node]
        node = int(tree["left_child" if left else "right_child"][node])
    return tree["leaf_value"][-node - 1]


def test_bench_imports_nothing_that_the_foreign_python_lacks():
    """cpu_foreign.py runs where only NumPy is: of our own files it imports none."""
    text = (BENCH / "cpu_foreign.py").read_text()
    assert not any(f"import {path.stem}" in text or f"from {path.stem}" in text for path in BENCH.glob("*.py"))
    assert "compdistort" not in text


def test_turns_have_no_gap():
    """Every contender runs once a round, between the same neighbours: never one block each."""
    order = []
    contenders = [Contender(name, lambda _, name=name: order.append(name) or 1.0, 1.0) for name in "abc"]
    in_turns(contenders, 4)
    assert all(a != b for a, b in pairwise(order))
