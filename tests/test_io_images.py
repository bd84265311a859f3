"""Reading images: nothing damaged, lying or of the wrong kind gets in; each refusal names file, value and remedy."""

import errno
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tiff_builder as made
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compdistort.errors import CompdistortError, ConfigError, ImageFormatError, ResourceError
from compdistort.io.images import (
    atomic_path,
    parse_crop,
    read_image,
    read_stack,
    sha256_file,
    write_image,
    write_ome_zarr,
    write_png,
    write_tiff,
)

PLANE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100
STACK = np.stack([PLANE, PLANE + 1, PLANE + 2])


def refused(path, *words, error=ImageFormatError, **options):
    """Read, expect a refusal of one line that names the file and all `words`."""
    with pytest.raises(error) as caught:
        read_image(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert caught.value.remedy
    for word in words:
        assert word in text, text
    return text


def write_bytes(path, data):
    path.write_bytes(data)
    return path


# ---- what is read ----


@pytest.mark.parametrize("image", [PLANE, STACK], ids=["plane", "stack"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"tile": (16, 16), "compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"ome": True},
        {"imagej": True},
        {"rowsperstrip": 3, "compression": "packbits"},
    ],
    ids=lambda o: "-".join(o) or "plain",
)
def test_tiff_flavours_are_read_to_the_bit(tmp_path, image, options):
    if {"ome", "imagej"} & set(options):
        options = {**options, "metadata": {"axes": "ZYX"[-image.ndim :]}}
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", **options)
    read = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read, image)
    assert read.dtype == np.uint16
    assert read.flags.c_contiguous
    assert read.dtype.isnative


@pytest.mark.parametrize("image", [PLANE, STACK], ids=["plane", "stack"])
def test_own_writers_round_trip(tmp_path, image):
    write_tiff(tmp_path / "a.tif", image, {"seed": 1, "word": "µ"})
    write_ome_zarr(tmp_path / "a.zarr", image)
    np.save(tmp_path / "a.npy", image)
    for name in ("a.tif", "a.zarr", "a.npy"):
        np.testing.assert_array_equal(read_image(tmp_path / name), image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert json.loads(file.pages[0].description) == {"seed": 1, "word": "µ"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.float32, np.float64])
def test_any_keeps_the_stored_type(tmp_path, dtype):
    image = (PLANE % 200).astype(dtype)
    for name in ("a.tif", "a.zarr"):
        write_image(tmp_path / name, image)
        read = read_image(tmp_path / name, kind="any")
        assert read.dtype == dtype
        np.testing.assert_array_equal(read, image)


