"""Codecs that exist for the raw image alone, and programs as codecs: in scores, in studies, resumed, and reported."""

import json
import math
import shutil
import sys

import external_tool
import numpy as np
import pytest
from scipy.stats import chi2
from steps_case import digests, without_pages

from compdistort.cli import main
from compdistort.codecs import BitDepth
from compdistort.errors import ConfigError, InputError, InterruptedStudyError, StoreError
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline.codec_settings import codecs_of, restored_codec
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import resume_study, run_study
from compdistort.pipeline.verdicts import summarise, verdict_table
from compdistort.score.decision import RAW_ALONE, p_of_fixed_difference
from compdistort.score.epsilon import divisor, jackknife
from compdistort.score.quantity import UNDECIDED
from compdistort.score.results import Estimate, QuantityScore
from compdistort.score.spread import linear_spread
from compdistort.score.study import decide
from compdistort.store import StudyStore
from compdistort.study_file import load_config

# ---- the bound of a fixed difference over s ----


@pytest.mark.parametrize(
    ("n", "tolerable", "intolerable"),
    [(10, 0.729, 1.645), (30, 0.825, 1.280), (100, 0.896, 1.134), (1000, 0.965, 1.038)],
)
def test_limits_of_the_chi_square_bound(n, tolerable, intolerable):
    """The table of the design note on statistics, section 4, for a margin of 1 at 5 %."""
    within = [p_of_fixed_difference(tolerable + shift, n - 1, 1.0)[0] for shift in (-0.001, 0.001)]
    beyond = [p_of_fixed_difference(-intolerable + shift, n - 1, 1.0)[1] for shift in (-0.001, 0.001)]
    assert within[0] < 0.05 < within[1]
    assert beyond[0] < 0.05 < beyond[1]
    for score in (0.3, -0.9, 2.0):
        quantile = (n - 1) / score**2
        expected = chi2.sf(quantile, n - 1), chi2.cdf(quantile, n - 1)
        assert p_of_fixed_difference(score, n - 1, 1.0) == pytest.approx(expected)
    assert p_of_fixed_difference(0.0, n - 1, 1.0) == (0.0, 1.0)
    assert np.isnan(p_of_fixed_difference(math.nan, n - 1, 1.0)).all()


def _total(score, by="E1"):
    none = Estimate(value=0.0, low=0.0, high=0.0)
    one = Estimate(value=score.value, low=math.nan, high=math.nan)
    return QuantityScore(
        name="N", kind="total", raw=0.0, compressed=0.0, uncertainty=none, paper=one, paper_spread=math.nan,
        paper_rms=0.0, expected=Estimate(value=math.nan, low=math.nan, high=math.nan), p_tolerable=math.nan,
        p_intolerable=math.nan, decision=UNDECIDED, shift=none, n_objects=1, by=by,
    )  # fmt: skip


def _claims(draws, delta, by="E1"):
    """Return the shares of samples (columns) of which each claim is made, for a difference of so many true sigma."""
    spread = linear_spread(draws)
    decisions = []
    for k in range(draws.shape[1]):
        left = delta / divisor(spread.left_out[:, k], 0.0)
        score = jackknife(delta / spread.value[k], left)
        decisions.append(decide([_total(score, by)], [score], margin=1.0, alpha=0.05)[0].decision)
    return np.mean(np.array(decisions) == "tolerable"), np.mean(np.array(decisions) == "intolerable")


def _of_law(law, n, samples, seed):
    """Return samples (columns) of a law with standard deviation 1."""
    rng = np.random.default_rng(seed)
    if law == "normal":
        return rng.normal(size=(n, samples))
    return rng.standard_t(5, (n, samples)) / math.sqrt(5 / 3)


