"""What the kernels of separable filters must do (see `cudahost.bodies`)."""

from dataclasses import replace
from itertools import combinations, cycle, pairwise, permutations, product

import numpy as np
from cudahost.bodies import same_bits
from cudahost.sparse_array import launch_last, sparse
from cudahost.standin_cupy import ndarray

from compdistort.backend.base import SeparableBank, SeparableScale
from compdistort.backend.device.convolve import as_float, separable_slab, smooth
from compdistort.backend.device.features import feature_slab
from compdistort.backend.plain.convolve import (
    even_pass,
    odd_pass,
    separable_stack,
    smooth_probability,
)
from compdistort.backend.plain.exact import fma
from compdistort.features import FeatureSpec, build_bank

OPERATORS = ("GS", "LoG", "GGM", "DoG")
BORDERS = ("mirror", "reflect")
UNTOUCHED = np.float32(-7.25)


def pixels(shape, seed=1):
    """Numbers of all sizes and signs, whose sums depend on their order in the last bits."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-6, 12, shape)).astype(np.float32)


def half_kernel(radius, seed):
    return np.random.default_rng(seed).standard_normal(radius + 1).astype(np.float32)


def scale_of(radius, narrow, before=None, seed=5):
    """Half kernels of random weights: no symmetry of a Gaussian can hide an exchange."""
    g, d, c, h, p = (half_kernel(r, seed + i) for i, r in enumerate((radius, radius, radius, narrow, before or 0)))
    d[0] = 0
    return SeparableScale(sigma_px=1.0, presmooth=None if before is None else p, smooth=g, first=d, second=c, narrow=h)


def bank_of(scales, border, columns=None):
    columns = columns or tuple((operator, i) for operator in OPERATORS for i in range(len(scales)))
    names = tuple(f"{operator} of scale {i}" for operator, i in columns)
    return SeparableBank(names=names, columns=columns, scales=tuple(scales), border=border)


def check_bank(engine, image, bank, what):
    got = engine.to_host(engine.feature_stack(engine.to_device(image), bank))
    for name, one, wanted in zip(bank.names, got, separable_stack(image.astype(np.float32), bank), strict=True):
        same_bits(one, wanted, f"{what}, {name}")


def check_presets(engine):
    """All columns of the three presets in 2D and 3D, on integer pixels that fill no tile."""
    for name in ("ilastik", "vigra", "plain"):
        for shape in ((37, 70), (11, 9, 67)):
            image = np.random.default_rng(3).integers(0, 65536, shape).astype(np.uint16)
            check_bank(engine, image, build_bank(FeatureSpec(set=name), len(shape)), f"{name} {shape}")


def check_thin(engine):
    """Axes of one or a few pixels, along which the mirror images repeat within one kernel."""
    shapes = ((1, 1), (1, 7), (7, 1), (2, 3), (1, 1, 1), (2, 3, 5), (1, 4, 33), (4, 1, 3), (3, 34, 1), (2, 1, 66))
    for border in BORDERS:
        bank = bank_of([scale_of(7, 5, 6), scale_of(3, 0)], border)
        for shape in shapes:
            check_bank(engine, pixels(shape), bank, f"{border} {shape}")


def check_edges(engine):
    """Every axis of a length around those of a tile: 32 lines, 64 outputs."""
    for n, border in zip((31, 32, 33, 63, 64, 65, 129), cycle(BORDERS), strict=False):
        bank = bank_of([scale_of(2, 1)], border)
        for shape in ((n, 3), (3, n), (n, 2, 3), (2, n, 3), (2, 3, n)):
            check_bank(engine, pixels(shape), bank, f"{border} {shape}")


def check_radii(engine):
    """Radii around the unrolling by 8, the 48 taps of the first tile and the pieces of 16 after it."""
    radii = (0, 1, 7, 8, 9, 15, 16, 17, 47, 48, 49, 56, 63, 64, 65, 80, 97)
    for border, (narrow, radius) in zip(BORDERS * 8, pairwise(radii), strict=True):
        bank = bank_of([scale_of(radius, narrow)], border)
        check_bank(engine, pixels((19, 70)), bank, f"{border}, radius {radius}, in 2D")
        check_bank(engine, pixels((70, 3)), bank, f"{border}, radius {radius}, along y")
    check_bank(engine, pixels((66, 2, 3)), bank_of([scale_of(70, 3)], "mirror"), "radius 70 along z")
    check_bank(engine, pixels((2, 66, 3)), bank_of([scale_of(70, 65)], "reflect"), "radius 70 along y in 3D")
    check_bank(engine, pixels((2, 3, 66)), bank_of([scale_of(50, 66)], "mirror"), "radius 50 along x in 3D")


def check_columns(engine):
    """Every subset of the columns of one scale, in every order of its first three; scales in any order."""
    scales = [scale_of(2, 1, 1, seed=1), scale_of(3, 0, seed=9)]
    for shape in ((5, 7), (3, 4, 5)):
        image = pixels(shape)
        for size in (1, 2, 3, 4):
            for subset in combinations(OPERATORS, size):
                columns = tuple((operator, i) for i in (1, 0) for operator in subset[:: 1 - 2 * i])
                check_bank(engine, image, bank_of(scales, "mirror", columns), f"{shape}, only {subset}")
        for order in permutations(OPERATORS, 3):
            check_bank(engine, image, bank_of(scales, "reflect", tuple((o, 0) for o in order)), f"{shape} {order}")


def check_slabs(engine):
    """Any slab gives the planes of the whole image, at the place asked for, and writes nothing else."""
    for shape in ((11, 35), (11, 3, 5)):
        image = pixels(shape)
        for border in BORDERS:
            bank = bank_of([scale_of(3, 5, 4), scale_of(13, 1), scale_of(1, 2, 14)], border)
            wanted = separable_stack(image, bank)
            for start, stop in ((0, 11), (0, 1), (5, 6), (10, 11), (0, 4), (3, 9), (7, 11)):
                what = f"{border} {shape}, slab {start}:{stop}"
                _check_slab(engine, image, bank, wanted, start, stop, what)


def check_planar(engine):
    """Planes that are filtered each by itself, beside filters along z: any preset, columns, kernels, slabs."""
    image = np.random.default_rng(3).integers(0, 65536, (3, 19, 67)).astype(np.uint16)
    for name in ("ilastik", "vigra", "plain"):
        spec = FeatureSpec(set=name, sigmas=(0.7, 1.6, 3.5), planar=(0.7, 3.5))
        check_bank(engine, image, build_bank(spec, 3), f"{name}, planar")
    scales = [replace(scale_of(r, n, p), planar=flat) for r, n, p, flat in ((3, 5, 4, True), (2, 1, 6, False))]
    scales += [replace(scale_of(13, 1), planar=True), replace(scale_of(1, 2, 14), planar=True)]
    for border, shape in product(BORDERS, ((1, 1, 1), (9, 1, 33), (3, 34, 2), (2, 3, 66))):
        check_bank(engine, pixels(shape), bank_of(scales, border), f"planar, {border} {shape}")
    for subset in (*combinations(OPERATORS, 1), *combinations(OPERATORS, 3)):
        columns = tuple((operator, i) for i in (1, 0, 2) for operator in subset)
        check_bank(engine, pixels((3, 4, 5)), bank_of(scales[:3], "mirror", columns), f"planar, only {subset}")
    image, bank = pixels((11, 3, 5)), bank_of(scales[:3], "reflect")
    wanted = separable_stack(image, bank)
    for start, stop in ((0, 11), (0, 1), (10, 11), (3, 9)):
        _check_slab(engine, image, bank, wanted, start, stop, f"planar, slab {start}:{stop}")
    flat = bank_of([replace(scale_of(2, 1), planar=True)], "mirror")
    check_bank(engine, pixels((40, 33)), flat, "an image of one plane")


def _check_slab(engine, image, bank, wanted, start, stop, what):
    room = np.full((len(bank.names), stop - start + 3, *image.shape[1:]), UNTOUCHED)
    with engine.cuda.here():
        out = engine.cuda.upload(room)
        feature_slab(engine.cuda, engine.cuda.upload(image), bank, start, stop, out, 2)
        got = engine.cuda.download(out)
    room[:, 2 : stop - start + 2] = wanted[:, start:stop]
    same_bits(got, room, what)


def check_little_memory(engine):
    """A budget of less than one plane's temporaries still gives the whole stack, plane by plane."""
    image, bank = pixels((7, 6, 5)), bank_of([scale_of(2, 1, 3)], "mirror")
    before, engine.cuda.slab_bytes = engine.cuda.slab_bytes, 1
    try:
        check_bank(engine, image, bank, "one plane at a time")
        check_smooth(engine, shapes=((9, 4), (5, 4, 6)), sigmas=(1.3,))
    finally:
        engine.cuda.slab_bytes = before