def test_masks_and_labels(tmp_path):
    mask = PLANE > 3000
    for name in ("m.tif", "m.png", "m.zarr"):
        write_image(tmp_path / name, mask)
        read = read_image(tmp_path / name, kind="mask")
        assert read.dtype == np.bool_
        np.testing.assert_array_equal(read, mask)
    labels = (PLANE // 7000).astype(np.int32)
    tifffile.imwrite(tmp_path / "l.tif", labels)
    read = read_image(tmp_path / "l.tif", kind="labels")
    assert read.dtype == np.uint32
    np.testing.assert_array_equal(read, labels)


def test_palette_and_inverted_pages_are_labels_by_their_stored_numbers(tmp_path):
    labels = (PLANE // 7000).astype(np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", labels, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif", kind="labels"), labels)
    tifffile.imwrite(tmp_path / "w.tif", PLANE, photometric="miniswhite")
    refused(tmp_path / "w.tif", "white is zero")


def test_writing_again_gives_the_same_bytes(tmp_path):
    write_tiff(tmp_path / "a.tif", STACK, {"b": 1, "a": 2})
    write_tiff(tmp_path / "b.tif", STACK, {"a": 2, "b": 1})
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_crop_and_page(tmp_path):
    write_tiff(tmp_path / "s.tif", STACK)
    crop = parse_crop("2:9,4:20")
    np.testing.assert_array_equal(read_image(tmp_path / "s.tif", crop=crop), STACK[:, 2:9, 4:20])
    np.testing.assert_array_equal(
        read_image(tmp_path / "s.tif", crop=parse_crop("1:3,2:9,4:20")), STACK[1:3, 2:9, 4:20]
    )
    np.testing.assert_array_equal(read_image(tmp_path / "s.tif", page=2), STACK[2])
    refused(tmp_path / "s.tif", "page 3", "0 to 2", page=3)
    refused(tmp_path / "s.tif", "crop 2:99,4:20", "20 x 30", crop=((2, 99), (4, 20)))
    refused(tmp_path / "s.tif", "crop 9:9,4:20", crop=((9, 9), (4, 20)))
    for text in ("1:2", "a:b,c:d", "1:2,3:4,5:6,7:8", "-1:2,3:4", ""):
        with pytest.raises(ImageFormatError, match="crop"):
            parse_crop(text)


def test_folder_of_planes_is_read_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 2, 1):
        tifffile.imwrite(tmp_path / f"frame_{number}.tif", PLANE + np.uint16(number))
    (tmp_path / ".hidden.tif").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no image")
    np.testing.assert_array_equal(read_image(tmp_path), np.stack([PLANE + 1, PLANE + 2, PLANE + 10]))
    np.testing.assert_array_equal(read_image(tmp_path, page=2), PLANE + 10)
    tifffile.imwrite(tmp_path / "frame_3.tif", PLANE[:5])
    assert "frame_3.tif: is 5 x 30 uint16" in refused(tmp_path)
    tifffile.imwrite(tmp_path / "frame_3.tif", STACK, photometric="minisblack")
    assert "each file is one plane" in refused(tmp_path)


def test_read_stack_joins_files(tmp_path):
    write_tiff(tmp_path / "a.tif", STACK)
    write_tiff(tmp_path / "b.tif", PLANE)
    both = [tmp_path / "a.tif", tmp_path / "b.tif"]
    np.testing.assert_array_equal(read_stack(both), np.concatenate([STACK, PLANE[None]]))
    assert read_stack(tmp_path / "b.tif").shape == (1, 20, 30)
    write_tiff(tmp_path / "c.tif", PLANE[:, :7])
    with pytest.raises(ImageFormatError, match=r"c\.tif: is 20 x 7 uint16.*frames of one size"):
        read_stack([*both, tmp_path / "c.tif"])
    with pytest.raises(ImageFormatError, match="no file is given"):
        read_stack([])
    with pytest.raises(ImageFormatError, match="limit"):
        read_stack(both, max_bytes=4000)


# ---- the wrong kind of pixels ----

RAW_CASES = {
    "8 bit": ((PLANE % 250).astype(np.uint8), "uint8", "16 bit", "camera's own 16-bit file"),
    "int8": ((PLANE % 100).astype(np.int8), "int8", "16 bit"),
    "int16 in range": ((PLANE // 4).astype(np.int16), "int16", "values are 0 to", "astype('uint16')"),
    "int16 negative": ((PLANE // 4).astype(np.int16) - np.int16(9), "-9", "add one constant"),
    "int32 in range": (PLANE.astype(np.int32), "int32", "astype('uint16')"),
    "int32 too large": (PLANE.astype(np.int32) * 3, "179700", "sums or scaled"),
    "uint32": (PLANE.astype(np.uint32), "uint32", "astype('uint16')"),
    "float of whole numbers": (PLANE.astype(np.float32), "float32", "astype('uint16')"),
    "float": (PLANE.astype(np.float32) + np.float32(0.5), "float32", "not whole numbers", "averaged"),
    "double": (PLANE.astype(np.float64) / 3, "float64", "not whole numbers"),
}


@pytest.mark.parametrize("case", RAW_CASES)
def test_raw_is_never_guessed(tmp_path, case):
    image, *words = RAW_CASES[case]
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack")
    np.save(tmp_path / "a.npy", image)
    refused(tmp_path / "a.tif", *words)
    refused(tmp_path / "a.npy", *words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["raw", "labels", "mask", "any"])
def test_nan_and_inf_are_refused_for_every_purpose(tmp_path, value, kind):
    image = PLANE.astype(np.float32)
    image[2, 3] = image[5, 5] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    refused(tmp_path / "a.tif", "2 pixels are NaN or infinite", "(2, 3)", kind=kind)


def test_colour_and_odd_shapes_are_refused(tmp_path):
    rgb = np.zeros((20, 30, 3), np.uint16)
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    refused(tmp_path / "rgb.tif", "colour (3 samples", "one channel", kind="any")
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(rgb, 2, 0), photometric="rgb", planarconfig="separate")
    refused(tmp_path / "planar.tif", "colour")
    np.save(tmp_path / "rgb.npy", rgb)
    refused(tmp_path / "rgb.npy", "looks like colour", "(planes, rows, columns)", kind="any")
    np.save(tmp_path / "four.npy", np.zeros((2, 2, 4, 5), np.uint16))
    refused(tmp_path / "four.npy", "4 axes (2 x 2 x 4 x 5)")
    np.save(tmp_path / "one.npy", np.zeros(5, np.uint16))
    refused(tmp_path / "one.npy", "1 axes")
    np.save(tmp_path / "none.npy", np.zeros((0, 5), np.uint16))
    refused(tmp_path / "none.npy", "no pixels (0 x 5)")
    np.save(tmp_path / "complex.npy", np.zeros((5, 5), np.complex64))
    refused(tmp_path / "complex.npy", "complex64", kind="any")
    np.save(tmp_path / "object.npy", np.array([[1, None]], object), allow_pickle=True)
    refused(tmp_path / "object.npy", "object", kind="any")
    tifffile.imwrite(tmp_path / "jpeg.tif", (PLANE % 256).astype(np.uint8), compression="jpeg")
    refused(tmp_path / "jpeg.tif", "compression 7", "Deflate", kind="any")


def test_channels_and_times_are_not_read_as_planes(tmp_path):
    five = np.zeros((2, 3, 8, 9), np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", five, imagej=True, metadata={"axes": "ZCYX"})
    refused(tmp_path / "c.tif", "3 channels", "choose one page")
    assert read_image(tmp_path / "c.tif", page=1).shape == (8, 9)
    tifffile.imwrite(tmp_path / "t.tif", five, imagej=True, metadata={"axes": "TZYX"})
    refused(tmp_path / "t.tif", "planes and times", "one time point")
    tifffile.imwrite(tmp_path / "c.ome.tif", five, ome=True, photometric="minisblack", metadata={"axes": "ZCYX"})
    refused(tmp_path / "c.ome.tif", "3 channels")
    tifffile.imwrite(tmp_path / "one.tif", PLANE, description="ImageJ=1.54f\nimages=40\nslices=40\n", metadata=None)
    refused(tmp_path / "one.tif", "40 images under one page", "BigTIFF")


def test_ome_xml_is_never_parsed(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE o [<!ENTITY a "aaaaaaaaaa">]><OME xmlns="http://www.openmicroscopy.org/'
    bomb += 'Schemas/OME/2016-06"><Image><Pixels SizeC="1" FileName="../../secret.tif">&a;</Pixels></Image></OME>'
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANE, description=bomb, metadata=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif"), PLANE)


def test_labels_and_masks_of_the_wrong_kind(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", PLANE.astype(np.float32))
    refused(tmp_path / "f.tif", "float32", "labels are whole numbers", kind="labels")
    refused(tmp_path / "f.tif", "float32", "a mask has two values", kind="mask")
    tifffile.imwrite(tmp_path / "n.tif", PLANE.astype(np.int32) - 1)
    refused(tmp_path / "n.tif", "negative label -1", kind="labels")
    tifffile.imwrite(tmp_path / "g.tif", PLANE)
    refused(tmp_path / "g.tif", "more values than 0 and 59900", "threshold", kind="mask")
    with pytest.raises(ConfigError, match="image kind 'grey'"):
        read_image(tmp_path / "g.tif", kind="grey")


# ---- damaged and lying files ----


def test_missing_empty_and_misnamed(tmp_path):
    refused(tmp_path / "none.tif", "does not exist")
    refused(write_bytes(tmp_path / "empty.tif", b""), "is empty")
    refused(write_bytes(tmp_path / "a.jpg", b"\xff\xd8\xff\xe0"), "unknown suffix '.jpg'", "use TIFF")
    refused(write_bytes(tmp_path / "text.tif", b"hello world"), "named as TIFF", "other first bytes")
    write_png(tmp_path / "a.png", PLANE)
    shutil.copy(tmp_path / "a.png", tmp_path / "b.tif")
    refused(tmp_path / "b.tif", "named as TIFF but is PNG", "suffix")
    (tmp_path / "void").mkdir()
    refused(tmp_path / "void", "neither TIFF files nor an OME-Zarr image")
    os.mkfifo(tmp_path / "pipe.tif")
    refused(tmp_path / "pipe.tif", "not a plain file")


TRUNCATED = {
    "tif": {},
    "deflate.tif": {"compression": "zlib", "rowsperstrip": 4},
    "lzw.tif": {"compression": "lzw", "rowsperstrip": 4},
    "big.tif": {"bigtiff": True},
    "tiled.tif": {"tile": (16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_tiff_at_20_offsets(tmp_path, name):
    image = np.random.default_rng(0).integers(0, 65536, (2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / name, image, photometric="minisblack", metadata=None, **TRUNCATED[name])
    data = (tmp_path / name).read_bytes()
    path = tmp_path / f"cut.{name}"
    for length in np.linspace(1, len(data) - 1, 20).astype(int):
        refused(write_bytes(path, data[:length]), "get the file again")


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_truncated_png_and_npy_at_20_offsets(tmp_path, suffix):
    image = np.random.default_rng(0).integers(0, 65536, (20, 30)).astype(np.uint16)
    if suffix == "png":
        write_png(tmp_path / "a.png", image)
    else:
        np.save(tmp_path / "a.npy", image)
    data = (tmp_path / f"a.{suffix}").read_bytes()
    for length in np.linspace(1, len(data) - 1, 20).astype(int):
        refused(write_bytes(tmp_path / f"cut.{suffix}", data[:length]), "get the file again")


PIXELS = PLANE.tobytes()
LYING = {
    "huge": (made.tiff(PIXELS, made.tags_of(20_000_000, 8_000_000, 8, len(PIXELS))), "claims 8000000 x 20000000"),
    "widest": (made.tiff(PIXELS, made.tags_of(2**32 - 1, 2**32 - 1, 8, len(PIXELS))), "claims"),
    "above the limit": (made.tiff(PIXELS, made.tags_of(3000, 1500, 8, len(PIXELS))), "above the limit of 5000000"),
    "too few pixels": (made.tiff(PIXELS, made.tags_of(30, 21, 8, len(PIXELS))), "1200 bytes of pixels, its size needs"),
    "strip past the end": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 5000)), "needs bytes up to 5008"),
    "offset zero": (made.tiff(PIXELS, made.tags_of(30, 20, 0, len(PIXELS))), "no data for strip"),
    "count zero": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 0)), "no data for strip"),
    "no offsets": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200, OFFSETS=None)), "lists 0 of its 1 strips"),
    "strips missing": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200, ROWS=4)), "lists 1 of its 5 strips"),
    "no width": (made.tiff(PIXELS, made.tags_of(0, 20, 8, 1200)), ""),
    "loop to itself": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200), following=1208), "points back"),
    "next page past the end": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200), following=99999), "past its"),
    "no page": (b"II*\0\0\0\0\0" + PIXELS, "holds no page"),
    "no tag": (made.tiff(PIXELS, {}), "0 tags"),
    "more tags than bytes": (made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200))[:1208] + b"\xff\xff", "65535 tags"),
    "tag past the end": (
        made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200)).replace(
            struct.pack("<HHII", made.OFFSETS, made.LONG, 1, 8), struct.pack("<HHII", made.OFFSETS, made.LONG, 2**31, 8)
        ),
        "tag 273 of page 0",
    ),
    "bad version": (b"II\x29\0" + made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200))[4:], "other first bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", LYING)
