"""Where a sweep tries next, what it concludes, and what its section of a study file may say: without any image."""

import math
import pickle
import re

import numpy as np
import pytest

from compdistort.codecs import build_codec, codec_ids
from compdistort.codecs.registry import find_codec
from compdistort.config_sweep import RATIOS, SweepCodec, SweepSection
from compdistort.errors import ConfigError, UnknownCodecError
from compdistort.pipeline.inputs import portable_config
from compdistort.pipeline.sweep_blocks import PointJob
from compdistort.pipeline.sweep_points import DEFAULT_CODECS, content_key, sweep_series
from compdistort.pipeline.sweep_search import CLOSE, find_limit, largest_prefix, next_ratio
from compdistort.report.figures_sweep import magnitude
from compdistort.report.sweep_words import limit_words, next_words, reason_words, saving_words, sweep_headline
from compdistort.study_file import load_config, parse_config

GOOD = {
    "schema_version": 1,
    "input": {"raw": "a.tif"},
    "calibration": {"estimate": True},
    "segmenter": {"model": "m.npz"},
}


def _search(boundary, low=2.0, high=200.0, points=8):
    """Follow a search on a codec that is tolerable up to a ratio; return what it tried."""
    tried = {}
    while (ratio := next_ratio(low, high, tried, points)) is not None:
        assert ratio not in tried
        tried[ratio] = ratio <= boundary
    return tried


@pytest.mark.parametrize("boundary", [2.0, 3.3, 17.0, 80.0, 199.0])
def test_the_search_halves_the_gap_in_log_ratio(boundary):
    """Of 8 points 6 halve a span of log(100): the gap left is 100 ** (1 / 64) at most, or close."""
    tried = _search(boundary)
    assert len(tried) <= 8
    good = max(ratio for ratio, tolerable in tried.items() if tolerable)
    bad = min(ratio for ratio, tolerable in tried.items() if not tolerable)
    assert good <= boundary < bad
    assert bad / good <= max(CLOSE, 100 ** (1 / 64)) * 1.001


def test_the_search_ends_early_where_nothing_or_everything_is_tolerable():
    assert _search(1.0) == {2.0: False}
    assert _search(1000.0) == {2.0: True, 200.0: True}
    assert _search(3.0, points=3) == {2.0: True, 200.0: False, 20.0: False}
    assert len(_search(10.0, low=9.9, high=10.05, points=20)) == 2


def test_a_tolerable_island_beyond_the_first_failure_is_not_believed():
    tried = {2.0: True, 200.0: True, 20.0: False}
    assert next_ratio(2.0, 200.0, tried, 8) == pytest.approx(math.sqrt(40), rel=1e-3)


def test_the_largest_prefix_against_the_obvious_definition():
    """200 random tables; seed 11. The obvious: the largest ratio such that no tried one up to it failed."""
    draw = np.random.Generator(np.random.Philox(11))
    for _ in range(200):
        ratios = draw.choice([2, 5, 5, 10, 20, 50, 100], size=draw.integers(1, 8))
        verdicts = draw.choice(["tolerable", "undecided", "intolerable"], p=[0.7, 0.15, 0.15], size=len(ratios))
        good = [r for r in ratios if all(v == "tolerable" for s, v in zip(ratios, verdicts, strict=True) if s <= r)]
        found = find_limit(list(ratios), list(verdicts))
        failed = [r for r, v in zip(ratios, verdicts, strict=True) if v != "tolerable"]
        assert (found.best is None) == (not good)
        assert not good or ratios[found.best] == max(good)
        assert (found.beyond is None) == (not failed)
        assert not failed or ratios[found.beyond] == min(failed)
        assert not good or verdicts[found.best] == "tolerable"


def test_the_largest_prefix_of_nothing():
    assert math.isnan(largest_prefix([]))
    assert math.isnan(largest_prefix([(5, False), (10, True)]))


def test_magnitude_of_scores():
    assert magnitude({"value": None, "low": None, "high": None}) is None
    assert magnitude({"value": -2.0, "low": None, "high": None}) == (2.0, 2.0, 2.0)
    assert magnitude({"value": 0.0, "low": -3.0, "high": 0.5}) == (0.0, 0.0, 3.0)


