"""What a user may ask of features, what is refused, and the command that writes them."""

import json

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from compdistort.backend.plain.convolve import separable_stack
from compdistort.cli import features as command
from compdistort.cli.common import spread_multiple
from compdistort.errors import ConfigError, ImageFormatError, ResourceError, UnknownFeatureError
from compdistort.features import FeatureSpec, build_bank, feature_names, parse_spec
from compdistort.pipeline.feature_export import export_features


def test_ilastik_columns_come_in_its_own_order():
    names = feature_names(FeatureSpec(set="ilastik"))
    assert len(names) == 25
    assert names[:8] == ("GS_s0.3", "GS_s0.7", "GS_s1.0", "GS_s1.6", "GS_s3.5", "GS_s5.0", "GS_s10.0", "LoG_s0.7")
    assert build_bank(FeatureSpec(set="ilastik"), 3).names == names


def test_sigma_zero_planes_need_a_minimum_below_2():
    assert len(feature_names(FeatureSpec(set="weka"))) == 70
    assert not any(name.endswith("_0.0") for name in feature_names(FeatureSpec(set="weka", sigmas=(2.0, 4.0))))


@pytest.mark.parametrize(
    "spec",
    [
        FeatureSpec(set="weka"),
        FeatureSpec(set="plain", sigmas=(2, 3)),
        parse_spec("ilastik", pairs=["LoG:3.5", "GS:1"]),
    ],
)
def test_spec_survives_json(spec):
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"set": "ilastic"}, UnknownFeatureError, "did you mean 'ilastik'"),
        ({"set": "plain", "pairs": (("log", 1.0),)}, UnknownFeatureError, "did you mean 'LoG'"),
        ({"set": "plain", "pairs": ()}, ConfigError, "empty"),
        ({"set": "plain", "pairs": (("GS", 1.0), ("GS", 1.0))}, ConfigError, "GS:1.0 is listed twice"),
        ({"set": "plain", "sigmas": (1.0,), "pairs": (("GS", 2.0),)}, ConfigError, "do not agree"),
        ({"set": "weka", "pairs": (("GS", 1.0),)}, ConfigError, "takes no"),
        ({"set": "weka", "sigmas": (1.0, 3.0)}, ConfigError, "do not double"),
        ({"set": "weka", "sigmas": (16.0, 32.0)}, ConfigError, "32.0 is above"),
        ({"set": "plain", "sigmas": (1.0, 1.0)}, ConfigError, "twice"),
        ({"set": "plain", "sigmas": (0.0,)}, ConfigError, "sigma 0.0"),
        ({"set": "plain", "sigmas": (float("nan"),)}, ConfigError, "sigma nan"),
    ],
)
def test_bad_specs_are_refused_with_the_reason(arguments, error, words):
    with pytest.raises(error, match=words):
        FeatureSpec(**arguments)


@pytest.mark.parametrize(
    ("name", "sigmas", "ndim", "shape", "words"),
    [
        ("ilastik", (1.0, 10.0), 2, (35, 100), r"sigma 10\.0 .* needs 36 pixels on every axis, the image has 35 x 100"),
        ("plain", (10.0,), 3, (39, 100, 100), r"sigma 10\.0 .* needs 40 pixels"),
        ("weka", (1.0,), 3, None, "2D only"),
        ("plain", (1.0,), 4, None, "4 axes"),
        ("plain", (0.05,), 2, (9, 9), r"sigma 0\.05 is too fine for LoG"),
    ],
)
def test_bank_refuses_what_cannot_be(name, sigmas, ndim, shape, words):
    with pytest.raises(ConfigError, match=words):
        build_bank(FeatureSpec(set=name, sigmas=sigmas), ndim, shape)


def invoke(words):
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, spread_multiple([str(word) for word in words], command.MULTIPLE))


@pytest.fixture
def image_file(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.random.default_rng(1).integers(0, 65536, (40, 50), dtype=np.uint16))
    return tmp_path / "image.tif"


def test_command_writes_features_and_names(image_file, tmp_path):
    out = tmp_path / "stack.npz"
    done = invoke([image_file, "--set", "plain", "--sigma", "0.7", "2", "-o", out, "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    with np.load(out) as stored:
        assert stored["features"].dtype == np.float32
        assert list(stored["features"].shape) == result["shape"] == [8, 40, 50]
        assert stored["names"].tolist() == result["names"]
        spec = FeatureSpec.from_dict(result["features"])
        expected = separable_stack(tifffile.imread(image_file).astype(np.float32), build_bank(spec, 2))
        assert np.array_equal(stored["features"], expected)


def test_command_takes_pairs(image_file, tmp_path):
    done = invoke([image_file, "--set", "ilastik", "--pairs", "GS:1.0", "LoG:3.5", "-o", tmp_path / "stack"])
    assert done.exit_code == 0, done.output
    assert "2 features of set ilastik, 40 x 50 pixels" in done.stdout
    assert np.load(tmp_path / "stack")["names"].tolist() == ["GS_s1.0", "LoG_s3.5"]


def test_command_names_a_word_that_is_no_pair(image_file, tmp_path):
    done = invoke([image_file, "--set", "plain", "--pairs", "LoG3.5", "-o", tmp_path / "stack.npz"])
    assert isinstance(done.exception, ConfigError)
    assert "LoG3.5" in str(done.exception)


def test_failed_export_leaves_nothing(image_file, tmp_path, backend):
    with pytest.raises(ConfigError, match="sigma 16"):
        export_features(image_file, tmp_path / "a.npz", FeatureSpec(set="plain", sigmas=(16.0,)), backend)
    np.save(tmp_path / "double.npy", np.ones((40, 50)))
    with pytest.raises(ImageFormatError, match="float64"):
        export_features(tmp_path / "double.npy", tmp_path / "b.npz", FeatureSpec(set="weka"), backend)
    with pytest.raises(ResourceError, match="absent"):
        export_features(image_file, tmp_path / "absent" / "c.npz", FeatureSpec(set="weka"), backend)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["double.npy", "image.tif"]