def test_lying_tiff(tmp_path, case):
    data, word = LYING[case]
    refused(write_bytes(tmp_path / "a.tif", data), word, max_bytes=5_000_000)


def test_the_builder_makes_readable_files(tmp_path):
    """Negative control: what the lying files change is all that is wrong with them."""
    good = made.tiff(PIXELS, made.tags_of(30, 20, 8, len(PIXELS)))
    np.testing.assert_array_equal(read_image(write_bytes(tmp_path / "a.tif", good)), PLANE)


def test_two_page_loop_is_found(tmp_path):
    first = made.tiff(PIXELS, made.tags_of(30, 20, 8, 1200), following=0)
    second = made.directory(made.tags_of(30, 20, 8, 1200), following=1208)
    data = first[:-4] + struct.pack("<I", len(first)) + second
    refused(write_bytes(tmp_path / "a.tif", data), "page 2 points back")


def test_a_stack_counts_as_a_whole_against_the_limit(tmp_path):
    write_tiff(tmp_path / "a.tif", STACK)
    refused(tmp_path / "a.tif", "3 x 20 x 30", "3600 bytes", "above the limit of 3000", max_bytes=3000)
    assert read_image(tmp_path / "a.tif", page=1, max_bytes=3000).shape == (20, 30)


def test_many_pages(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3000, 4, 5), np.uint16), photometric="minisblack", metadata=None)
    assert read_image(tmp_path / "a.tif").shape == (3000, 4, 5)


