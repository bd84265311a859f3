"""The study file: every wrong key or value is one line that names it and, where there is one, the nearest name."""

import tomllib
from pathlib import Path

import pytest

from compdistort.config import parse_bytes
from compdistort.errors import ConfigError
from compdistort.pipeline.template import template_text, write_template
from compdistort.study_file import load_config, parse_config

GOOD = {
    "schema_version": 1,
    "input": {"raw": "a.tif"},
    "calibration": {"estimate": True},
    "segmenter": {"model": "m.npz"},
    "codec": [{"id": "identity"}, {"id": "jpeg", "ratio": 10}],
}


def test_defaults_and_codec_names():
    config = parse_config(GOOD, "x")
    assert [codec.name for codec in config.codec] == ["identity", "jpeg-10"]
    assert config.codec[1].settings() == {"id": "jpeg", "ratio": 10}
    assert config.noise.replicates == 100
    assert config.statistics.margin == 1.0
    assert config.segmenter.bins == "none"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inptu": {}}, "unknown key 'inptu', did you mean 'input'"),
        ({"segmenter": {"model": "m", "tresh": 1}}, "unknown key 'segmenter.tresh', did you mean 'threshold'"),
        ({"noise": {"replicate": 9}}, "did you mean 'replicates'"),
        ({"segmenter": {"threshold_annotation": {"backgroun_below_dn": 1}}}, "background_below_dn"),
        ({"codec": [{"id": "jpeg", "name": "a/../b"}]}, "codec.0.name"),
        ({"codec": []}, "codec"),
        ({"noise": {"replicates": 1}}, "noise.replicates = 1"),
        ({"segmenter": {"model": "m", "balanced": False}}, "balanced belongs to training"),
        (
            {"segmenter": {"model": "m", "bins": "uint8"}},
            "study.toml: segmenter: bins belongs to training and does nothing beside model; remove one of the two",
        ),
        (
            {"segmenter": {"labels": "l.tif", "bins": "uint4"}},
            "study.toml: segmenter.bins = 'uint4': Input should be 'none', 'uint16' or 'uint8'",
        ),
        ({"codec": [{"id": "jpeg", "ratio": "ten"}, {"id": "jpeg", "ratio": 9}, {"id": "jpeg", "ratio": 9}]}, "jpeg-9"),
        ({"segmenter": {}}, "exactly one of model, labels, mask, threshold_annotation"),
        ({"segmenter": {"labels": "l", "prior": "balanced"}}, "prior says how pixels of a mask are drawn"),
        ({"segmenter": {"model": "m", "planar": [1.0]}}, "planar belongs to training"),
        ({"calibration": {}}, "exactly one of: sensor = FILE"),
        ({"calibration": {"gain_e_per_dn": 1.0}}, "offset_dn and read_noise_e"),
        ({"calibration": {"gain_e_per_dn": float("nan"), "offset_dn": 0, "read_noise_e": 0}}, "gain_e_per_dn = nan"),
        ({"codec": [{"id": "a"}, {"id": "a"}]}, "two codecs are called 'a'"),
        ({"schema_version": 2}, "schema_version = 2"),
        ({"compute": {"max_memory": "lots"}}, "'lots' is no size"),
        ({"input": {"raw": "a.tif", "crop": "1:2"}}, "input.crop"),
    ],
)
def test_wrong_settings_are_named(change, words):
    with pytest.raises(ConfigError) as caught:
        parse_config({**GOOD, **change}, "study.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_cannot_change():
    config = parse_config(GOOD, "x")
    with pytest.raises(ValueError, match="frozen"):
        config.noise.seed = 5


def test_paths_are_relative_to_the_file_and_set_overrides(tmp_path):
    text = template_text()
    (tmp_path / "s.toml").write_text(text)
    config = load_config(tmp_path / "s.toml", ("noise.replicates=12", "title=hello", "input.crop='0:9,0:9'"))
    assert config.input.raw == tmp_path / "raw.tif"
    assert (config.noise.replicates, config.title, config.input.crop) == (12, "hello", "0:9,0:9")
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        load_config(tmp_path / "s.toml", ("nonsense",))
    with pytest.raises(ConfigError, match="is no table"):
        load_config(tmp_path / "s.toml", ("title.deep=1",))


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="compdistort init"):
        load_config(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("a = [")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_config(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_config(tmp_path / "binary.toml")


def test_template_is_written_once(tmp_path):
    path = tmp_path / "study.toml"
    write_template(path)
    with pytest.raises(ConfigError, match="exists already"):
        write_template(path)
    write_template(path, replace=True)


def test_every_commented_setting_of_the_template_is_known():
    """Uncomment the settings one at a time: each must be a key that the study file knows."""
    lines = template_text().splitlines()
    exclusive = (
        "estimate",
        "offset_dn",
        "gain_e_per_dn",
        "read_noise_e",
        "model",
        "mask",
        "threshold_annotation",
        "saturation",
        "bits",
    )
    tried = 0
    for i, line in enumerate(lines):
        if not line.startswith("# ") or " = " not in line or line.startswith("# A ") or line[2:].startswith(exclusive):
            continue
        text = "\n".join([*lines[:i], line[2:], *lines[i + 1 :]])
        parse_config(tomllib.loads(text), line)
        tried += 1
    assert tried >= 20


@pytest.mark.parametrize(("text", "value"), [("1.5KiB", 1536), ("8GiB", 2**33), ("500MB", 5 * 10**8), ("7", 7)])
def test_sizes(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1e99GiB", "3 parsecs"])
def test_sizes_refused(text):
    with pytest.raises(ConfigError):
        parse_bytes(text)


def test_folder_of_study_file_is_used_even_when_relative(tmp_path, monkeypatch):
    (tmp_path / "s.toml").write_text(template_text())
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("s.toml")).input.raw == (tmp_path / "raw.tif").resolve()


@pytest.mark.parametrize(
    "setting",
    [
        {"sensor": "s.json", "bits": 12},
        {"sensor": "s.json", "read_noise_e": 2.0},
        {"sensor": "s.json", "offset_dn": 100.0},
        {"estimate": True, "saturation_dn": 4095.0},
        {"estimate": True, "read_noise_e": 2.0},
    ],
)
def test_calibration_values_that_nothing_would_use_are_refused(setting):
    with pytest.raises(ConfigError, match=list(setting)[1]):
        parse_config({**tomllib.loads(template_text()), "calibration": setting}, "study.toml")


def test_bits_of_an_estimate_are_passed_on():
    data = {**tomllib.loads(template_text()), "calibration": {"estimate": True, "bits": 12, "offset_dn": 100.0}}
    assert parse_config(data, "study.toml").calibration.bits == 12
