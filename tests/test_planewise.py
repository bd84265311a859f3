"""Volumes through codecs plane by plane: the bits of the whole stack at once, few planes in memory, each read once."""

from dataclasses import dataclass, replace
from typing import ClassVar

import codec_checks as checks
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.codecs import (
    BitDepth,
    DecodedPlanes,
    Identity,
    Jpeg,
    JpegLs,
    changes,
    compress_planes,
    depth_scale,
    registry,
)
from compdistort.codecs.array_codec import LosslessCodec
from compdistort.codecs.base import ConfigCodec
from compdistort.codecs.depth_link import DepthLink
from compdistort.codecs.jpeg2000 import Jpeg2000
from compdistort.codecs.library_codec import DepthCodec, FloatCodec, LibraryCodec, WordCodec
from compdistort.codecs.plane_coder import CodedPlane, PlaneCoder
from compdistort.codecs.planewise import PlanewiseCodec, each_plane
from compdistort.errors import CodecRangeError, ConfigError, ImageFormatError
from compdistort.grey_levels import GreyLevels


class Planes:
    """A volume on disk, as far as a codec can tell: it notes what is asked of it."""

    def __init__(self, stack):
        self._stack, self.shape, self.dtype, self.asked, self.counted = stack, stack.shape, stack.dtype, [], 0

    def read_planes(self, start, stop):
        assert 0 <= start < stop <= self.shape[0]
        self.asked.append((start, stop))
        return self._stack[start:stop].copy()

    def levels(self):
        """Count grey levels without a note."""
        self.counted += 1
        return GreyLevels.of_planes(self._stack)

    def passes(self):
        """Return how often each plane was read."""
        return np.bincount([z for span in self.asked for z in range(*span)], minlength=self.shape[0]).tolist()


def no_levels():
    raise AssertionError("this codec takes nothing from the grey levels")


def volume(shape, seed, low=0, top=65536):
    return np.random.default_rng(seed).integers(low, top, shape).astype(np.uint16)


def takes_levels(codec):
    if isinstance(codec, BitDepth | DepthCodec):
        return codec.range.startswith(("minmax", "percentile"))
    return isinstance(codec, WordCodec | LosslessCodec) and codec.lattice == "remove"


# ---- the slow twin: the whole stack at once, by the plain formulas ----


def limits(codec, stack):
    """Lowest and highest grey level of the range of a whole stack, by sorting it."""
    ordered, policy = np.sort(stack.ravel()), codec.range.split("(")[0]
    if policy == "minmax":
        return int(ordered[0]), int(ordered[-1])
    if policy == "percentile":
        share = float(codec.range.split("(")[1][:-1]) / 200
        rank = int(share * (stack.size - 1) + 0.5)
        return int(ordered[rank]), int(ordered[-1 - rank])
    if policy == "display":
        low, high = codec.range.split("(")[1][:-1].split(",")
        return int(low), int(high)
    return 0, 2 ** (int(codec.range.split("(")[1][:-1]) if policy == "bits" else codec.camera_bits) - 1


def twin(codec, stack):
    """Return decoded stack, bytes and record of a prepared codec."""
    if isinstance(codec, Identity):
        return stack, stack.nbytes, {"codec": "identity"}
    record = {"codec": codec.codec_id}
    if isinstance(codec, LibraryCodec):
        record |= {codec.knob.name: getattr(codec, codec.knob.name), **codec.link_settings()}
    if isinstance(codec, LosslessCodec):
        record = codec.settings()
    if getattr(codec, "search", None) is not None:
        found = codec.search
        record |= {"target_ratio": found.target, "raw_ratio": found.ratio, "reached": found.reached}
        record |= {"limit": found.limit, "encodes": found.encodes}
    if isinstance(codec, WordCodec | LosslessCodec):
        shift = 0
        while codec.lattice == "remove" and shift < 15 and stack.any() and not (stack & (2 ** (shift + 1) - 1)).any():
            shift += 1
        codes, size = coded(codec, stack >> shift)
        side = int(codec.lattice == "remove")
        return codes << shift, size + side, record | {"step_dn": 2**shift, "side_bytes": side}
    if isinstance(codec, FloatCodec):
        codes, size = coded(codec, stack.astype(np.float32))
        outside = int(((codes < 0) | (codes > 65535)).sum())
        return np.clip(codes, 0, 65535), size, record | {"decoded_outside": outside, "side_bytes": 0}
    low, high = limits(codec, stack)
    fixed = f"display({low},{high})" if low < high else codec.range
    bits = codec.code_bits() if isinstance(codec, DepthCodec) else codec.bits
    scale = DepthLink.resolved(
        bits, codec.camera_bits, codec.range if codec.inverse == "shift" else fixed, codec.rounding, codec.inverse
    ).scale(checks.levels_of(stack))
    codes = scale.codes[stack]
    codes, size = coded(codec, codes) if isinstance(codec, DepthCodec) else (codes, codes.nbytes)
    side = {"none": 0, "shift": 1}.get(codec.inverse, 4)
    record |= {"inverse": codec.inverse, "low_dn": low, "high_dn": high, "step_dn": scale.step, "side_bytes": side}
    record |= {"clipped_low": int((stack < low).sum()), "clipped_high": int((stack > high).sum())}
    if "reached" in record and record["reached"] and abs(2 * stack.size / (size + side) / codec.ratio - 1) > 0.05:
        record |= {"reached": False, "limit": "planes"}
    return scale.levels[codes], size + side, record