def test_pages_of_different_size_or_type(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PLANE, metadata=None)
        file.write(PLANE[:10], metadata=None)
        file.write((PLANE % 200).astype(np.uint8), metadata=None)
    refused(tmp_path / "a.tif", "page 1 is 10 x 30 uint16, page 0 is 20 x 30 uint16", "choose one page")
    assert read_image(tmp_path / "a.tif", page=1).shape == (10, 30)


def test_damaged_strips(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE, compression="zlib", metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[start + length // 2 : start + length // 2 + 8] = b"\0" * 8
    refused(write_bytes(tmp_path / "b.tif", bytes(data)), "cannot be decoded")


def _png(columns, rows, bits, colour, rest=b"\0" * 40):
    head = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + rest


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (_png(2**31 - 1, 2**31 - 1, 16, 0), "claims"),
        (_png(10, 10, 8, 2), "RGB"),
        (_png(10, 10, 8, 3), "palette"),
        (_png(10, 10, 16, 4), "transparency"),
        (_png(10, 10, 8, 9), "colour type 9"),
        (_png(10, 10, 1, 0), "1 bits a pixel"),
        (_png(10, 10, 16, 0), "no end mark"),
        (_png(10, 10, 16, 0, b"\0" * 40 + b"IEND\xaeB`\x82"), "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "no valid PNG header"),
    ],
)
def test_bad_png(tmp_path, data, word):
    refused(write_bytes(tmp_path / "a.png", data), word, kind="labels")


def test_bad_npy(tmp_path):
    np.save(tmp_path / "a.npy", PLANE)
    data = (tmp_path / "a.npy").read_bytes()
    refused(write_bytes(tmp_path / "b.npy", data + b"x"), "do not hold 20 x 30 uint16")
    lie = data.replace(b"(20, 30), }      ", b"(99999999, 9999),")
    assert lie != data
    refused(write_bytes(tmp_path / "c.npy", lie.replace(b"9999),", b"999)}  ")), "claims 99999999 x 999")
    refused(write_bytes(tmp_path / "d.npy", data.replace(b"fortran", b"FORTRAN")), "no valid npy header")
    bomb = tmp_path / "pickle.npy"
    np.save(bomb, np.array([[_Bomb(tmp_path / "ran")]], object), allow_pickle=True)
    refused(bomb, "object", kind="any")
    assert not (tmp_path / "ran").exists()


class _Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


# ---- OME-Zarr ----


def test_ome_zarr_follows_the_specification(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", STACK)
    group = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    ome = group["attributes"]["ome"]
    assert (group["zarr_format"], group["node_type"], ome["version"]) == (3, "group", "0.5")
    scale = ome["multiscales"][0]
    assert [axis["name"] for axis in scale["axes"]] == ["z", "y", "x"]
    assert scale["datasets"] == [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]}
    ]
    array = json.loads((tmp_path / "a.zarr/0/zarr.json").read_text())
    assert array["dimension_names"] == ["z", "y", "x"]
    write_ome_zarr(tmp_path / "a.zarr", PLANE)
    assert read_image(tmp_path / "a.zarr").shape == (20, 30)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_replicates_are_written_along_t(tmp_path):
    write_ome_zarr(tmp_path / "r.zarr", STACK, axes=("t", "y", "x"))
    refused(tmp_path / "r.zarr", "3 times", "save one of them")
    for axes in (("x", "y"), ("y", "x", "z"), ("q", "y", "x")):
        with pytest.raises(ImageFormatError, match="axes"):
            write_ome_zarr(tmp_path / "x.zarr", STACK, axes=axes)


