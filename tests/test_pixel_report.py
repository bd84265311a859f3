"""What codecs do to pixels: a plain twin of the sums, any pieces alike, the split of scores, and old studies."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
from report_case import codec_samples as report_codec_samples
from report_case import make_report, samples
from scipy import ndimage
from test_report import Page

from compdistort.codecs import build_codec
from compdistort.errors import InputError
from compdistort.grey_levels import GreyLevels
from compdistort.pipeline.comparison import compare
from compdistort.pipeline.demo_inputs import write_demo_inputs
from compdistort.pipeline.lifted import LiftedPlanes, lift
from compdistort.pipeline.outcome import codec_samples, raw_samples
from compdistort.pipeline.preparation import prepare
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.reference import load_reference
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import config_of, report_study, run_study
from compdistort.report.formatting import fixed
from compdistort.report.pixels import page_parts, remarks
from compdistort.score import score_study
from compdistort.score.pixel_results import PixelStatistics
from compdistort.score.pixel_sums import BAND
from compdistort.score.pixels import (
    ROUNDING_DN2,
    WINDOW,
    BrightnessClasses,
    PixelTally,
    local_level,
    pixel_statistics,
)
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion
from compdistort.store import StudyStore
from compdistort.store.journal import Journal
from compdistort.study_file import load_config

SENSOR = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=2.0)
CODECS = """
[[codec]]
id = "identity"
[[codec]]
id = "jpeg"
name = "jpeg-60"
ratio = 60
[[codec]]
id = "bit-depth"
name = "shift"
inverse = "shift"
camera_bits = 14
"""


def volume(shape, seed=5):
    """Return a noisy volume of a brightness that varies, and a decoded one: (raw, decoded, variance, mean)."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), (0, *(6,) * (len(shape) - 1)))
    mean = 400 + 200 * smooth / smooth.std()
    mean = np.clip(mean, 110, None)
    variance = SENSOR.variance_dn2(mean) + ROUNDING_DN2
    raw = np.clip(np.rint(rng.normal(mean, np.sqrt(variance))), 0, 65535).astype(np.uint16)
    decoded = (0.7 * raw + 0.3 * ndimage.uniform_filter(raw.astype(float), 3) + 1.5).astype(np.float32)
    return raw, decoded, variance, mean