def coded(codec, codes):
    """Return codes that went through a coder plane by plane, and its bytes; JPEG by its own calls, spelled out."""
    if isinstance(codec, Jpeg):
        streams = [
            imagecodecs.jpeg8_encode(plane, level=codec.quality, bitspersample=codec.bits, optimize=True)
            for plane in codes
        ]
        return np.stack([imagecodecs.jpeg8_decode(s) for s in streams]), sum(map(len, streams))
    streams = [codec.coder.encode(plane, codec.level()) for plane in codes]
    back = [codec.coder.decode(s, codes.shape[1:], codes.dtype) for s in streams]
    return np.stack(back), sum(map(len, streams))


ROUNDED = st.sampled_from(["imagej", "floor", "round"])
RANGES = st.sampled_from(["minmax", "full", "percentile(0.35)", "percentile(20)", "display(300, 4000)", "bits(13)"])
HONEST = st.sampled_from(["exact", "naive255", "midpoint", "none"])
DEPTHS = st.fixed_dictionaries({"range": RANGES, "rounding": ROUNDED, "inverse": HONEST})
CODECS = st.one_of(
    st.sampled_from(checks.CODECS),
    st.builds(lambda depth: BitDepth(**depth), DEPTHS),
    st.builds(
        lambda depth, bits, quality: Jpeg(**depth, bits=bits, quality=quality),
        DEPTHS,
        st.sampled_from([8, 12]),
        st.integers(1, 100),
    ),
    st.builds(
        lambda depth, bits, ratio: Jpeg(**depth, bits=bits, ratio=ratio),
        DEPTHS,
        st.sampled_from([8, 12]),
        st.floats(1.5, 60),
    ),
)
GREY = st.sampled_from([(0, 65536), (1000, 1001), (900, 1156), (100, 4196), (65000, 65536)])


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 17), st.integers(1, 17)),
    seed=st.integers(0, 2**32 - 1),
    grey=GREY,
    codec=CODECS,
    slab=st.integers(1, 21),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_plane_by_plane_is_the_whole_at_once(shape, seed, grey, codec, slab):
    stack = volume(shape, seed, *grey)
    planes = Planes(stack)
    prepared = codec.prepare_planes(planes, planes.levels)
    assert prepared == codec.prepare(stack)
    whole = prepared.apply(stack)
    decoded, size, record = twin(prepared, stack)
    np.testing.assert_array_equal(whole.decoded, decoded)
    assert (whole.decoded.dtype, whole.encoded_bytes, whole.record) == (decoded.dtype, size, record)
    assert whole.ratio == 2 * stack.size / size

    planes = Planes(stack)
    reader = DecodedPlanes(prepared, planes, planes.levels)
    assert (reader.shape, reader.dtype) == (shape, whole.decoded.dtype)
    assert planes.asked == []
    slabs = [reader.read_planes(z, min(z + slab, shape[0])) for z in range(0, shape[0], slab)]
    assert all(each.dtype == reader.dtype and each.flags.c_contiguous for each in slabs)
    np.testing.assert_array_equal(np.concatenate(slabs), whole.decoded)
    assert planes.passes() == [1] * shape[0]

    planes = Planes(stack)
    outcome = compress_planes(prepared, planes, planes.levels)
    assert (outcome.encoded_bytes, outcome.ratio) == (whole.encoded_bytes, whole.ratio)
    assert outcome.record == whole.record
    assert list(outcome.record) == list(whole.record)
    assert planes.passes() == [1] * shape[0]
    assert planes.counted == takes_levels(codec)

    changed = whole.decoded.dtype != np.uint16 or not np.array_equal(whole.decoded, stack)
    assert changes(prepared, Planes(stack), planes.levels) == changed