def check_types(engine):
    """Integer pixels become the float32 of the same value; float32 may be negative, subnormal or huge."""
    rng = np.random.default_rng(8)
    bank = bank_of([scale_of(3, 2, 1)], "reflect")
    for dtype in (np.uint8, np.uint16):
        image = rng.integers(0, np.iinfo(dtype).max + 1, (17, 33)).astype(dtype)
        image[0, :2] = 0, np.iinfo(dtype).max
        check_bank(engine, image, bank, dtype.__name__)
        with engine.cuda.here():
            same_bits(engine.cuda.download(as_float(engine.cuda, engine.cuda.upload(image))),
                      image.astype(np.float32), f"{dtype.__name__} as float32")  # fmt: skip
    for exponent in (-140, -70, 50):
        check_bank(engine, pixels((17, 33)) * np.float32(2.0**exponent), bank, f"float32 times 2^{exponent}")


def check_smooth(engine, shapes=((1, 1), (33, 66), (3, 5, 7), (2, 34, 3), (5, 1, 65)), sigmas=(0.2, 1.0, 3.5, 26.0)):
    """The probability's Gaussian, from no neighbour at all to 52."""
    for shape in shapes:
        probability = np.random.default_rng(6).random(shape, np.float32)
        for sigma in sigmas:
            with engine.cuda.here():
                got = engine.cuda.download(smooth(engine.cuda, engine.cuda.upload(probability), sigma))
            same_bits(got, smooth_probability(probability, sigma), f"probability {shape}, sigma {sigma}")


