"""What the Weka kernels must do (see `cudahost.bodies`)."""

import json
from dataclasses import replace

import numpy as np
from cudahost.bodies import same_bits
from cudahost.sparse_array import launch_last, sparse
from cudahost.standin_cupy import ndarray
from golden import feature_hashes

from compdistort.backend.base import WekaScale
from compdistort.backend.device.weka import weka_slab
from compdistort.backend.plain.weka import _blur_columns, derivative_planes, weka_stack
from compdistort.features.weka import weka_bank

DEFAULT = weka_bank((1.0, 2.0, 4.0, 8.0, 16.0))
WITHOUT_ZERO = weka_bank((2.0, 4.0, 8.0))
SMALL = weka_bank((1.0, 2.0))
UNTOUCHED = np.float32(-7.25)


def slab_planes(engine, image, bank, start=0, stop=None, room=None, first=0):
    """Planes of the rows from `start` to `stop`, as rows from `first` of a stack with room for `room` rows."""
    stop = len(image) if stop is None else stop
    room = stop - start if room is None else room
    with engine.cuda.here():
        out = engine.cuda.upload(np.full((len(bank.names), room, image.shape[1]), UNTOUCHED))
        weka_slab(engine.cuda, engine.cuda.upload(image), bank, start, stop, out, first)
        return engine.cuda.download(out)


def check_planes(engine, image, bank, what):
    image = np.ascontiguousarray(image, np.float32)
    for name, got, wanted in zip(bank.names, slab_planes(engine, image, bank), weka_stack(image, bank), strict=True):
        same_bits(got, wanted, f"{what}, {name}")


def camera(shape, seed=1):
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(np.float32)


def check_weka_shapes(engine):
    """Images that fill no tile, are shorter than the radius (28 taps), or have a single row, column or pixel."""
    for shape in ((1, 1), (1, 9), (9, 1), (2, 2), (2, 3), (5, 28), (27, 3), (8, 32), (9, 33), (33, 65), (66, 30)):
        check_planes(engine, camera(shape), DEFAULT, f"70 planes of {shape}")
    for bank in (WITHOUT_ZERO, weka_bank((0.7, 1.4)), weka_bank((3.0,))):
        for shape in ((1, 1), (19, 35)):
            check_planes(engine, camera(shape), bank, f"{bank.names[1]} first, {shape}")


def check_weka_long_lines(engine):
    """Lines of several tiles, whose neighbours lie in the tiles before and after."""
    check_planes(engine, camera((3, 600)), DEFAULT, "3 long rows")
    check_planes(engine, camera((150, 3)), DEFAULT, "3 long columns")


def check_weka_radii(engine):
    """63 and 64 taps, the longest that shared memory holds, then 65 and 107, on lines longer and shorter."""
    bank = weka_bank((37.0, 38.0, 38.5, 64.0))
    assert [scale.kernel.size for scale in bank.scales] == [63, 64, 65, 107]
    for shape in ((2, 280), (150, 2), (20, 33)):
        check_planes(engine, camera(shape), bank, f"long kernels on {shape}")


def check_weka_ends(engine):
    """A made-up kernel whose tail sums are all large, so that a first or last pixel too many or too few is seen."""
    taps = [np.array(each, np.float32) for each in ((0.5, 0.25, 0.125, 0.0625), (0.9, 0.7, 0.4, 0.3))]
    bank = replace(weka_bank((2.0,)), scales=(WekaScale(sigma=2.0, kernel=taps[0], tail=taps[1]),))
    for n in range(1, 11):
        check_planes(engine, camera((n, 3)), bank, f"{n} rows, 4 taps")
        check_planes(engine, camera((3, n)), bank, f"{n} columns, 4 taps")


def check_weka_flat(engine):
    """A constant has no direction: 0 divided by 0 in the orientation gives 0."""
    for level in (0, 1, 40000, 65535, -3.5):
        check_planes(engine, np.full((10, 37), level), DEFAULT, f"constant {level}")


def check_weka_steps(engine):
    """Dark next to saturated: edges in four directions, a corner, single pixels in the corners, a chess board."""
    y, x = np.mgrid[:21, :39]
    corners = np.zeros((21, 39), bool)
    corners[[0, 0, -1, -1, 10], [0, -1, 0, -1, 17]] = True
    for name, bright in {
        "row": y > 9, "column": x > 17, "diagonal": x > y + 6, "antidiagonal": x + y > 30,
        "corner": (y > 9) & (x > 17), "pixels": corners, "chess": (x + y) % 2 == 0, "stripes": x % 2 == 0,
    }.items():  # fmt: skip
        check_planes(engine, bright * 65535.0, DEFAULT, f"{name}, bright")
        check_planes(engine, ~bright * 65535.0, DEFAULT, f"{name}, dark")