def test_range_of_a_part_is_not_that_of_the_whole():
    """The negative control: a range from the first plane alone shows in what comes back and in what is clipped."""
    stack = volume((3, 20, 20), 1, 500, 900)
    stack[2] += 700
    for codec in (BitDepth(), BitDepth(range="percentile(5)"), Jpeg(quality=80), Jpeg(bits=12, quality=80)):
        right = DecodedPlanes(codec, Planes(stack), Planes(stack).levels).read_planes(0, 3)
        wrong = DecodedPlanes(codec, Planes(stack), Planes(stack[:1]).levels).read_planes(0, 3)
        assert (right != wrong).any()
        record = compress_planes(codec, Planes(stack), Planes(stack[:1]).levels).record
        assert (
            record["clipped_high"] > compress_planes(codec, Planes(stack), Planes(stack).levels).record["clipped_high"]
        )


def test_lattice_of_a_part_is_not_that_of_the_whole():
    stack = volume((3, 20, 20), 1, 500, 900) * np.uint16(16)
    stack[2] += 4
    codec = JpegLs(near=0, lattice="remove")
    reader = DecodedPlanes(codec, Planes(stack), Planes(stack).levels)
    np.testing.assert_array_equal(reader.read_planes(0, 3), stack)
    assert compress_planes(codec, Planes(stack), Planes(stack).levels).record["step_dn"] == 4
    wrong = DecodedPlanes(codec, Planes(stack), Planes(stack[:1]).levels)
    np.testing.assert_array_equal(wrong.read_planes(0, 2), stack[:2])
    with pytest.raises(CodecRangeError, match="called lossless but changed the image"):
        wrong.read_planes(2, 3)


@pytest.mark.parametrize("part", [1, 7, 59, 60, 61])
def test_tables_that_are_looked_up_in_parts(part, monkeypatch):
    monkeypatch.setattr(depth_scale, "_AT_ONCE", part)
    image = volume((3, 4, 5), 2).transpose(1, 2, 0)
    scale = DepthLink.resolved(12, 16, "full", "imagej", "exact").scale(no_levels)
    codes = scale.reduce(image)
    np.testing.assert_array_equal(codes, scale.codes[image])
    np.testing.assert_array_equal(scale.restore(codes), scale.levels[codes])
    assert (codes.dtype, scale.restore(codes).dtype) == (np.uint16, scale.levels.dtype)
    codes[1, 1, 1] = 4096
    with pytest.raises(CodecRangeError, match="code 4096 came back, but the highest is 4095"):
        scale.restore(codes)


# ---- what is read ----


@pytest.mark.parametrize("codec", checks.CODECS, ids=repr)
def test_a_few_planes_are_asked_for_at_a_time(codec):
    stack = volume((41, 6, 5), 3, 100, 3000)
    codec = replace(codec, ratio=None, quality=50) if isinstance(codec, Jpeg) and codec.quality is None else codec
    for reads in (
        lambda planes: DecodedPlanes(codec, planes, planes.levels).read_planes(0, 41),
        lambda planes: compress_planes(codec, planes, planes.levels),
    ):
        planes = Planes(stack)
        reads(planes)
        assert max(stop - start for start, stop in planes.asked) == 8
        assert planes.asked == [(start, min(start + 8, 41)) for start in range(0, 41, 8)]


