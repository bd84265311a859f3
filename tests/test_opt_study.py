"""A study of projections, small: from noise and codecs on what was recorded to objects of the reconstructed volume."""

import csv
import dataclasses
import hashlib
import json

import numpy as np
import pytest
from browser import overlaps, probe

from compdistort import get_backend, noise_tables
from compdistort.cli import main
from compdistort.codecs import build_codec
from compdistort.errors import InterruptedStudyError, StoreError
from compdistort.features import FeatureSpec, build_bank
from compdistort.io.images import read_image
from compdistort.measurands import Further
from compdistort.pipeline.demo_opt import opt_scan, write_opt_inputs
from compdistort.pipeline.operator_scores import OPERATORS, RECORDED, read_operators
from compdistort.pipeline.outcome import report_input
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.reference import KEY
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import config_of, report_study, resume_study, run_study
from compdistort.reconstruct import ParallelBeam, attenuation, contrast_stretch, reconstruct
from compdistort.replicate import draw
from compdistort.report.figures_operators import comparison_figures
from compdistort.report.methods import methods_paragraph
from compdistort.report.operators import page_parts
from compdistort.sensor.sensor_file import load_sensor
from compdistort.store import StudyStore
from compdistort.study_file import load_config

SCAN = opt_scan(40)
SPEC = FeatureSpec(set="ilastik", sigmas=(0.7, 1.0, 1.6, 3.5))
REPLICATES = 4
SMALL = ("compute.threads=1", "compute.block=2", "operators.side=20")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a small study of projections: the demo's, without JPEG."""
    folder = tmp_path_factory.mktemp("scan")
    write_opt_inputs(folder, size=48, steps=40, n_replicates=REPLICATES)
    study = folder / "study.toml"
    study.write_text(study.read_text().partition('[[codec]]\nid = "jpeg"')[0])
    return folder


def _run(inputs, folder, *settings, progress=None, stop=None):
    config = load_config(inputs / "study.toml", settings)
    return run_study(config, folder, progress=progress or Silence(), stop=stop or StopFlag())


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """The finished study."""
    return _run(inputs, tmp_path_factory.mktemp("finished") / "a.cdist", *SMALL)


@pytest.fixture(scope="module")
def store(finished):
    return StudyStore.open(finished.folder)


@pytest.fixture(scope="module")
def made(store):
    """What the report shows."""
    return report_input(store, config_of(store))


def _digests(folder):
    files = [p for p in (folder / "data.zarr").rglob("*") if p.is_file()]
    files += [folder / "report" / "report.json", *(folder / "report" / "tables").glob("*.csv")]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _scores(outcome, codec):
    return next(one for one in outcome.scores.codecs if one.codec == codec)


def test_lossless_scores_nothing_and_cut_bits_score_more_than_exact_ones(finished):
    identity = _scores(finished, "identity")
    assert finished.scores.n_objects > 5
    assert np.nanmax(np.abs(identity.object_scores)) == 0
    totals = {q.name: q for q in identity.quantities if q.kind == "total"}
    assert {"N", "V", "SA", "N@0.7", "V@0.7", "organ", "load", "load@0.7"} <= set(totals)
    assert all(q.paper.value == 0 and q.expected.value == 0 for q in totals.values() if np.isfinite(q.paper.value))
    assert totals["load"].raw > 0
    exact, shift = (
        [abs(q.expected.value) for q in _scores(finished, name).quantities if q.name in ("V", "SA", "load")]
        for name in ("8-bit", "8-bit-shift")
    )
    assert max(shift) > max(exact)