def check_weka_signed_zero(engine):
    """A cosine of exactly 1 beside a tiny negative mixed derivative: the orientation is -0."""
    image = np.zeros((9, 9), np.float32)
    image[5:] = 32768
    image[1, 4] = 1e-4
    plane = weka_stack(image, SMALL)[SMALL.names.index("Hessian_Orientation_0.0")]
    assert (np.signbit(plane) & (plane == 0)).any()
    for turned in (image, image.T, image[::-1], image[:, ::-1]):
        check_planes(engine, turned, SMALL, "signed zero")


def check_weka_float_pixels(engine):
    """Negative, tiny, subnormal, huge pixels and negative zeros."""
    image = np.random.default_rng(5).normal(0, 1e3, (18, 41)).astype(np.float32)
    check_planes(engine, image, DEFAULT, "normal deviates")
    check_planes(engine, image * np.float32(1e-41), SMALL, "subnormal pixels")
    with np.errstate(over="ignore"):
        check_planes(engine, image * np.float32(1e9), SMALL, "huge pixels, one plane of which overflows")
    check_planes(engine, np.where(image < 0, np.float32(-0.0), image), SMALL, "negative zeros")
    check_planes(engine, np.full((4, 5), -0.0, np.float32), WITHOUT_ZERO, "nothing but negative zeros")


def check_weka_slabs(engine):
    """Every split of an image into three slabs, into any place of a larger stack; the rest of it stays untouched."""
    image = camera((11, 35))
    for bank in (weka_bank((1.0, 4.0)), weka_bank((4.0,))):
        whole = weka_stack(image, bank)
        for start in range(11):
            for stop in range(start + 1, 12):
                room, first = stop - start + start % 3, start % 3
                got = slab_planes(engine, image, bank, start, stop, room, first)
                same_bits(got[:, first:], whole[:, start:stop], f"rows {start} to {stop}")
                assert (got[:, :first] == UNTOUCHED).all(), f"rows {start} to {stop}: written before their place"


def check_weka_tall_slabs(engine):
    """Slabs whose surroundings are cut off on neither side, one, and both; rows of more than one tile."""
    image = camera((140, 3))
    whole = weka_stack(image, DEFAULT)
    for start, stop in ((0, 70), (40, 110), (70, 140), (60, 61)):
        got = slab_planes(engine, image, DEFAULT, start, stop, stop - start + 2, 1)
        same_bits(got[:, 1:-1], whole[:, start:stop], f"rows {start} to {stop}")
        assert (got[:, [0, -1]] == UNTOUCHED).all(), f"rows {start} to {stop}: written outside their place"


def check_weka_golden(engine):
    """The committed hashes of all 70 planes."""
    image = feature_hashes.made_up_image(feature_hashes.CASES["weka 2D"][1])
    bank = feature_hashes.bank_of("weka 2D")
    hashes = feature_hashes.plane_hashes(bank.names, slab_planes(engine, image, bank))
    assert hashes == json.loads(feature_hashes.FILE.read_text())["weka 2D"]


def check_weka_giant(engine):
    """The last corner of an image of over 2^32 pixels: no index may be cut to 32 bits. For kernels that g++ built."""
    rows, columns = 120000, 40000
    image, one, stack = sparse((rows, columns)), sparse((rows, columns)), sparse((21, rows, columns))
    corner, finer = camera((100, 300)), camera((8, 32), seed=2)
    image[-100:, -300:], stack[0, -8:, -32:] = corner, finer
    scale = SMALL.scales[1]
    taps = [engine.to_device(each) for each in (scale.kernel, scale.tail)] + [scale.kernel.size]
    to, out = (ndarray(image), ndarray(one)), (ndarray(image), ndarray(stack))
    along_y = _blur_columns(corner, scale)
    launch_last(engine, "weka.blur_x", (rows * 157,), (256,), *to, *taps, columns)
    same_bits(one[-1, -64:], _blur_columns(corner[-1:].T, scale)[-64:, 0], "the last tile along x")
    launch_last(engine, "weka.blur_y", (1250 * 1875,), (32, 8), *to, *taps, columns, rows, 0, rows, 0, rows)
    same_bits(one[-64:, -32:], along_y[-64:, -32:], "the last tile along y")
    blocks = (rows * columns // 256,)
    launch_last(engine, "weka.blur_direct", blocks, (256,), *to, *taps, rows, columns, 0, 0, rows * columns)
    same_bits(one[-1, -256:], along_y[-1, -256:], "the last pixels without a tile")
    launch_last(
        engine, "weka.planes", (1250 * 15000,), (32, 8), *out, columns, rows, 0, rows, rows * columns, 0, 10, 1, 0
    )
    wanted = [corner, *derivative_planes(corner)]
    same_bits(stack[10:20, -8:, -32:], np.stack(wanted)[:, -8:, -32:], "the last tile of planes")
    same_bits(stack[20, -8:, -32:], finer - corner[-8:, -32:], "the last tile of a difference")
    launch_last(engine, "weka.original", blocks, (256,), *out, 0, columns, rows * columns)
    same_bits(stack[0, -1, -256:], corner[-1, -256:], "the last pixels of the original")