def test_levels_are_asked_for_once_and_only_where_they_count():
    stack = volume((9, 6, 5), 3, 100, 3000)
    for codec in checks.CODECS:
        prepared = codec.prepare(stack)
        planes = Planes(stack)
        levels = planes.levels if takes_levels(codec) else no_levels
        reader = DecodedPlanes(prepared, planes, levels)
        for z in range(9):
            reader.read_planes(z, z + 1)
        assert planes.counted == takes_levels(codec)
    assert sum(map(takes_levels, checks.CODECS)) > 3


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 33])
def test_a_ratio_is_searched_on_the_planes_of_the_sample_alone(n):
    stack = np.stack([volume((12, 14), seed, 100, 4000) // (1 + seed % 3) for seed in range(n)])
    planes = Planes(stack)
    found = Jpeg(ratio=4).prepare_planes(planes, planes.levels)
    sample = list(range(n))[:: -(-n // 8)]
    assert planes.asked == [(z, z + 1) for z in sample]
    assert (len(sample) <= 8, planes.counted) == (True, 1)
    # The range is that of all planes, the ratio that of the sample.
    low, high = int(stack.min()), int(stack.max())
    again = Jpeg(ratio=4, range=f"display({low},{high})").prepare(stack[sample])
    assert (found.quality, found.search) == (again.quality, again.search)
    planes = Planes(stack)
    assert found.prepare_planes(planes, no_levels) is found
    assert planes.asked == []


@pytest.mark.parametrize(("others", "reached"), [("alike", True), ("noisier", False)])
def test_a_stack_unlike_its_sample_did_not_reach_the_ratio(others, reached):
    rng, y = np.random.default_rng(3), np.arange(96)
    smooth = 2000 + 1500 * np.sin(y / 9)[:, None] * np.cos(y / 7)
    planes = [smooth + rng.normal(0, 300 if others == "noisier" and z % 2 else 30, (96, 96)) for z in range(16)]
    stack = np.clip(planes, 0, 4095).astype(np.uint16)
    codec = Jpeg2000(ratio=10).prepare(stack)
    assert codec.search.reached  # on the planes 0, 2, ..
    result = codec.apply(stack)
    assert (result.record["reached"], result.record["limit"]) == (reached, "" if reached else "planes")
    assert (abs(result.ratio / 10 - 1) <= 0.05) == reached


def test_what_changes_nothing_is_told_from_what_does():
    stack = volume((41, 4, 4), 5, 0, 256) * np.uint16(256)
    codec = BitDepth(inverse="shift")
    planes = Planes(stack)
    assert not changes(codec, planes, no_levels)
    assert planes.passes() == [1] * 41
    stack[9, 3, 3] += 1
    planes = Planes(stack)
    assert changes(codec, planes, no_levels)
    assert planes.asked == [(0, 8), (8, 16)]
    # Another type is a change, whatever the values: no plane is read.
    fractions = BitDepth(range="display(0,1000)")
    planes = Planes(np.zeros((3, 4, 4), np.uint16))
    assert fractions.apply(np.zeros((3, 4, 4), np.uint16)).decoded.max() == 0
    assert changes(fractions, planes, no_levels)
    assert planes.asked == []


def test_planes_of_a_part():
    planes = Planes(volume((20, 2, 2), 6))
    assert len(list(each_plane(planes, 3, 14))) == 11
    assert planes.asked == [(3, 11), (11, 14)]


# ---- codecs that code planes together, readers that fail, decoders that lie ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs(ConfigCodec):
    """Every second plane is the one before it: nothing that one plane can do alone."""

    codec_id: ClassVar[str] = "pairs"

    def prepare(self, raw):
        return self

    def apply(self, image):
        return replace(Identity().apply(image), decoded=np.repeat(image[::2], 2, axis=0)[: len(image)])

    def describe(self):
        return "every second plane"


def test_a_codec_of_several_planes_says_that_it_cannot():
    stack, codec = volume((5, 4, 4), 7), Pairs()
    assert (codec.apply(stack).decoded[1] == stack[0]).all()
    planes = Planes(stack)
    for call in (
        lambda: DecodedPlanes(codec, planes, no_levels),
        lambda: compress_planes(codec, planes, no_levels),
        lambda: changes(codec, planes, no_levels),
        lambda: codec.prepare_planes(planes, no_levels),
    ):
        with pytest.raises(ConfigError, match=r"codec 'pairs' codes several planes together.*\(5, 4, 4\).*max_memory"):
            call()
    assert planes.asked == []


def test_other_packages_must_say_how_planes_go(monkeypatch):
    class Old:
        codec_id = "old"
        from_config = get_config = raw_alone = with_sensor = prepare = apply = describe = None

    class Point:
        name, value, dist = "old", "package:Old", None

        @staticmethod
        def load():
            return Old

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point])
    with pytest.raises(ConfigError, match="lacks restored, prepare_planes, plane_coder; update the package"):
        registry.find_codec("old")


def test_errors_of_the_reader_pass_through():
    error = ImageFormatError("plane 11 is damaged")

    class Damaged(Planes):
        def read_planes(self, start, stop):
            if start <= 11 < stop:
                raise error
            return super().read_planes(start, stop)

    stack = volume((20, 4, 4), 8, 100, 3000)
    codec = Jpeg(quality=50, range="full")
    reader = DecodedPlanes(codec, Damaged(stack), no_levels)
    assert reader.read_planes(0, 11).shape == (11, 4, 4)
    for call in (
        lambda: reader.read_planes(5, 20),
        lambda: compress_planes(codec, Damaged(stack), no_levels),
        lambda: changes(Identity(), Damaged(stack), no_levels),
        lambda: DecodedPlanes(BitDepth(), Damaged(stack), lambda: GreyLevels.of_planes(each_plane(Damaged(stack)))),
    ):
        with pytest.raises(ImageFormatError) as caught:
            call()
        assert caught.value is error


@dataclass(frozen=True, kw_only=True)
class Liar(PlanewiseCodec):
    """A codec whose planes come back as it is told."""

    codec_id: ClassVar[str] = "liar"

    lie: object
    dtype: str = "float32"
    lossless: bool = False

    def prepare_planes(self, planes, levels):
        return self

    def plane_coder(self, planes, levels):
        def code(plane, _number):
            wrong = plane[0, 0] == 11
            decoded = self.lie(plane) if wrong else plane.astype(self.dtype)
            return CodedPlane(decoded=decoded, encoded_bytes=1)

        return PlaneCoder(
            dtype=np.dtype(self.dtype), code=code, side_bytes=0, record=lambda _: {}, lossless=self.lossless
        )

    def describe(self):
        return "a lie"


@pytest.mark.parametrize(
    ("liar", "words"),
    [
        (Liar(lie=lambda p: np.full(p.shape, 65536, np.float32)), "decoded values 65536 to 65536, outside"),
        (Liar(lie=lambda p: np.full(p.shape, -1, np.float32)), "decoded values -1 to -1, outside"),
        (Liar(lie=lambda p: np.full(p.shape, np.nan, np.float32)), "decoded values nan to nan"),
        (Liar(lie=lambda p: p), r"decoded uint16 of shape \(3, 4\)"),
        (Liar(lie=lambda p: p.T.astype(np.float32)), r"decoded float32 of shape \(4, 3\) from shape \(3, 4\)"),
        (Liar(lie=lambda p: p.astype(float), dtype="float64"), "decoded float64"),
        (Liar(lie=lambda p: p + np.uint16(1), dtype="uint16", lossless=True), "called lossless but changed the image"),
    ],
)
def test_every_plane_is_checked(liar, words):
    stack = np.stack([np.full((3, 4), value, np.uint16) for value in (9, 10, 11)])
    if liar.dtype != "float64":
        assert DecodedPlanes(liar, Planes(stack), no_levels).read_planes(0, 2).tolist() == stack[:2].tolist()
    for call in (
        lambda: DecodedPlanes(liar, Planes(stack), no_levels).read_planes(0, 3),
        lambda: compress_planes(liar, Planes(stack), no_levels),
        lambda: liar.apply(stack),
    ):
        with pytest.raises(CodecRangeError, match=f"codec 'liar' .*{words}" if "decoded" in words else words):
            call()


def test_what_cannot_be_carried_is_refused_before_it_is_read():
    cases = [(codec, np.zeros((2, 3, 4), np.uint8), "takes uint16") for codec in checks.CODECS]
    cases += [(codec, np.zeros((0, 3, 4), np.uint16), "takes images and stacks") for codec in checks.CODECS]
    cases += [
        (Jpeg(quality=50), np.zeros((2, 1, 65501), np.uint16), "takes at most 65500 rows and columns, not 1 x 65501")
    ]
    for codec, stack, words in cases:
        planes = Planes(stack)
        for call in (codec.prepare_planes, codec.plane_coder, lambda p, s, c=codec: DecodedPlanes(c, p, s)):
            with pytest.raises(CodecRangeError, match=f"codec '{codec.codec_id}' {words}"):
                call(planes, no_levels)
        assert planes.asked == []
    with pytest.raises(ConfigError, match=r"no quality yet; call prepare"):
        DecodedPlanes(Jpeg(ratio=10), Planes(np.zeros((2, 3, 4), np.uint16)), no_levels)