def test_what_is_seen_comes_from_what_was_recorded_by_the_steps(inputs, store):
    raw, facts = read_image(inputs / "raw.tif", kind="raw"), store.facts(KEY)
    assert facts["recorded"] == {"shape": [41, 48, 48], "plane": 20}
    np.testing.assert_array_equal(store.read("recorded/raw"), raw[20])
    np.testing.assert_array_equal(store.read("reference/raw"), _see(inputs, store, raw)[facts["image"]["plane"]])
    for name, entry in facts["codecs"].items():
        decoded = build_codec(entry["config"]).apply(raw).decoded
        np.testing.assert_array_equal(store.read(f"codecs/{name}/recorded"), decoded[20])
    centre = facts["steps"][1]["fixed"]["centre_px"]
    assert centre == pytest.approx(48 // 2 + SCAN.offset_px, abs=0.3)


def _see(inputs, store, image):
    """Return the steps of the study file, written out."""
    facts, config = store.facts(KEY), config_of(store)
    frames = {name: read_image(inputs / f"{name}.tif", kind="raw") for name in ("dark", "flat")}
    beam = ParallelBeam(angles_deg=SCAN.angles_deg, centre_px=facts["steps"][1]["fixed"]["centre_px"])
    volume = reconstruct(attenuation(image, **frames).values, beam, get_backend("numba"))
    box = (slice(*map(int, part.split(":"))) for part in config.step[2].box.split(","))
    return contrast_stretch(np.ascontiguousarray(volume[tuple(box)])).volume


def _check(view, features, raw, decoded, drawn):
    """Compare committed scores with those of a plain twin on whole images; return what the twin finds."""
    spread = np.std([features(one) for one in drawn], axis=0, ddof=1)
    twin = {}
    for found, image in zip(view.codecs, decoded, strict=True):
        difference = features(raw) - features(image)
        scores = np.divide(difference, spread, out=np.full(spread.shape, np.nan), where=spread > 0)
        # Welford and two passes round differently: a few units in the last place, more where s is small.
        np.testing.assert_allclose(found.mean, np.nanmean(scores, (1, 2)), rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(found.rms, np.sqrt(np.nanmean(scores**2, (1, 2))), rtol=1e-7)
        assert found.left_out.tolist() == np.isnan(scores).sum((1, 2)).tolist()
        np.testing.assert_allclose(found.worst_scores, scores[found.worst], rtol=1e-7)
        twin[found.codec] = np.sqrt(np.nanmean(scores**2, (1, 2)))
    return twin


def test_operators_before_and_after_are_those_of_a_plain_twin_on_whole_images(inputs, store):
    raw, facts, config = read_image(inputs / "raw.tif", kind="raw"), store.facts(KEY), config_of(store)
    backend = get_backend("numpy")
    tables = noise_tables(load_sensor(inputs / "sensor.json"), "poisson-gaussian", raw.shape)
    drawn = draw(raw, tables, backend, config.noise.seed, range(REPLICATES))
    decoded = [build_codec(entry["config"]).apply(raw).decoded for entry in facts["codecs"].values()]

    after = read_operators(store, config, OPERATORS)
    seen_shape = tuple(facts["image"]["shape"])
    bank = build_bank(SPEC, 3, seen_shape)
    inside = (slice(None), after.plane, slice(*after.rows), slice(*after.columns))

    def of_volume(image):
        return backend.feature_stack(image, bank)[inside].astype(np.float64)

    assert after.names == bank.names
    assert after.plane == facts["image"]["plane"]
    volumes = [_see(inputs, store, image) for image in decoded]
    _check(after, of_volume, _see(inputs, store, raw), volumes, [_see(inputs, store, one) for one in drawn])

    before = read_operators(store, config, RECORDED)
    plane_bank = build_bank(SPEC, 2, raw.shape[1:])
    part = (slice(None), slice(*before.rows), slice(*before.columns))

    def of_frame(image):
        return backend.feature_stack(np.ascontiguousarray(image), plane_bank)[part].astype(np.float64)

    assert (before.names, before.plane) == (plane_bank.names, 20)
    frames = [image[20] for image in decoded]
    twin = _check(before, of_frame, raw[20], frames, drawn[:, 20])
    assert not before.codecs[0].rms.any()
    # Negative control: the neighbouring frame's noise is another one.
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        _check(before, of_frame, raw[20], frames, drawn[:, 21])
    assert twin["8-bit-shift"].max() > 1


class _StopBefore(Silence):
    """Ask for a stop after the second replicate of the scores of a recorded frame."""

    def __init__(self, flag):
        self.flag, self.inside = flag, False

    def say(self, text):
        self.inside = self.inside or "pixels of a frame" in text

    def advance(self, done):
        if self.inside and done == 2:
            self.flag.set("a test")


@pytest.mark.slow
def test_a_study_stopped_between_both_scores_resumes_to_the_same_bytes(inputs, finished, tmp_path):
    folder, flag = tmp_path / "b.cdist", StopFlag()
    with pytest.raises(InterruptedStudyError):
        _run(inputs, folder, *SMALL, progress=_StopBefore(flag), stop=flag)
    assert (folder / "data.zarr" / OPERATORS).exists()
    assert not (folder / "data.zarr" / RECORDED).exists()
    with pytest.raises(StoreError, match="scores of the features are missing; finish it with"):
        report_study(folder)
    resumed = resume_study(folder, progress=Silence(), stop=StopFlag(), threads=2)
    assert _digests(resumed.folder) == _digests(finished.folder)


def test_the_page_shows_what_was_recorded_and_what_is_seen(finished, made):
    page = finished.report.read_text()
    for words in (
        "From what was recorded to what is seen", "frame 20 of 0 to 40", "Whole frame", "of the pixels of this frame",
        "Raw image after the steps", "Maximum projection", "The whole volume under every codec", "before the steps",
        "8-bit-shift, before", "8-bit-shift, after", "No feature changes under identity.",
        "Before and after the steps", "of the 41 x 48 x 48 pixel recorded image",
        "(2) filtered back-projection of 41 projections", "Load at 0.7", "N@0.7",
    ):  # fmt: skip
        assert words in page, words
    assert "contrast of objects, in units of pixel noise" not in page
    assert len(page) < 3_000_000
    twin = json.loads((finished.folder / "report" / "report.json").read_text())
    assert twin["image"]["raw_bytes"] == 2 * 41 * 48 * 48
    assert twin["recorded"]["shape"] == [41, 48, 48]
    assert [one["id"] for one in twin["recorded"]["steps"]] == [
        "attenuation", "back-projection", "crop", "contrast-stretch",
    ]  # fmt: skip
    assert len(made.recorded.steps) == 4


@pytest.mark.browser
def test_the_page_is_in_order_in_a_browser(finished, tmp_path):
    found = probe(finished.report, tmp_path)
    assert not [pair for texts in found["texts"] for pair in overlaps(texts)]
    assert found["wide"] <= 0
    assert all(picture["loaded"] and picture["alt"] for picture in found["pictures"])
    shown = {picture["figure"] for picture in found["pictures"]}
    assert shown.issuperset({"figure-recorded", "figure-codec-projection", "figure-operators-before-1"})


def test_residuals_are_of_the_recorded_frame_over_its_own_noise(finished, made):
    twin = json.loads((finished.folder / "report" / "report.json").read_text())
    for codec, said in zip(made.codecs, twin["codecs"], strict=True):
        difference = made.recorded.raw.astype(np.float64) - codec.recorded
        assert said["residual"]["rms"] == pytest.approx(np.sqrt(np.mean((difference / made.sigma_dn) ** 2)))
    assert twin["codecs"][2]["residual"]["rms"] > 1
    assert made.raw.shape != made.recorded.raw.shape  # not of what is seen


def test_a_page_without_operators_before_the_steps_says_why(made):
    shown = page_parts(dataclasses.replace(made, operators_recorded=None))
    assert shown["part"].endswith("before the steps: 48 x 48 recorded pixels are too few for every filter.")
    without = dataclasses.replace(made, recorded=None, operators_recorded=None)
    assert "before the steps" not in page_parts(without)["part"]
    assert "before the steps:" not in page_parts(made)["part"]


def test_methods_name_organ_and_further_thresholds(made):
    words = methods_paragraph(made)
    assert "Totals were taken at the threshold 0.7 too." in words
    assert "every voxel whose probability of class 1 stayed below 0.5, and the load the size of all objects" in words
    plain = dataclasses.replace(made, measurands=dataclasses.replace(made.measurands, further=Further()))
    for opening in ("The organ was", "Totals were taken"):
        assert opening in words
        assert opening not in methods_paragraph(plain)


def test_operators_are_in_tables_of_their_own(finished, made):
    for name, view in (("operators", made.operators), ("operators_recorded", made.operators_recorded)):
        with (finished.folder / "report" / "tables" / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [float(row["rms"]) for row in rows if row["codec"] == "8-bit-shift"] == view.codecs[2].rms.tolist()
    assert made.operators.names == made.operators_recorded.names


def test_an_operator_without_a_counterpart_has_no_circle(made):
    """Of a frame that holds one column alone, the others are left out of the comparison, not drawn as zero."""
    full = comparison_figures(made.operators_recorded, made.operators)
    one = made.operators_recorded
    fewer = type(one)(
        names=one.names[:1],
        plane=one.plane,
        rows=one.rows,
        columns=one.columns,
        n_replicates=one.n_replicates,
        codecs=tuple(
            type(codec)(
                codec=codec.codec,
                mean=codec.mean[:1],
                rms=codec.rms[:1],
                deviation=codec.deviation[:1],
                left_out=codec.left_out[:1],
                worst=0,
                worst_scores=codec.worst_scores,
            )
            for codec in one.codecs
        ),
    )
    drawn = comparison_figures(fewer, made.operators)
    assert [figure.count("<use") < other.count("<use") for figure, other in zip(drawn, full, strict=True)] == [
        True for _ in full
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demo_condemns_the_shift_and_no_lossless_codec(tmp_path, capsys, seed):
    words = ["demo", "--kind", "opt", "-o", str(tmp_path), "--seed", str(seed), "--progress", "none", "--json"]
    assert main(words) == 0
    found = {codec["codec"]: codec["verdict"] for codec in json.loads(capsys.readouterr().out)["codecs"]}
    assert found["identity"] == "tolerable"
    assert found["8-bit-shift"] == "intolerable"