def check_refusals(engine):
    """A column named twice, or kernels of one scale that differ in length, cannot be made."""
    scale = scale_of(2, 1)
    twice = bank_of([scale], "mirror", (("GS", 0), ("GS", 0)))
    uneven = bank_of([replace(scale, first=half_kernel(3, 1))], "mirror")
    for bank, message in ((twice, "twice"), (uneven, "one length")):
        with engine.cuda.here():
            image, out = engine.cuda.upload(pixels((3, 4))), engine.cuda.empty((len(bank.names), 3, 4), np.float32)
            try:
                separable_slab(engine.cuda, image, bank, 0, 3, out, 0)
            except ValueError as error:
                assert message in str(error)  # noqa: PT017 - bodies run without pytest
            else:
                raise AssertionError(f"a bank was taken that should be refused: {message}")


def check_longest_axis(engine):
    """An axis of over 2^27 pixels is refused, not cut to 32 bits. For kernels that g++ built."""
    bank = bank_of([scale_of(2, 1)], "mirror")
    with engine.cuda.here():
        out = engine.cuda.empty((4, 1, 1), np.float32)
        try:
            separable_slab(engine.cuda, ndarray(sparse((2**27 + 1, 1))), bank, 0, 1, out, 0)
        except ValueError as error:
            assert "crop" in str(error)  # noqa: PT017 - bodies run without pytest
        else:
            raise AssertionError("an axis was taken that should be refused")


def check_giant(engine):
    """The last corner of volumes of over 2^31 voxels: no index may be cut to 32 bits. For kernels that g++ built."""
    _check_giant_strided(engine)
    _check_giant_rows(engine)


def _check_giant_strided(engine):
    nz, ny, nx, r, scale = 70, 5000, 7000, 4, scale_of(4, 2)
    inner, corner = ny * nx, pixels((70, 40))
    volume, to = sparse((nz, inner)), [sparse((nz, inner)) for _ in range(4)]
    volume[:, -40:] = corner
    wanted = passes(corner, scale, 0)
    taps = engine.to_device(np.stack([scale.smooth, scale.first, scale.second, scale.smooth], axis=1))
    on_device, out = ndarray(volume), [ndarray(each) for each in to]
    grid, last = (2 * -(-inner // 32),), slice(64, 70)
    launch_last(engine, "convolve.three_along", grid, (32, 8), on_device, *out[:3], taps, r, 0, nz, 0, 0, nz, inner)
    for name, got, one in zip("gdc", to, wanted, strict=False):
        same_bits(got[last, -24:], one[last, -24:], f"{name} along z of a giant")
    launch_last(engine, "convolve.even_along", grid, (32, 8), on_device, out[3], taps, r, 0, nz, 0, 0, nz, inner)
    same_bits(to[3][last, -24:], wanted[0][last, -24:], "even kernel along z of a giant")
    y = ("convolve.volume_y", (nz * 79 * 219,), (32, 8), on_device, on_device, on_device, *out, taps, r, 0, ny, nx)
    plane = volume[-1].reshape(ny, nx)
    plane[-40:, -40:] = pixels((40, 40))
    launch_last(engine, *y)
    g, d, c = passes(plane[-40:, -40:], scale, 0)
    for name, got, one in zip(("g", "d", "g + c", "g"), to, (g, d, g + c, g), strict=True):
        same_bits(got[-1].reshape(ny, nx)[-8:, -24:], one[-8:, -24:], f"{name} along y of a giant")


def _check_giant_rows(engine):
    rows, nx, r, scale = 270_000, 8200, 4, scale_of(4, 2)
    image, to = sparse((rows, nx)), [sparse((rows, nx)) for _ in range(4)]
    image[-30:, -40:] = pixels((30, 40))
    g, d, c = passes(image[-30:, -40:], scale, 1)
    taps = engine.to_device(np.stack([scale.smooth, scale.first, scale.second, scale.smooth], axis=1))
    on_device, out = ndarray(image), [ndarray(each) for each in to]
    grid = (129 * -(-rows // 32),)
    launch_last(engine, "columns.columns_x", grid, (32, 8), *[on_device] * 5, *out, taps, r, taps, r, 0, rows, nx)
    last = (slice(-16, None), slice(-8, None))
    wanted = (g, g + c, np.sqrt(fma(d, d, fma(g, g, g * g))), g - g)
    for name, got, one in zip(OPERATORS, to, wanted, strict=True):
        same_bits(got[last], one[last], f"{name} of a giant")
    launch_last(engine, "columns.even_x", grid, (32, 8), on_device, out[3], taps, r, 0, rows, nx)
    same_bits(to[3][last], g[last], "even kernel along x of a giant")


def passes(image, scale, axis):
    """Gaussian, first and second derivative along one axis."""
    return tuple(
        one(image, half, axis, "mirror")
        for one, half in ((even_pass, scale.smooth), (odd_pass, scale.first), (even_pass, scale.second))
    )