@pytest.mark.parametrize("n", [10, 50])
def test_neither_claim_errs_too_often_at_the_margin(n):
    """H0: the true difference is one sigma. 1000 normal samples, alpha 0.05, seed 11: 0.05 + 3 standard errors at most.

    The control is a difference just beyond what can be told from the margin: there the claims must be made.
    """
    draws = _of_law("normal", n, 1000, 11)
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    tolerable, intolerable = _claims(draws, 1.0)
    assert tolerable <= bound
    assert intolerable <= bound
    assert _claims(draws, 0.7)[0] > 2 * bound
    assert _claims(draws, 1.5)[1] > 2 * bound


def test_heavy_tails_mislead_less_than_the_chi_square_bound_alone():
    """t with 5 degrees of freedom, n = 50, 2000 samples, seed 11: errors of 2 and 8 %, by chi-square alone 11 and 15 %.

    Bands of three standard errors; no interval of s from 50 values holds its level for such a law.
    """
    draws = _of_law("t5", 50, 2000, 11)
    tolerable, intolerable = _claims(draws, 1.0)
    alone = np.array([p_of_fixed_difference(1 / s, 49, 1.0) for s in draws.std(axis=0, ddof=1)]) < 0.05
    assert tolerable <= 0.05
    assert intolerable <= 0.10
    assert alone[:, 0].mean() > 0.09
    assert alone[:, 1].mean() > 0.13


def test_the_claims_are_made_away_from_the_margin():
    """100 normal replicates, 400 samples, seed 12: 0.7 sigma is called tolerable, 1.4 intolerable."""
    draws = _of_law("normal", 100, 400, 12)
    assert _claims(draws, 0.7)[0] > 0.95
    assert _claims(draws, 1.4)[1] > 0.95
    assert _claims(draws, 0.0)[0] == 1


# ---- studies ----