def _zarr2(path, image, axes, name="0", **options):
    """An OME-Zarr 0.4 folder."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=image.shape, dtype=image.dtype, **options)
    array[...] = image
    scale = {"version": "0.4", "axes": [{"name": a} for a in axes], "datasets": [{"path": name}]}
    (path / ".zattrs").write_text(json.dumps({"multiscales": [scale]}))
    return path


def test_ome_zarr_04(tmp_path):
    np.testing.assert_array_equal(
        read_image(_zarr2(tmp_path / "a.zarr", STACK + 1, "zyx", chunks=(1, 8, 8))), STACK + 1
    )
    five = STACK[None, None] + 1
    np.testing.assert_array_equal(
        read_image(_zarr2(tmp_path / "b.zarr", five, "tczyx", chunks=(1, 1, 1, 8, 8))), STACK + 1
    )
    np.testing.assert_array_equal(read_image(tmp_path / "b.zarr", page=1), STACK[1] + 1)
    refused(tmp_path / "b.zarr", "no page 3", page=3)
    refused(_zarr2(tmp_path / "c.zarr", STACK + 1, "cyx", chunks=(1, 8, 8)), "3 channels")
    refused(_zarr2(tmp_path / "d.zarr", STACK + 1, "xyz", chunks=(1, 8, 8)), "axes x y z", "order t c z y x")
    refused(_zarr2(tmp_path / "e.zarr", STACK + 1, "yx", chunks=(1, 8, 8)), "2 axes for an array of 3")


@pytest.mark.parametrize("name", ["../secret.zarr/0", "/etc", "0/../../secret.zarr/0", "", "..\\secret", "0\0", "link"])
def test_a_data_set_cannot_lead_out_of_the_folder(tmp_path, name):
    _zarr2(tmp_path / "secret.zarr", PLANE + 1, "yx", chunks=(8, 8))
    path = _zarr2(tmp_path / "a.zarr", PLANE + 1, "yx", name=name, chunks=(8, 8))
    (path / "link").symlink_to(tmp_path / "secret.zarr" / "0")
    refused(path, "leads out of the folder")


def test_a_coder_that_runs_code_is_refused(tmp_path):
    path = _zarr2(tmp_path / "a.zarr", PLANE + 1, "yx", chunks=(20, 30))
    meta = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps({**meta, "filters": [{"id": "pickle", "protocol": 5}]}))
    refused(path, "coder 'pickle'")
    write_ome_zarr(tmp_path / "b.zarr", PLANE)
    meta = json.loads((tmp_path / "b.zarr/0/zarr.json").read_text())
    inner = [{"name": "numcodecs.pickle", "configuration": {}}]
    shard = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [20, 30], "codecs": inner, "index_codecs": []},
    }
    (tmp_path / "b.zarr/0/zarr.json").write_text(json.dumps({**meta, "codecs": [shard]}))
    refused(tmp_path / "b.zarr", "coder 'numcodecs.pickle'")


def test_missing_chunks(tmp_path):
    path = _zarr2(
        tmp_path / "a.zarr", PLANE + 1, "yx", chunks=(8, 8), chunk_key_encoding={"name": "v2", "separator": "/"}
    )
    (path / "0/1/1").unlink()
    refused(path, "1 of 12 chunks are missing", "write_empty_chunks")
    mask = (PLANE > 50_000).astype(np.uint8)
    sparse = _zarr2(tmp_path / "m.zarr", mask, "yx", chunks=(4, 4))
    assert sum(1 for _ in (sparse / "0").iterdir()) < 35
    np.testing.assert_array_equal(read_image(sparse, kind="mask"), mask > 0)
    write_ome_zarr(tmp_path / "zero.zarr", np.zeros_like(PLANE))
    assert not read_image(tmp_path / "zero.zarr").any()


def test_lying_and_damaged_zarr(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", PLANE)
    meta_path = tmp_path / "a.zarr/0/zarr.json"
    good = meta_path.read_text()
    meta_path.write_text(json.dumps({**json.loads(good), "shape": [10_000_000, 10_000_000]}))
    refused(tmp_path / "a.zarr", "claims 10000000 x 10000000")
    refused(tmp_path / "a.zarr", "above the limit", kind="mask")
    grid = {"name": "regular", "configuration": {"chunk_shape": [10_000_000, 10_000_000]}}
    meta_path.write_text(json.dumps({**json.loads(good), "chunk_grid": grid}))
    refused(tmp_path / "a.zarr", "above the limit")
    meta_path.write_text("{")
    refused(tmp_path / "a.zarr", "cannot be read as OME-Zarr")
    meta_path.write_text("[]")
    refused(tmp_path / "a.zarr", "no JSON object", "0/zarr.json")
    meta_path.write_text(good)
    chunk = tmp_path / "a.zarr/0/c/0/0"
    write_bytes(chunk, chunk.read_bytes()[:-20])
    refused(tmp_path / "a.zarr", "cannot be read as OME-Zarr")
    (tmp_path / "a.zarr/zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}}))
    refused(tmp_path / "a.zarr", "without an OME image", "multiscales")
    shutil.rmtree(tmp_path / "a.zarr/0")
    write_ome_zarr(tmp_path / "b.zarr", PLANE)
    shutil.rmtree(tmp_path / "b.zarr/0")
    refused(tmp_path / "b.zarr", "data set '0' is missing")


# ---- fuzzing: only our error or a valid array, within bounded time and memory ----


def _seed(**options):
    plane = (np.arange(12 * 10) % 97).astype(np.uint16).reshape(12, 10)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([plane, plane]), photometric="minisblack", metadata=None, **options)
    return buffer.getvalue()


SEEDS = {
    "plain": _seed(),
    "zlib": _seed(compression="zlib", predictor=True),
    "tiled": _seed(tile=(16, 16), compression="lzw"),
    "big": _seed(bigtiff=True, compression="zstd"),
}


@pytest.fixture
def bounded_memory():
    """4 GiB more address space than now: a lying header that gets through would break it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _read_flipped(folder, data):
    seed = bytearray(SEEDS[data.draw(st.sampled_from(sorted(SEEDS)))])
    for place in data.draw(st.lists(st.integers(0, len(seed) - 1), min_size=1, max_size=6)):
        seed[place] = data.draw(st.integers(0, 255))
    path = write_bytes(folder / "f.tif", bytes(seed))
    try:
        image = read_image(path, kind="any", max_bytes=100_000_000)
    except CompdistortError as error:
        return str(path) in str(error) and "\n" not in str(error)
    return image.ndim in (2, 3) and image.dtype.kind in "buif"


