"""A study on simulated truth: the noise-preserving codec is tolerable at step 1, 8 bits by a shift are not."""

import numpy as np
import pytest

from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.store import StudyStore
from compdistort.study_file import load_config

CODECS = """\
[[codec]]
id = "jpegxl-lossless"

[[codec]]
id = "vsq"
step = 1
backend = "jpegls"

[[codec]]
id = "bit-depth"
name = "shift"
inverse = "shift"
"""
N_REPLICATES = 24


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_demo_inputs(folder, "spheres", size=144, seed=1, n_replicates=N_REPLICATES)
    study = folder / "study.toml"
    text = study.read_text()
    study.write_text(text[: text.index("[[codec]]")] + CODECS)
    config = load_config(study, ("compute.block=8", "compute.threads=1"))
    return run_study(config, folder / "a.cdist", progress=Silence(), stop=StopFlag())


def scores_of(finished, name):
    (found,) = [each for each in finished.scores.codecs if each.codec == name]
    return found


def test_a_lossless_codec_scores_exactly_zero(finished):
    lossless = scores_of(finished, "jpegxl-lossless")
    assert np.nanmax(np.abs(lossless.object_scores)) == 0
    assert all(q.expected.value == 0 and q.paper.value == 0 for q in lossless.quantities if not q.flags)
    assert lossless.verdict == "tolerable"


def test_noise_preserving_at_step_1_is_tolerable(finished):
    """24 paired replicates, margin 1, alpha 0.05 of two one-sided tests for every quantity that decides."""
    vsq = scores_of(finished, "vsq")
    assert vsq.verdict == "tolerable"
    assert np.nanmax(np.abs(vsq.object_scores)) > 0
    assert any(q.expected.value != 0 for q in vsq.quantities)


def test_eight_bits_by_a_shift_are_intolerable(finished):
    """The same replicates, Holm's test at 0.05."""
    assert scores_of(finished, "shift").verdict == "intolerable"


def test_the_noise_law_is_that_of_the_calibrated_sensor(finished):
    facts = StudyStore.open(finished.folder).facts("reference")["codecs"]["vsq"]
    law = facts["config"]["law"]
    assert law["estimated"] is False
    assert law["gain_dn_per_e"] == pytest.approx(2, rel=0.05)
    assert law["offset_dn"] == pytest.approx(240, abs=1)
    assert facts["record"]["nominal_db"] == pytest.approx(0.348, abs=1e-3)