def by_hand(raw, decoded, variance, level, mean):
    """Return the same numbers by whole-image formulas: the slow and obvious twin."""
    e = (decoded.astype(np.float64) - raw) / np.sqrt(variance)
    t = (decoded.astype(np.float64) - mean) / np.sqrt(variance)

    def lag(x, axis):
        a, b = (np.take(x, np.arange(k, x.shape[axis] - 1 + k), axis).ravel() for k in (0, 1))
        return ((a * b).mean() - a.mean() * b.mean()) / x.var()

    def grain(image):
        mask = np.outer([1, -2, 1], [1, -2, 1]).astype(float)
        planes = [ndimage.convolve(plane.astype(float), mask)[1:-1, 1:-1] for plane in image]
        return np.mean((np.stack(planes) / np.sqrt(variance[:, 1:-1, 1:-1])) ** 2)

    order = np.sort(level.ravel())
    bounds = np.unique(order[[k * order.size // 20 for k in range(20)]])
    index = np.searchsorted(bounds, level, side="right") - 1
    return {
        "n_pixels": raw.size,
        "offset_dn": (decoded.astype(np.float64) - raw).mean(),
        "bias": e.mean(),
        "spread": e.std(),
        "rms": np.sqrt((e**2).mean()),
        "largest": np.abs(e).max(),
        "added_db": 10 * np.log10(1 + e.var()),
        "lag_rows": lag(e, 1),
        "lag_columns": lag(e, 2),
        "grain": np.sqrt(grain(decoded) / grain(raw)),
        "brightness": np.corrcoef(e.ravel(), level.ravel().astype(float))[0, 1],
        "truth": [t.mean(), t.std(), lag(t, 1), lag(t, 2)],
        "classes": [(int((index == k).sum()), e[index == k].mean(), e[index == k].std()) for k in range(len(bounds))],
    }


@pytest.mark.parametrize("shape", [(1, 40, 70), (3, 64, 64), (2, BAND + 1, 65), (1, 2 * BAND + 30, 33)])
def test_sums_of_bands_are_those_of_the_whole(shape):
    raw, decoded, variance, mean = volume(shape)
    level = np.stack([local_level(plane) for plane in raw])
    found = pixel_statistics(raw, decoded, variance, level=level, mean=mean)
    hand = by_hand(raw, decoded, variance, level, mean)
    truth, classes = hand.pop("truth"), hand.pop("classes")
    for name, value in hand.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name
    of_truth = (found.truth.bias, found.truth.noise, found.truth.lag_rows, found.truth.lag_columns)
    assert of_truth == pytest.approx(truth, rel=1e-9)
    assert [(c.n_pixels, c.bias, c.spread) for c in found.classes] == [pytest.approx(c, rel=1e-9) for c in classes]
    assert sum(c.n_pixels for c in found.classes) == raw.size


def test_the_spectrum_is_that_of_tiles_by_hand():
    """Parseval in every tile: rings by a full transform, without the constant."""
    raw, decoded, variance, _ = volume((2, 130, 200))
    found = pixel_statistics(raw, decoded, variance)
    e = (decoded.astype(np.float64) - raw) / np.sqrt(variance)
    tiles = [e[p, r : r + 64, c : c + 64] for p in (0, 1) for r in (0, 64) for c in (0, 64, 128)]
    power = np.mean([np.abs(np.fft.fft2(tile)) ** 2 for tile in tiles], axis=0) / 64**2
    f = np.fft.fftfreq(64, 1 / 64)
    ring = np.rint(np.hypot(f[:, None], f)).astype(int)
    assert found.tile == 64
    assert found.spectrum == pytest.approx([power[ring == k].mean() for k in range(1, 33)], rel=1e-9)
    assert found.frequencies[-1] == 0.5


@pytest.mark.parametrize(("side", "tile"), [(7, 0), (8, 8), (15, 8), (63, 32), (300, 64)])
def test_small_images_have_small_tiles(side, tile):
    raw, decoded, variance, _ = volume((1, side, side + 3))
    found = pixel_statistics(raw, decoded, variance)
    assert (found.tile, len(found.spectrum)) == (tile, tile // 2)


def test_tiny_images_have_what_they_can():
    raw = np.array([[7, 9]], np.uint16)
    found = pixel_statistics(raw, raw + 1, np.full((1, 2), 4.0))
    assert (found.bias, found.offset_dn, found.rms) == (0.5, 1.0, 0.5)
    assert all(math.isnan(x) for x in (found.grain, found.lag_rows, found.lag_columns, found.brightness))
    assert PixelStatistics.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))).worst == found.worst


def test_a_volume_is_its_planes_to_the_bit():
    """One after the other, as of a volume on disk. Negative control: the order of planes is that of the sums alone."""
    raw, decoded, variance, mean = volume((5, 90, 84))
    level = np.stack([local_level(plane) for plane in raw])
    tally = PixelTally(BrightnessClasses.of(GreyLevels.of_planes(level)))
    for plane in zip(raw, decoded, variance, level, mean, strict=True):
        tally.add(*plane)
    assert tally.result() == pixel_statistics(raw, decoded, variance, mean=mean, level=level)
    assert tally.result() != pixel_statistics(raw, decoded + 0.01, variance, mean=mean, level=level)


def test_numbers_survive_json():
    raw, decoded, variance, mean = volume((1, 70, 70))
    for found in (pixel_statistics(raw, decoded, variance, mean=mean), pixel_statistics(raw, decoded, variance)):
        assert PixelStatistics.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_a_lossless_codec_is_all_zeros():
    raw, _, variance, _ = volume((1, 70, 70))
    found = pixel_statistics(raw, raw.copy(), variance)
    zeros = (found.offset_dn, found.bias, found.spread, found.rms, found.largest, found.added_db)
    assert zeros == (0.0,) * 6
    assert found.grain == 1.0
    assert set(found.spectrum) == {0.0}
    assert math.isnan(found.lag_rows)


def test_levels_are_means_of_neighbours_in_whole_numbers():
    raw, *_ = volume((1, 30, 41))
    mean = ndimage.uniform_filter(raw[0].astype(np.float64), WINDOW, mode="nearest")
    np.testing.assert_array_equal(local_level(raw[0]), np.floor(mean + 0.5 + 1e-9).astype(np.uint16))
    assert local_level(np.full((2, 3), 65535, np.uint16)).min() == 65535


def test_classes_hold_equal_shares_or_one_level():
    levels = GreyLevels.of_planes([np.repeat(np.array([5, 9], np.uint16), [900, 100])])
    assert BrightnessClasses.of(levels).bounds.tolist() == [5, 9, 10]
    many = BrightnessClasses.of(GreyLevels.of_planes([np.arange(2000, dtype=np.uint16)]))
    assert np.diff(many.bounds).tolist() == [100] * 20
    table = many.table()
    assert (table[0], table[99], table[100], table[1999], table[65535]) == (0, 0, 1, 19, 19)


def test_planes_that_do_not_fit_are_refused():
    raw, decoded, variance, mean = volume((1, 20, 20))
    with pytest.raises(InputError, match="stands beside a raw image"):
        pixel_statistics(raw, decoded[:, :-1], variance)
    with pytest.raises(InputError, match=r"variance of 1 pixels is not above 0; add the 1/12"):
        pixel_statistics(raw, decoded, np.where(np.arange(400).reshape(raw.shape) == 7, 0.0, variance))
    tally = PixelTally(BrightnessClasses.of(GreyLevels.of_planes([raw])))
    with pytest.raises(InputError, match="of no pixel"):
        tally.result()
    with pytest.raises(InputError, match=r"the mean plane has shape \(20, 19\)"):
        tally.add(raw[0], decoded[0], variance[0], raw[0], mean[0, :, :-1])


def test_lifted_planes_are_the_lifted_volume():
    raw, decoded, *_ = volume((4, 20, 20))
    for image in (raw, decoded):
        np.testing.assert_array_equal(LiftedPlanes(_Reader(image), -0.7).read_planes(1, 3), lift(image, -0.7)[1:3])
    assert LiftedPlanes(_Reader(raw), 1.0).dtype == np.float32
    assert lift(np.array([1, 65535], np.uint16), -3.0).tolist() == [0.0, 65532.0]


class _Reader:
    def __init__(self, image):
        self.shape, self.dtype, self._image = image.shape, image.dtype, image

    def read_planes(self, start, stop):
        return self._image[start:stop]


@pytest.mark.parametrize(
    ("config", "signs"),
    [
        ({"id": "bit-depth", "inverse": "shift", "camera_bits": 12}, {"bias", "shifts the mean pixel"}),
        ({"id": "jpeg", "ratio": 60}, {"smooths"}),
        ({"id": "bit-depth"}, {"white"}),
        ({"id": "vsq", "step": 2.0}, {"adds noise"}),
    ],
    ids=["shift", "jpeg", "exact", "vsq"],
)
def test_codecs_show_what_they_do(config, signs):
    """A shift shows its bias; a hard JPEG less noise, correlated; 8 bit with its exact inverse neither; VSQ adds noise.

    Errors are white and uniform in the last two: n = 192^2, so 0.03 is more than five standard errors of a correlation.
    """
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:192, :192]
    electrons = 600 + 250 * np.sin(x / 17) * np.cos(y / 23)
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.8, read_noise_e=2.0)
    mean = 100 + electrons / 0.8
    variance = sensor.variance_dn2(mean) + ROUNDING_DN2
    raw = np.rint(100 + (rng.poisson(electrons) + rng.normal(0, 2.0, electrons.shape)) / 0.8).astype(np.uint16)
    decoded = build_codec(config).with_sensor(sensor).prepare(raw).apply(raw).decoded
    found = pixel_statistics(raw, decoded, variance, mean=mean)
    said = remarks("c", found)
    if "bias" in signs:
        assert found.offset_dn == pytest.approx(-7.5, abs=0.1), "cells of 16 levels, restored to their lower end"
        assert found.bias < -0.1
        assert found.brightness != 0
    if "smooths" in signs:
        assert found.truth.noise < 0.6
        assert min(found.truth.lag_rows, found.truth.lag_columns) > 0.3
        assert found.grain < 0.5
        assert abs(found.bias) < 0.05
    if signs & {"white", "adds noise"}:
        assert abs(found.bias) < 0.02
        assert max(abs(found.lag_rows), abs(found.lag_columns)) < 0.03
        assert max(found.spectrum) < 2 * min(found.spectrum)
    if "white" in signs:
        assert found.truth.noise == pytest.approx(1, abs=0.03)
    if "adds noise" in signs:
        assert found.added_db == pytest.approx(10 * math.log10(4 / 3), abs=0.03)
        assert found.truth.noise == pytest.approx(math.sqrt(4 / 3), abs=0.02)
        assert max(abs(found.truth.lag_rows), abs(found.truth.lag_columns)) < 0.03
    assert all(sign in said for sign in signs - {"bias"}), said


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study: a lossless codec, a hard JPEG, and 8 bit that is restored to the lower end of its cells."""
    folder = tmp_path_factory.mktemp("pixels")
    write_demo_inputs(folder, "spheres", size=96, seed=1, n_replicates=4)
    text = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(text[: text.index("[[codec]]")] + CODECS)
    config = load_config(folder / "study.toml", ("compute.threads=1",))
    return config, run_study(config, folder / "a.cdist", progress=Silence(), stop=StopFlag())


def _quantities(outcome, codec):
    return next(one for one in outcome.scores.codecs if one.codec == codec).quantities


def test_a_study_keeps_the_statistics_of_every_codec(finished):
    """Those of the function, of the raw image and what the codec makes of it."""
    config, outcome = finished
    store = StudyStore.open(outcome.folder)
    facts = store.facts("reference")["codecs"]
    assert list(facts) == ["identity", "jpeg-60", "shift"]
    chain = prepare(config, Silence()).chain
    raw = store.read("reference/raw")
    variance = chain.sensor.variance_dn2(local_level(raw)) + ROUNDING_DN2
    for name in facts:
        found = PixelStatistics.from_dict(facts[name]["pixels"])
        assert found == pixel_statistics(raw, store.read(f"codecs/{name}/image"), variance)
        assert (found.rms == 0) is (name == "identity")


def test_a_shift_is_mostly_removable_and_a_lossless_codec_leaves_nothing(finished):
    _, outcome = finished
    for q in _quantities(outcome, "identity"):
        assert q.paper_without_offset == q.paper.value or math.isnan(q.paper.value)
    area = next(q for q in _quantities(outcome, "shift") if q.name == "A")
    assert abs(area.paper.value) > 2
    assert abs(area.paper_without_offset) < 1
    jpeg = [q for q in _quantities(outcome, "jpeg-60") if q.decides and math.isfinite(q.paper.value)]
    assert max(abs(q.paper_without_offset) for q in jpeg) > 1, "what a hard JPEG loses cannot be taken out"


def test_what_is_left_is_e1_of_the_lifted_image_by_hand(finished):
    """The obvious twin: add the mean of raw - decoded, find, pair, score as a codec of its own."""
    config, outcome = finished
    store = StudyStore.open(outcome.folder)
    chain = prepare(config, Silence()).chain
    raw, decoded = store.read("reference/raw"), store.read("codecs/shift/image")
    offset = np.mean(raw.astype(np.float64) - decoded)
    assert offset == pytest.approx(31.5, abs=0.5), "cells of 64 levels"
    image = np.clip(decoded.astype(np.float32) + np.float32(offset), 0, 65535)
    found = compare(chain, load_reference(store, config, chain.sensor), chain.backend.to_device(image))
    made = codec_samples(store, "shift")
    by_hand = dataclasses.replace(made, values=found.aligned, totals=found.totals)
    (scored,) = score_study(raw_samples(store), [by_hand]).codecs
    stored = _quantities(outcome, "shift")
    assert [q.paper_without_offset for q in stored] == pytest.approx(
        [q.paper.value for q in scored.quantities], nan_ok=True
    )
    assert [q.paper_without_offset for q in stored] != pytest.approx([q.paper.value for q in stored], nan_ok=True)


def test_page_tables_and_twin_tell_it(finished):
    _, outcome = finished
    page = Page(outcome.report.read_text(encoding="utf-8"))
    for words in (
        "What codecs do to pixels", "No pixel changes under identity.", "shift shifts the mean pixel by",
        "Removable offset and information lost", "Bias and spectrum.", "jpeg-60 ", "smooths (fine grain",
    ):  # fmt: skip
        assert words in page.text, words
    area = next(q for q in _quantities(outcome, "shift") if q.name == "A")
    whole, left = area.paper.value, area.paper_without_offset
    assert f"{fixed(whole)} {fixed(whole - left)} and {fixed(left)}" in page.text
    assert any("spectrum of the residual. jpeg-60: largest bias" in alt for alt in page.attributes("aria-label"))
    twin = json.loads((outcome.report.parent / "report.json").read_text(encoding="utf-8"))
    shift = next(codec for codec in twin["codecs"] if codec["codec"] == "shift")
    assert shift["pixels"]["offset_dn"] < -5
    assert {"paper", "paper_without_offset"} <= set(shift["quantities"][0])

    def read(name):
        with (outcome.report.parent / "tables" / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    rows = {row["codec"]: row for row in read("pixels.csv")}
    assert float(rows["shift"]["bias"]) == shift["pixels"]["bias"]
    assert rows["identity"]["lag_rows"] == ""
    assert len(read("pixel_spectrum.csv")) == 3 * 32
    of_shift = [row for row in read("pixel_classes.csv") if row["codec"] == "shift"]
    assert sum(int(row["pixels"]) for row in of_shift) == 96 * 96
    first = next(row for row in read("scores.csv") if row["codec"] == "shift")
    assert float(first["E1_without_offset"]) == _quantities(outcome, "shift")[0].paper_without_offset


def test_studies_without_these_facts_still_open_and_say_so(finished, tmp_path):
    """A store as earlier versions wrote it."""
    _, outcome = finished
    folder = outcome.folder
    journal = Journal(folder / "journal.jsonl")
    before = journal.path.read_bytes()
    records = journal.records()
    for facts in records["reference"]["facts"]["codecs"].values():
        del facts["pixels"], facts["without_offset"]
    journal.path.unlink()
    try:
        for record in records.values():
            journal.append(record)
        old = report_study(folder, tmp_path / "old")
    finally:
        journal.path.write_bytes(before)
    assert "Not recorded: the study was made by an earlier version." in Page(old.report.read_text("utf-8")).text
    assert not (tmp_path / "old" / "tables" / "pixels.csv").exists()
    assert [one.verdict for one in old.scores.codecs] == [one.verdict for one in outcome.scores.codecs]
    assert all(math.isnan(q.paper_without_offset) for one in old.scores.codecs for q in one.quantities)
    assert config_of(StudyStore.open(folder)).codec


def test_many_codecs_take_several_figures():
    """Also where some were not recorded, and one changes every pixel alike: no spectrum to draw."""
    report = make_report(side=96)
    raw = report.raw
    sigma2 = np.full(raw.shape, 25.0)
    draw = np.random.default_rng(1)
    images = [raw, raw + 5, *(raw + draw.normal(0, 1 + k, raw.shape) for k in range(6))]
    codecs = [
        dataclasses.replace(report.codecs[1], codec=f"c{k}", pixels=pixel_statistics(raw, image, sigma2))
        for k, image in enumerate(images)
    ]
    codecs.append(dataclasses.replace(report.codecs[1], codec="unknown"))
    scores = tuple(dataclasses.replace(report.scores.codecs[1], codec=one.codec) for one in codecs)
    many = dataclasses.replace(report, codecs=tuple(codecs), scores=dataclasses.replace(report.scores, codecs=scores))
    parts = page_parts(many)
    assert [figure.count("<svg") for figure in parts["figures"]] == [1, 1]
    assert all(f"c{k}: largest bias" in parts["figures"][k > 4] for k in range(1, 8))
    assert (parts["still"], parts["missing"]) == ("No pixel changes under c0.", "unknown")
    assert [row[0].text for row in parts["table"].rows] == [f"c{k}" for k in range(8)]
    assert len(parts["split"].rows) == 8


def test_samples_without_offset_must_fit():
    made = make_report(side=96)
    raw = samples(made.raw_values, n_replicates=4)
    whole = report_codec_samples(raw, made.codecs[1])
    good = dataclasses.replace(whole, values_without_offset=whole.values, totals_without_offset=whole.totals)
    (scored,) = score_study(raw, [good]).codecs
    pairs = [(q.paper_without_offset, q.paper.value) for q in scored.quantities]
    assert all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)
    with pytest.raises(InputError, match="values of codec 8-bit without its offset have shape"):
        score_study(raw, [dataclasses.replace(good, values_without_offset=whole.values[:-1])])
    with pytest.raises(InputError, match="totals of codec 8-bit without its offset have shape"):
        score_study(raw, [dataclasses.replace(good, totals_without_offset=whole.totals[:-1])])


@pytest.mark.parametrize("kind", ["regions", "maps"])
def test_a_sensor_that_differs_by_pixel_is_taken_by_pixel(kind):
    """Variance where the pixel lies, whatever the kind of the model."""
    if kind == "maps":
        gain = np.full((20, 30), 0.5)
        gain[:, 15:] = 2.0
        maps = SensorMaps(offset_dn=np.full((20, 30), 100.0), gain_e_per_dn=gain, read_noise_e=np.full((20, 30), 2.0))
        sensor = SensorModel(regions=SENSOR.regions, maps=maps, frame_shape=(20, 30))
    else:
        parts = [
            SensorRegion(name=n, rows=(0, 20), columns=c, offset_dn=100.0, gain_e_per_dn=g, read_noise_e=2.0)
            for n, c, g in (("a", (0, 15), 0.5), ("b", (15, 30), 2.0))
        ]
        sensor = SensorModel(regions=tuple(parts), frame_shape=(20, 30))
    raw = np.full((20, 30), 500, np.uint16)
    variance = sensor.variance_dn2(local_level(raw)) + ROUNDING_DN2
    found = pixel_statistics(raw, raw + 4, variance)
    sides = [4 / math.sqrt(4 / g**2 + 400 / g + 1 / 12) for g in (0.5, 2.0)]
    assert found.bias == pytest.approx(np.mean(sides))
    assert found.largest == pytest.approx(max(sides))