FUZZ = settings(deadline=2000, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(FUZZ, max_examples=400)
@given(data=st.data())
def test_flipped_bytes_give_our_error_or_an_array(tmp_path, bounded_memory, data):
    assert _read_flipped(tmp_path, data)


@pytest.mark.slow
@settings(FUZZ, max_examples=10_000)
@given(data=st.data())
def test_many_flipped_bytes(tmp_path, bounded_memory, data):
    assert _read_flipped(tmp_path, data)


# ---- writing whole or not at all ----


def test_writers_refuse_what_they_cannot_keep(tmp_path):
    for array in (np.zeros((2, 2, 2, 2), np.uint16), np.zeros((2, 2), np.complex64), np.zeros((0, 2), np.uint16)):
        with pytest.raises(ImageFormatError, match="cannot write"):
            write_tiff(tmp_path / "a.tif", array)
    with pytest.raises(ImageFormatError, match="PNG"):
        write_png(tmp_path / "a.png", np.zeros((2, 2), np.float32))
    with pytest.raises(ImageFormatError, match="PNG"):
        write_png(tmp_path / "a.png", STACK)
    with pytest.raises(ImageFormatError, match="cannot write"):
        write_ome_zarr(tmp_path / "a.zarr", np.zeros((2, 2), np.complex64))
    with pytest.raises(ImageFormatError, match=r"type '\.bmp'"):
        write_image(tmp_path / "a.bmp", PLANE)
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_a_resource_error(tmp_path):
    for write, name in ((write_tiff, "a.tif"), (write_png, "a.png"), (write_ome_zarr, "a.zarr")):
        if write is write_ome_zarr:
            (tmp_path / "file").write_text("")
            target = tmp_path / "file" / name
        else:
            target = tmp_path / "none" / name
        with pytest.raises(ResourceError) as caught:
            write(target, PLANE)
        assert str(target) in str(caught.value)
        assert caught.value.remedy


def test_size_limit_leaves_the_old_file_whole(tmp_path):
    """A full disk, as far as a test can have one: the file may not grow past 4 kB (in a process of its own)."""
    script = f"""
import resource, sys
import numpy as np
from compdistort.errors import ResourceError
from compdistort.io.images import write_tiff, write_png, write_ome_zarr
noise = np.random.default_rng(0).integers(0, 65536, (200, 200)).astype(np.uint16)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for write, name in ((write_tiff, "a.tif"), (write_png, "a.png"), (write_ome_zarr, "a.zarr")):
    try:
        write({str(tmp_path)!r} + "/" + name, noise)
    except ResourceError as error:
        print(error)
    else:
        sys.exit(name + " was written")
"""
    write_tiff(tmp_path / "a.tif", PLANE)
    write_ome_zarr(tmp_path / "a.zarr", PLANE)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("size limit; raise the limit") == 3
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), PLANE)
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr"), PLANE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "a.zarr"]