TOOL = json.dumps([sys.executable, "-I", "-S", external_tool.__file__])[1:-1]
BITS = 4
CODECS = f"""
[[codec]]
id = "bit-depth"
inverse = "shift"
range = "bits({8 + BITS})"
[[codec]]
id = "external"
name = "file"
decoded = "seen/decoded.tif"
compressed = "seen/packed.bin"
[[codec]]
id = "external"
name = "same"
decoded = "raw.tif"
encoded_bytes = 9000
[[codec]]
id = "external"
name = "far"
decoded = "seen/far.tif"
encoded_bytes = 100
"""
PROGRAM = f"""
[[codec]]
id = "external"
name = "program"
format = "npy"
encode = [{TOOL}, "encode", "{{in}}", "{{out}}", "{{level}}"]
decode = [{TOOL}, "decode", "{{in}}", "{{out}}"]
level = {BITS}
integer = true
"""
REPLICATES = 6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with a small simulated study, and what other programs made of its raw image."""
    folder = tmp_path_factory.mktemp("external")
    write_demo_inputs(folder, "spheres", size=96, seed=1, n_replicates=REPLICATES)
    text = (folder / "study.toml").read_text()
    head = text[: text.index("[[codec]]")]
    (folder / "study.toml").write_text(head + CODECS)
    (folder / "program.toml").write_text(head + CODECS + PROGRAM)
    raw = read_image(folder / "raw.tif")
    (folder / "seen").mkdir()
    write_tiff(folder / "seen" / "decoded.tif", _twin().apply(raw).decoded)
    write_tiff(folder / "seen" / "far.tif", np.full_like(raw, raw.mean()))
    (folder / "seen" / "packed.bin").write_bytes(bytes(4000))
    return folder


def _twin():
    return BitDepth(inverse="shift", range=f"bits({8 + BITS})")


def _run(inputs, folder, study="study.toml", stop=None, progress=None, **more):
    config = load_config(inputs / study, ("compute.block=2", "compute.threads=1"))
    return run_study(config, folder, progress=progress or Silence(), stop=stop or StopFlag(), **more)


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """The study with the program, finished."""
    return _run(inputs, tmp_path_factory.mktemp("finished") / "a.cdist", "program.toml", allow_code=True)


def _scores(outcome):
    return {codec.codec: codec for codec in outcome.scores.codecs}


def test_a_decoded_file_has_the_paper_scores_of_the_codec_that_made_it(finished):
    """E1 of totals and objects, matches and differences; E3 does not exist, and is not made up."""
    found = _scores(finished)
    file, twin = found["file"], found["bit-depth"]
    assert [q.paper.value for q in file.quantities] == pytest.approx(
        [q.paper.value for q in twin.quantities], nan_ok=True
    )
    np.testing.assert_array_equal(file.object_scores, twin.object_scores)
    assert (file.counts, file.delta_size) == (twin.counts, twin.delta_size)
    assert any(q.paper.value != 0 for q in file.quantities)
    assert {q.by for q in file.quantities} == {"E1"}
    assert {q.by for q in twin.quantities} == {"E3"}
    assert all(math.isnan(q.expected.value) and q.n_expected == 0 for q in file.quantities)
    assert all(q.deciding is q.paper for q in file.quantities)
    assert RAW_ALONE in file.reasons
    assert RAW_ALONE not in twin.reasons


def test_verdicts_rest_on_the_paper_scores(finished):
    found = _scores(finished)
    assert found["same"].verdict == "tolerable"
    assert found["same"].reasons == (found["same"].reasons[0], RAW_ALONE)
    assert "within the margin" in found["same"].reasons[0]
    assert found["far"].verdict == "intolerable"
    assert "beyond the margin" in found["far"].reasons[0]
    decided = [q for q in found["file"].quantities if q.decides]
    assert {q.decision for q in decided} <= {"tolerable", "intolerable", "undecided"}
    assert all(math.isfinite(q.p_tolerable) for q in decided if math.isfinite(q.paper.value))


def test_no_replicate_goes_through_a_decoded_file(finished):
    store = StudyStore.open(finished.folder)
    assert not (finished.folder / "data.zarr/codecs/file/replicates").exists()
    assert (finished.folder / "data.zarr/codecs/program/replicates").exists()
    facts = store.facts("reference")["codecs"]
    assert [facts[name]["raw_alone"] for name in ("bit-depth", "file", "program")] == [False, True, False]


def test_a_program_has_all_scores_of_the_codec_that_does_the_same(finished, inputs):
    """Every replicate went through it: E3 is that of the built-in codec, to the bit."""
    raw = read_image(inputs / "raw.tif")
    assert raw.max() < 2 ** (8 + BITS) - 500  # nothing is clipped by the twin
    found = _scores(finished)
    program, twin = found["program"], found["bit-depth"]
    assert program.verdict == twin.verdict
    assert [q.expected for q in program.quantities] == pytest.approx([q.expected for q in twin.quantities], nan_ok=True)
    assert program.reasons == twin.reasons
    ratio = {
        codec.codec: saved.ratio for codec, saved in zip(finished.scores.codecs, finished.compression, strict=True)
    }
    assert ratio["program"] != ratio["bit-depth"]
    assert ratio["file"] == 2 * raw.size / 4000


def test_the_report_says_what_the_verdict_rests_on(finished):
    page = finished.report.read_text()
    assert "no replicate went through this codec" in page
    assert "of this image alone" in page
    assert "decoded elsewhere: decoded.tif; size of packed.bin" in page
    assert "No replicate could go through file, same and far" in page
    twin = json.loads((finished.folder / "report/report.json").read_text())
    codecs = {one["codec"]: one for one in twin["codecs"]}
    assert codecs["file"]["quantities"][0]["by"] == "E1"
    assert codecs["file"]["quantities"][0]["expected"]["value"] is None
    assert codecs["file"]["compression"]["config"]["decoded"] == "decoded.tif"
    assert twin["provenance"]["inputs"]["codec file compressed"]["name"] == "packed.bin"
    assert str(finished.folder.parent) not in json.dumps(twin)
    assert "/seen" not in json.dumps(twin)


class _StopAfter(Silence):
    def __init__(self, flag, count):
        self._flag, self._count = flag, count

    def advance(self, done):
        if done >= self._count:
            self._flag.set("the test")


def _stopped(inputs, folder, study, **more):
    flag = StopFlag()
    with pytest.raises(InterruptedStudyError):
        _run(inputs, folder, study, stop=flag, progress=_StopAfter(flag, 2), **more)


def test_a_stopped_study_goes_on_to_the_same_results(finished, inputs, tmp_path, capsys, monkeypatch):
    """Programs have to be allowed again."""
    without_pages(monkeypatch)
    _stopped(inputs, tmp_path / "b.cdist", "program.toml", allow_code=True)
    assert main(["resume", str(tmp_path / "b.cdist"), "--progress", "none"]) == 2
    assert "codec 'program' (external)" in capsys.readouterr().err
    resume_study(tmp_path / "b.cdist", progress=Silence(), stop=StopFlag(), allow_code=True)
    assert digests(tmp_path / "b.cdist") == digests(finished.folder)


def test_a_file_that_was_changed_meanwhile_is_refused(inputs, tmp_path):
    place = tmp_path / "inputs"
    shutil.copytree(inputs, place)
    _stopped(place, tmp_path / "c.cdist", "study.toml")
    for name, role in (("decoded.tif", "decoded"), ("packed.bin", "compressed")):
        whole = (place / "seen" / name).read_bytes()
        (place / "seen" / name).write_bytes(whole + b"\0")
        with pytest.raises(InputError, match=rf"{name} \(codec file {role}\) is not the file that the study was start"):
            resume_study(tmp_path / "c.cdist", progress=Silence(), stop=StopFlag())
        (place / "seen" / name).write_bytes(whole)


def test_programs_need_the_flag_before_anything_is_written(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPDISTORT_ALLOW_CODE", "1")
    study = str(inputs / "program.toml")
    for command in (["check", study], ["run", study, "-o", str(tmp_path / "d.cdist")]):
        assert main([*command, "--progress", "none"]) == 2
        said = capsys.readouterr().err
        assert "codec 'program'" in said
        assert "--allow-code" in said
    assert not (tmp_path / "d.cdist").exists()
    assert main(["check", study, "--progress", "none", "--allow-code"]) == 0


def test_the_terminal_says_that_no_replicate_went_through(finished):
    assert sum("no replicate  " in line for line in verdict_table(finished).splitlines()) == 3
    found = {one["codec"]: one for one in summarise(finished)["codecs"]}
    assert found["file"]["N"]["decided_by"] == "E1"
    assert found["file"]["N"]["expected"]["value"] is None
    assert found["program"]["N"]["decided_by"] == "E3"


def test_a_study_tells_a_file_which_part_it_looks_at(inputs):
    config = load_config(inputs / "study.toml", ('input.crop="8:72,0:96"',))
    source = codecs_of(config)["file"].source
    assert (source.crop, source.page) == ("8:72,0:96", None)
    assert source.decoded == str(inputs / "seen" / "decoded.tif")
    raw = read_image(inputs / "raw.tif")[8:72]
    part = codecs_of(config)["file"].prepare(raw).apply(raw)
    np.testing.assert_array_equal(part.decoded, read_image(inputs / "seen" / "decoded.tif")[8:72])
    assert part.encoded_bytes == round(4000 * 64 / 96)


def test_what_is_restored_runs_nothing_that_the_study_file_does_not_name(inputs):
    """A journal that was tampered with cannot smuggle a program in: those of the study file are what was allowed."""
    config = load_config(inputs / "program.toml")
    stored = {
        **codecs_of(config, allow_code=True)["program"].get_config(),
        "encode": ["rm", "{in}", "{out}", "{level}"],
    }
    assert restored_codec(config, "program", stored).programs == (sys.executable,) * 2
    with pytest.raises(ConfigError, match="no decoded image"):
        restored_codec(config, "program", {**stored, "command": ["rm", "{in}", "{out}"]})
    with pytest.raises(ConfigError, match="no setting 'encode'"):
        restored_codec(config, "file", {**stored})
    with pytest.raises(StoreError, match="the study has no codec 'bit-depth' of id 'external'"):
        restored_codec(config, "bit-depth", stored)
    with pytest.raises(StoreError, match="no codec 'gone'"):
        restored_codec(config, "gone", stored)