def _curve(*points):
    made = [
        {"ratio": ratio, "verdict": verdict, "label": f"{ratio:g}:1", "reached": True, "reasons": [f"why {ratio:g}"],
         "encoded_bytes": int(1000 / ratio), "saved_fraction": 1 - 1 / ratio}
        for ratio, verdict in points
    ]  # fmt: skip
    found = find_limit([p["ratio"] for p in made], [p["verdict"] for p in made])
    limit = {
        name: None if place is None else made[place] for name, place in (("best", found.best), ("beyond", found.beyond))
    }
    return {"name": "x", "points": made, "limit": limit}


def test_limits_in_words():
    both, most, one = (
        _curve((5.0, "tolerable"), (10.0, "undecided")),
        _curve((5.0, "tolerable"), (10.0, "tolerable")),
        _curve((2.0, "tolerable")),
    )
    none = _curve((5.0, "intolerable"), (10.0, "tolerable"))
    refused = {
        "name": "r",
        "points": [{"verdict": "refused", "reasons": ["too wide"]}],
        "limit": {"best": None, "beyond": None},
    }
    assert [limit_words(c) for c in (both, most, one, none, refused)] == [
        "5.00:1",
        "≥ 10.0:1",
        "2.00:1",
        "none",
        "refused",
    ]
    assert next_words(both) == "10.0:1 is undecided"
    assert reason_words(both) == "why 10"
    assert next_words(most) == "all tried are tolerable"
    assert reason_words(refused) == "too wide"
    assert saving_words(both, 1000) == ("80.0 %", "1.00 kB to 200 B")
    assert saving_words(none, 1000) == ("–", "")
    assert "x at 10.0:1 or more" in sweep_headline({"n_objects": 3, "series": [most, none]})
    assert "No codec is tolerable" in sweep_headline({"n_objects": 3, "series": [none, refused]})
    assert "no object" in sweep_headline({"n_objects": 0, "series": [most]})