REFUSALS = {
    errno.ENOSPC: "disk is full; free some space",
    errno.EDQUOT: "quota is used up; free some space",
    errno.EFBIG: "size limit; raise the limit",
    errno.EROFS: "disk is read-only; choose a folder",
    errno.EACCES: "permission is denied; choose another folder",
    errno.EIO: "disk reports an error; check the disk",
    errno.EBUSY: "check the path",
}


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_what_the_system_refuses(tmp_path, monkeypatch, number, step):
    def refuse(*_args, **_options):
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.tif"
    write_tiff(path, PLANE)
    monkeypatch.setattr(
        *{"write": (tifffile, "imwrite"), "sync": (os, "fsync"), "rename": (Path, "replace")}[step], refuse
    )
    with pytest.raises(ResourceError) as caught:
        write_tiff(path, STACK)
    assert str(path) in str(caught.value)
    assert REFUSALS[number] in str(caught.value)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    np.testing.assert_array_equal(read_image(path), PLANE)


def test_memory_and_reading_refusals(tmp_path, monkeypatch):
    def refuse(error):
        def raising(*_args, **_options):
            raise error

        return raising

    write_tiff(tmp_path / "a.tif", PLANE)
    monkeypatch.setattr(np, "empty", refuse(MemoryError()))
    refused(tmp_path / "a.tif", "not enough memory", "smaller crop", error=ResourceError)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "open", refuse(OSError(errno.EACCES, "Permission denied")))
    refused(tmp_path / "a.tif", "permission is denied", error=ResourceError)


def _half_written(target, error, folder):
    with atomic_path(target) as partial:
        if folder:
            partial.mkdir()
        (partial / "half" if folder else partial).write_text("2")
        raise error


def test_atomic_path(tmp_path):
    target = tmp_path / "notes.json"
    with atomic_path(target) as partial:
        partial.write_text("1")
        assert partial.parent == tmp_path
        assert partial.suffix == ".json"
        assert not target.exists()
    assert target.read_text() == "1"
    for error in (KeyError(), KeyboardInterrupt(), ImageFormatError("own errors", "pass unchanged")):
        for folder in (False, True):
            with pytest.raises(type(error)):
                _half_written(target, error, folder)
    with pytest.raises(ResourceError, match="does not exist"), atomic_path(target):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["notes.json"]
    assert target.read_text() == "1"


def test_hashes(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_file(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("1")
        (tmp_path / name / "y").write_text("2")
    assert sha256_file(tmp_path / "a") == sha256_file(tmp_path / "b")
    (tmp_path / "b/y").rename(tmp_path / "b/z")
    assert sha256_file(tmp_path / "a") != sha256_file(tmp_path / "b")
    with pytest.raises(ResourceError, match="none"):
        sha256_file(tmp_path / "none")


@pytest.mark.data
def test_real_files(shared_data):
    assert read_image(shared_data / "nuclei-speckles/foci_h2ax.tif").shape == (1000, 1200)
    assert read_image(shared_data / "phase-nist/tiles.tif").shape == (70, 256, 256)
    assert read_image(shared_data / "phase-nist/masks.tif", kind="mask").dtype == np.bool_
    refused(shared_data / "phase-nist/masks.tif", "uint8")
    assert read_image(shared_data / "phase-t98g/val_set46_instances.tif", kind="labels").max() > 1


@pytest.mark.data
def test_oracle_masks_are_read(shared_oracle):
    masks = sorted((shared_oracle / "imagej/masks").glob("*.png"))
    assert masks
    for path in masks:
        np.testing.assert_array_equal(read_image(path, kind="mask"), imagecodecs.png_decode(path.read_bytes()) > 0)