@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ({"id": "jpeg", "ratios": [10, 0.5]}, "sweep.codec.0.ratios.1 = 0.5"),
        ({"id": "jpeg", "ratios": [10], "boundary": True}, "at most one of ratios, levels, boundary"),
        ({"id": "jpeg", "ratios": [10], "points": 5}, "points does nothing without boundary = true"),
        ({"id": "jpeg", "boundary": True, "between": [20, 5]}, "must rise"),
        ({"id": "jpeg", "boundary": True, "points": 2}, "points = 2"),
        ({"id": "jpeg", "levels": {"quality": [9], "bits": [8]}}, "one setting with its values"),
        ({"id": "jpeg", "levels": {"quality": []}}, "one setting with its values"),
        ({"id": "jpeg", "name": "a/b"}, "sweep.codec.0.name"),
    ],
)
def test_wrong_sections_are_named(codec, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_config({**GOOD, "sweep": {"codec": [codec]}}, "study.toml")


def test_a_study_needs_codecs_or_a_sweep():
    assert parse_config({**GOOD, "sweep": {}}, "x").sweep.ratios == RATIOS
    with pytest.raises(ConfigError, match=r"at least one \[\[codec\]\]"):
        parse_config(GOOD, "x")
    with pytest.raises(ConfigError, match="two codecs of the sweep are called 'jpeg'"):
        parse_config({**GOOD, "sweep": {"codec": [{"id": "jpeg"}, {"id": "jpeg", "bits": 12}]}}, "x")
    with pytest.raises(ConfigError, match=r"unknown key 'sweep\.ratio', did you mean 'ratios'"):
        parse_config({**GOOD, "sweep": {"ratio": [1]}}, "x")


def test_the_section_is_read_from_a_file(tmp_path):
    (tmp_path / "s.toml").write_text(
        'schema_version = 1\n[input]\nraw = "a.tif"\n[calibration]\nestimate = true\n[segmenter]\nmodel = "m.npz"\n'
        '[sweep]\nratios = [3, 4]\n[[sweep.codec]]\nid = "jpeg"\nbits = 12\n'
        '[[sweep.codec]]\nid = "jpeg"\nname = "q"\nlevels = { quality = [50, 90] }\n[[sweep.codec]]\nid = "bit-depth"\n'
    )
    first, second, third = sweep_series(load_config(tmp_path / "s.toml").sweep)
    assert [asked.label for asked in first.fixed] == ["3:1", "4:1"]
    assert first.fixed[0].codec == build_codec({"id": "jpeg", "bits": 12, "ratio": 3})
    assert [(asked.label, asked.codec.quality) for asked in second.fixed] == [("quality 50", 50), ("quality 90", 90)]
    assert [asked.label for asked in third.fixed] == [""]


def test_files_of_codecs_lie_beside_the_study_file(tmp_path):
    (tmp_path / "s.toml").write_text(
        'schema_version = 1\n[input]\nraw = "a.tif"\n[calibration]\nestimate = true\n[segmenter]\nmodel = "m.npz"\n'
        '[sweep]\n[[sweep.codec]]\nid = "jetraw"\nidentifier = "x"\ndat = "camera.dat"\n'
    )
    config = load_config(tmp_path / "s.toml")
    assert config.sweep.codec[0].settings()["dat"] == str(tmp_path / "camera.dat")
    assert portable_config(config)["sweep"]["codec"][0]["dat"] == "camera.dat"  # no folder of this machine in a report


@pytest.mark.parametrize(
    ("codec", "error", "words"),
    [
        ({"id": "jpge"}, UnknownCodecError, "did you mean"),
        ({"id": "jpeg", "quallity": 9, "ratios": (5,)}, ConfigError, "did you mean 'quality'"),
        ({"id": "jpeg", "ratio": 9, "ratios": (5,)}, ConfigError, "has ratio twice"),
        ({"id": "bit-depth", "ratios": (5,)}, ConfigError, "no setting 'ratio'"),
        ({"id": "bit-depth", "boundary": True}, ConfigError, "no setting 'ratio'"),
        (
            {"id": "external", "command": ["tool", "{in}", "{encoded}", "{out}"], "encoded": "a.bin"},
            ConfigError,
            "--allow-code",
        ),
        ({"id": "external", "decoded": "a.tif", "encoded_bytes": 100}, ConfigError, "raw image alone"),
    ],
)
def test_codecs_are_refused_before_anything_is_computed(codec, error, words):
    section = SweepSection(codec=(SweepCodec.model_validate(codec),))
    with pytest.raises(error, match=words):
        sweep_series(section)


def test_ratios_are_not_forced_on_a_codec_whose_knob_is_set():
    (one,) = sweep_series(SweepSection(codec=(SweepCodec.model_validate({"id": "jpeg", "quality": 80}),)))
    assert [(asked.label, asked.ratio) for asked in one.fixed] == [("", None)]


def test_the_default_set_is_what_this_installation_has():
    series = sweep_series(SweepSection())
    reach = [
        one for one in DEFAULT_CODECS if one.id in codec_ids() and not getattr(find_codec(one.id), "missing", str)()
    ]
    assert [each.name for each in series] == [one.label for one in reach]
    assert len(series) >= 8
    by_name = {each.name: each for each in series}
    assert [asked.ratio for asked in by_name["jpeg-8-bit"].fixed] == list(RATIOS)
    assert [asked.label for asked in by_name["vsq"].fixed][:2] == ["step 0.5", "step 1"]


def test_equal_knobs_are_one_point_however_they_were_found():
    raw = np.random.Generator(np.random.Philox(3)).poisson(900.0, (64, 64)).astype(np.uint16)
    far, farther = (build_codec({"id": "jpeg", "ratio": ratio}).prepare(raw) for ratio in (5000, 9000))
    assert far.search.limit == "range"
    assert far != farther
    assert content_key(far) == content_key(farther) == content_key(build_codec({"id": "jpeg", "quality": far.quality}))
    assert content_key(far) != content_key(build_codec({"id": "jpeg", "quality": far.quality + 1}))
    assert content_key(far) != content_key(build_codec({"id": "jpeg", "quality": far.quality, "bits": 12}))


def test_the_job_of_a_point_goes_to_another_process():
    job = PointJob(build_codec({"id": "jpeg", "quality": 80}), {3: {"00ff": "place"}})
    assert pickle.loads(pickle.dumps(job)) == job
