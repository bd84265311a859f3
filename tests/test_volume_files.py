"""Volumes in files: read plane by plane to the bit, refused by name where they are not whole, written whole or not."""

import errno
import itertools
import json
import os
import random
import resource
import shutil
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore

from compdistort.errors import CompdistortError, ConfigError, ImageFormatError, ResourceError
from compdistort.io.images import read_image
from compdistort.io.volume import open_volume
from compdistort.io.volume_write import volume_writer

VOLUME = np.random.default_rng(5).integers(1, 65536, (11, 20, 30)).astype(np.uint16)
LABELS = (VOLUME // 9000).astype(np.int32)
UM = (6.0, 1.62, 1.5)


def refused(path, *words, error=ImageFormatError, read=None, **options):
    """Open, or open and then read, expect a refusal of one line that names the file and all `words`."""
    if read is None:
        with pytest.raises(error) as caught:
            open_volume(path, **options)
    else:
        with open_volume(path, **options) as volume, pytest.raises(error) as caught:
            volume.read_planes(*read)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert caught.value.remedy
    for word in words:
        assert word in text, text
    return text


def opens(path, expected, **options):
    with open_volume(path, **options) as volume:
        np.testing.assert_array_equal(volume.read_planes(0, volume.shape[0]), expected)
        return volume


# ---- what is read ----


def _tiff(**options):
    def write(folder, volume):
        named = {"metadata": {"axes": "ZYX"}} if {"ome", "imagej"} & set(options) else {"metadata": None}
        tifffile.imwrite(folder / "v.tif", volume, photometric="minisblack", **{**named, **options})
        return folder / "v.tif"

    return write


def _folder(folder, volume):
    for number, plane in enumerate(volume, 8):
        tifffile.imwrite(folder / f"z_{number}.tif", plane, compression="zlib", metadata=None)
    return folder


def _ome(array, path, axes="zyx", level=None, scales=None, **attributes):
    """OME-Zarr metadata of either version around an array named 0."""
    entry = {
        "axes": [{"name": a, "type": "space"} | ({"unit": level["unit"]} if level else {}) for a in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": level["scale"]}]}]
        if level
        else [{"path": "0"}],
        **attributes,
    }
    if array.metadata.zarr_format == 2:
        (path / ".zattrs").write_text(json.dumps({"multiscales": [entry]}))
        (path / ".zgroup").write_text('{"zarr_format": 2}')
    else:
        meta = {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5", "multiscales": [entry]}},
        }
        (path / "zarr.json").write_text(json.dumps(meta))
    return path


def _zarr(path, volume, axes="zyx", zarr_format=3, level=None, fill=True, **options):
    options = {
        "chunks": tuple(min(n, c) for n, c in zip(volume.shape, (1, 1, 4, 8, 16)[-volume.ndim :], strict=True)),
        **options,
    }
    array = zarr.create_array(
        LocalStore(path / "0"), shape=volume.shape, dtype=volume.dtype, zarr_format=zarr_format, fill_value=0,
        config={"write_empty_chunks": fill}, **options,
    )  # fmt: skip
    array[...] = volume
    return _ome(array, path, axes, level)


def _zarr_case(**options):
    return lambda folder, volume: _zarr(folder / "v.zarr", volume, **options)


def _hdf5(axes=None, shape=None, **options):
    def write(folder, volume):
        with h5py.File(folder / "v.h5", "w") as file:
            data = file.create_dataset(
                "t0/channel0", data=volume if shape is None else volume.reshape(shape), **options
            )
            if axes:
                data.attrs["axistags"] = json.dumps({"axes": [{"key": a, "typeFlags": 2} for a in axes]})
        return folder / "v.h5"

    return write


def _npy(dtype=None):
    def write(folder, volume):
        np.save(folder / "v.npy", volume if dtype is None else volume.astype(dtype))
        return folder / "v.npy"

    return write


def _own(name):
    def write(folder, volume):
        with volume_writer(folder / name, volume.shape, volume.dtype, voxel_um=UM) as writer:
            writer.write_planes(volume)
        return folder / name

    return write


FORMATS = {
    "tif": _tiff(),
    "tif-zlib": _tiff(compression="zlib", predictor=True, rowsperstrip=3),
    "tif-tiled": _tiff(tile=(16, 16), compression="zstd"),
    "tif-big": _tiff(bigtiff=True),
    "tif-motorola": _tiff(byteorder=">"),
    "imagej": _tiff(imagej=True),
    "imagej-one-page": _tiff(imagej=True, truncate=True, byteorder=">"),
    "tifffile-one-page": _tiff(truncate=True, metadata={}),
    "ome": _tiff(ome=True),
    "ome-big": _tiff(ome=True, bigtiff=True, compression="lzw"),
    "folder": _folder,
    "zarr-0.5": _zarr_case(),
    "zarr-0.4": _zarr_case(zarr_format=2),
    "zarr-sharded": _zarr_case(chunks=(2, 10, 15), shards=(4, 20, 30)),
    "zarr-one-chunk": _zarr_case(chunks=(11, 20, 30)),
    "zarr-motorola": lambda folder, volume: _zarr(folder / "v.zarr", volume.astype(">u2"), zarr_format=2),
    "zarr-own": _own("v.zarr"),
    "tif-own": _own("v.tif"),
    "hdf5": _hdf5(),
    "hdf5-gzip": _hdf5(chunks=(4, 8, 16), compression="gzip", shuffle=True),
    "hdf5-lzf": _hdf5(chunks=(1, 20, 30), compression="lzf", fletcher32=True),
    "hdf5-scaled": _hdf5(chunks=(3, 20, 7), scaleoffset=0),
    "hdf5-axes": _hdf5(axes="tzyxc", shape=(1, 11, 20, 30, 1), chunks=(1, 5, 6, 7, 1)),
    "hdf5-four": _hdf5(shape=(1, 11, 20, 30)),
    "npy": _npy(),
    "npy-motorola": _npy(">u2"),
}
NOT_BY_READ_IMAGE = {"imagej-one-page", "tifffile-one-page"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_range_of_planes_in_any_order(tmp_path, name):
    path = FORMATS[name](tmp_path, VOLUME)
    ranges = list(itertools.combinations(range(12), 2))
    ranges = random.Random(1).sample(ranges, 30)
    with open_volume(path) as volume:
        assert volume.shape == VOLUME.shape
        assert volume.dtype == np.uint16
        for start, stop in ranges:
            block = volume.read_planes(start, stop)
            np.testing.assert_array_equal(block, VOLUME[start:stop])
            assert block.flags.c_contiguous
            assert block.flags.writeable
            assert block.dtype == np.dtype(np.uint16)
            block[...] = 0  # the caller's own: what is kept for the next call must not change with it
        for start, stop in ((-1, 3), (3, 3), (4, 2), (0, 12)):
            with pytest.raises(ImageFormatError, match=r"no planes .*choose some of 0:11"):
                volume.read_planes(start, stop)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - NOT_BY_READ_IMAGE))
def test_equal_to_the_whole_image(tmp_path, name):
    path = FORMATS[name](tmp_path, VOLUME)
    np.testing.assert_array_equal(read_image(path), VOLUME)
    opens(path, VOLUME)


@pytest.mark.parametrize("name", FORMATS)
def test_crop(tmp_path, name):
    path = FORMATS[name](tmp_path, VOLUME)
    with open_volume(path, crop=((2, 9), (3, 19), (5, 24))) as volume:
        assert volume.shape == (7, 16, 19)
        for start, stop in ((0, 7), (6, 7), (1, 4), (3, 6), (0, 1)):
            np.testing.assert_array_equal(volume.read_planes(start, stop), VOLUME[2:9, 3:19, 5:24][start:stop])
    opens(path, VOLUME[:, 1:2, 4:30], crop=((1, 2), (4, 30)))
    refused(path, "crop 0:12,0:20,0:30 is not inside", "11 x 20 x 30", crop=((0, 12), (0, 20), (0, 30)))


@pytest.mark.parametrize("name", ["tif", "zarr-0.5", "zarr-one-chunk", "hdf5-gzip", "folder", "npy"])
def test_each_layer_of_chunks_is_decoded_once(tmp_path, monkeypatch, name):
    path = FORMATS[name](tmp_path, VOLUME)
    with open_volume(path) as volume:
        assert volume.layer_planes == {"zarr-0.5": 4, "zarr-one-chunk": 11, "hdf5-gzip": 4}.get(name, 1)
        assert volume.layer_bytes == (volume.layer_planes * 20 * 30 * 2 if volume.layer_planes > 1 else 0)
        spans = []
        read = volume._source.read
        monkeypatch.setattr(volume._source, "read", lambda z, y, x: spans.append(z) or read(z, y, x))
        for start in range(0, 11, 2):
            volume.read_planes(start, min(start + 2, 11))
        planes = [plane for span in spans for plane in range(*span)]
        assert planes == list(range(11))
        assert volume._kept is None


@pytest.mark.parametrize("name", ["zarr-0.5", "hdf5-gzip"])
def test_one_layer_is_kept_and_none_of_it_outside_the_crop(tmp_path, monkeypatch, name):
    path = FORMATS[name](tmp_path, VOLUME)
    with open_volume(path, crop=((2, 9), (0, 20), (0, 30))) as volume:
        spans = []
        read = volume._source.read

        def watched(planes, rows, columns):
            assert volume._kept is None
            spans.append(planes)
            return read(planes, rows, columns)

        monkeypatch.setattr(volume._source, "read", watched)
        for plane in (0, 4, 1, 6, 3, 2):
            np.testing.assert_array_equal(volume.read_planes(plane, plane + 1)[0], VOLUME[2 + plane])
    assert spans == [(2, 4), (4, 8), (2, 4), (8, 9), (4, 8)]


def test_one_plane_is_a_volume_too(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", VOLUME[0])
    np.save(tmp_path / "p.npy", VOLUME[0])
    _zarr(tmp_path / "p.zarr", VOLUME[0], axes="yx")
    for name in ("p.tif", "p.npy", "p.zarr"):
        assert opens(tmp_path / name, VOLUME[:1]).shape == (1, 20, 30)


# ---- voxel sizes ----


@pytest.mark.parametrize(
    ("unit", "factor"), [("um", 1), ("µm", 1), ("micron", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3)]
)
def test_voxel_size_of_imagej(tmp_path, unit, factor):
    text = f"ImageJ=1.54f\nimages=11\nslices=11\nunit={unit}\nspacing=2.5\n".encode()
    tifffile.imwrite(
        tmp_path / "v.tif", VOLUME, description=text, metadata=None, resolution=(4, 2), photometric="minisblack"
    )
    assert opens(tmp_path / "v.tif", VOLUME).voxel_um == pytest.approx((2.5 * factor, 0.5 * factor, 0.25 * factor))


@pytest.mark.parametrize("missing", ["unit=um\n", "spacing=2.5\n"])
def test_no_voxel_size_without_unit_or_spacing(tmp_path, missing):
    text = "ImageJ=1.54f\nimages=11\nslices=11\nunit=um\nspacing=2.5\n".replace(missing, "")
    tifffile.imwrite(
        tmp_path / "v.tif", VOLUME, description=text, metadata=None, resolution=(4, 2), photometric="minisblack"
    )
    assert opens(tmp_path / "v.tif", VOLUME).voxel_um is None
    assert opens(FORMATS["tif"](tmp_path, VOLUME), VOLUME).voxel_um is None


def test_voxel_size_of_ome_tiff(tmp_path):
    sizes = {"PhysicalSizeX": 1500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 1.62, "PhysicalSizeZ": 0.006}
    metadata = {"axes": "ZYX", **sizes, "PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, ome=True, metadata=metadata)
    assert opens(tmp_path / "v.tif", VOLUME).voxel_um == pytest.approx(UM)
    metadata["PhysicalSizeZUnit"] = "pixel"
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, ome=True, metadata=metadata)
    assert opens(tmp_path / "v.tif", VOLUME).voxel_um is None


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_voxel_size_of_ome_zarr(tmp_path, zarr_format):
    level = {"unit": "nanometer", "scale": [6000, 1620, 1500]}
    path = _zarr(tmp_path / "v.zarr", VOLUME, zarr_format=zarr_format, level=level)
    assert opens(path, VOLUME).voxel_um == pytest.approx(UM)
    scaled = [{"type": "scale", "scale": [2, 2, 2]}]
    _ome(zarr.open_array(path / "0"), path, level=level, coordinateTransformations=scaled)
    assert opens(path, VOLUME).voxel_um == pytest.approx([2 * size for size in UM])
    _ome(zarr.open_array(path / "0"), path)
    assert opens(path, VOLUME).voxel_um is None


def test_voxel_size_of_hdf5(tmp_path):
    path = FORMATS["hdf5"](tmp_path, VOLUME)
    assert opens(path, VOLUME).voxel_um is None
    with h5py.File(path, "r+") as file:
        file["t0/channel0"].attrs["element_size_um"] = UM
    assert opens(path, VOLUME).voxel_um == UM
    with h5py.File(path, "r+") as file:
        file["t0/channel0"].attrs["element_size_um"] = [0.0, 1, 1]
    assert opens(path, VOLUME).voxel_um is None


# ---- the purpose ----

WRITERS = {
    "tif": _tiff(),
    "npy": _npy(),
    "hdf5": _hdf5(chunks=(4, 8, 16)),
    "zarr": lambda folder, volume: _zarr(folder / "v.zarr", volume),
}


@pytest.mark.parametrize("name", WRITERS)
def test_raw_is_never_guessed(tmp_path, name):
    def written(volume):
        shutil.rmtree(tmp_path / "v.zarr", ignore_errors=True)
        return WRITERS[name](tmp_path, volume)

    eight = (VOLUME >> 8).astype(np.uint8)
    refused(written(eight), "plane 0", "uint8", "16 bit", "camera's own 16-bit file")
    opens(tmp_path / Path(written(eight)).name, eight, kind="any")
    refused(written(LABELS - 3), "plane 2", "int32", "add one constant", crop=((2, 4), (0, 20), (0, 30)))
    refused(written(VOLUME / np.float32(3)), "plane 0", "float32", "not whole numbers")


@pytest.mark.parametrize("name", WRITERS)
def test_labels(tmp_path, name):
    path = WRITERS[name](tmp_path, LABELS)
    assert opens(path, LABELS, kind="labels").dtype == np.uint32
    negative = LABELS.copy()
    negative[6, 2, 3] = -4
    shutil.rmtree(tmp_path / "v.zarr", ignore_errors=True)
    path = WRITERS[name](tmp_path, negative)
    refused(path, "plane 6", "negative label -4", kind="labels", read=(3, 9))
    with open_volume(path, kind="labels") as volume:
        np.testing.assert_array_equal(volume.read_planes(0, 6), LABELS[:6])
    shutil.rmtree(tmp_path / "v.zarr", ignore_errors=True)
    refused(WRITERS[name](tmp_path, LABELS / np.float32(2)), "plane 0", "labels are whole numbers", kind="labels")


@pytest.mark.parametrize("name", ["npy", "hdf5", "zarr"])
def test_bool_labels_are_0_and_1(tmp_path, name):
    path = WRITERS[name](tmp_path, LABELS > 3)
    assert opens(path, LABELS > 3, kind="labels").dtype == np.uint8
    assert opens(path, LABELS > 3, kind="any").dtype == np.bool_


def test_nan_is_named_with_its_plane(tmp_path):
    volume = VOLUME.astype(np.float32)
    volume[7, 2, 3] = np.nan
    for write in WRITERS.values():
        refused(write(tmp_path, volume), "plane 7", "(2, 3)", "NaN", kind="any", read=(6, 9))
    cut = ((5, 11), (1, 20), (0, 30))
    refused(tmp_path / "v.npy", "plane 7", "(1, 3)", kind="any", crop=cut, read=(0, 6))


def test_palette_and_inverted_pages_are_labels_only(tmp_path):
    path = FORMATS["tif"](tmp_path, VOLUME)
    tifffile.imwrite(path, VOLUME, photometric="miniswhite", metadata=None)
    refused(path, "white is zero")
    opens(path, VOLUME, kind="labels")


def test_unknown_kinds_formats_and_data_sets(tmp_path):
    path = FORMATS["tif"](tmp_path, VOLUME)
    with pytest.raises(ConfigError, match="volume kind 'mask'"):
        open_volume(path, kind="mask")
    refused(path, "no HDF5 file or OME-Zarr folder", "'a/b'", dataset="a/b", error=ConfigError)
    refused(tmp_path / "none.tif", "does not exist")
    refused(tmp_path / "none", "does not exist")
    (tmp_path / "v.png").write_bytes(b"\x89PNG")
    refused(tmp_path / "v.png", "unknown suffix '.png'", "use TIFF, OME-TIFF, HDF5")
    shutil.copy(path, tmp_path / "v.h5")
    refused(tmp_path / "v.h5", "named as HDF5 but is TIFF")
    (tmp_path / "empty.h5").write_bytes(b"")
    refused(tmp_path / "empty.h5", "is empty")
    (tmp_path / "void").mkdir()
    refused(tmp_path / "void", "neither TIFF files nor an OME-Zarr image")


# ---- channels and times ----

FIVE = np.arange(2 * 3 * 4 * 8 * 9, dtype=np.uint16).reshape(2, 4, 3, 8, 9)  # t z c y x


@pytest.mark.parametrize("flavour", ["imagej", "ome", "ome-order", "zarr"])
def test_channels_and_times_are_chosen_by_number(tmp_path, flavour):
    path = tmp_path / "v.tif"
    if flavour == "zarr":
        path = _zarr(tmp_path / "v.zarr", FIVE.transpose(0, 2, 1, 3, 4), axes="tczyx", chunks=(1, 2, 2, 8, 8))
    elif flavour == "ome-order":
        tifffile.imwrite(path, FIVE.transpose(2, 0, 1, 3, 4), ome=True, metadata={"axes": "CTZYX"})
    else:
        tifffile.imwrite(path, FIVE, **{flavour: True}, photometric="minisblack", metadata={"axes": "TZCYX"})
    for time, channel in itertools.product(range(2), range(3)):
        opens(path, FIVE[time, :, channel], time=time, channel=channel)
    refused(path, "3 channels", "channel = 0 to 2", time=0)
    refused(path, "2 times", "time = 0 to 1", channel=0)
    refused(path, "no channel 3", "0 to 2", channel=3, time=0)
    refused(path, "no time -1", "0 to 1", channel=0, time=-1)


@pytest.mark.parametrize("name", ["tif", "npy", "hdf5", "folder"])
def test_a_channel_of_a_file_without_channels(tmp_path, name):
    path = FORMATS[name](tmp_path, VOLUME)
    opens(path, VOLUME, channel=0, time=0)
    refused(path, "no channel 1", channel=1)
    refused(path, "no time 2", time=2)


def test_a_time_series_is_no_volume(tmp_path):
    path = _tiff(imagej=True, metadata={"axes": "TYX"})(tmp_path, VOLUME)
    refused(path, "11 times", "time = 0 to 10")
    opens(path, VOLUME[4:5], time=4)
    tifffile.imwrite(path, FIVE, photometric="minisblack")
    refused(path, "2 x 4 x 3 x 8 x 9", "one volume (planes, rows, columns)")
    tifffile.imwrite(path, np.zeros((11, 20, 30, 3), np.uint16), photometric="rgb")
    refused(path, "colour (3 samples a pixel)")


# ---- TIFF headers ----


def _ome_xml(pixels="", data="", size_z=11):
    text = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:self"><Image ID="Image:0">'
    text += f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="30" SizeY="20" SizeZ="{size_z}" '
    return text + f'SizeC="1" SizeT="1" {pixels}>{data}</Pixels></Image></OME>'


def _described(folder, text):
    tifffile.imwrite(folder / "v.tif", VOLUME, photometric="minisblack", description=text, metadata=None)
    return folder / "v.tif"


def test_pages_named_one_by_one(tmp_path):
    data = "".join(f'<TiffData FirstZ="{z}" IFD="{10 - z}" PlaneCount="1"/>' for z in range(11))
    opens(_described(tmp_path, _ome_xml(data=data)), VOLUME[::-1])
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z}"><UUID FileName="v">urn:uuid:self</UUID></TiffData>' for z in range(11)
    )
    opens(_described(tmp_path, _ome_xml(data=data)), VOLUME)
    data = '<TiffData IFD="0" PlaneCount="5"/><TiffData FirstZ="6" IFD="6" PlaneCount="5"/>'
    refused(_described(tmp_path, _ome_xml(data=data)), "plane 5 is missing", "get the file again")
    data = '<TiffData IFD="-3" PlaneCount="11"/>'
    refused(_described(tmp_path, _ome_xml(data=data)), "image 10 on page 7", "11 pages")
    data = '<TiffData IFD="7" PlaneCount="11"/>'
    refused(_described(tmp_path, _ome_xml(data=data)), "image 10 on page 17", "11 pages")
    data = '<TiffData IFD="0"><UUID FileName="other.ome.tif">urn:uuid:other</UUID></TiffData>'
    refused(_described(tmp_path, _ome_xml(data=data)), "planes in 1 files", "one TIFF a plane")


def test_ome_headers_that_do_not_fit(tmp_path):
    refused(_described(tmp_path, _ome_xml(size_z=12)), "says 12 images, the file holds 11", "get the file again")
    refused(_described(tmp_path, _ome_xml().replace('"XYZCT"', '"ZXYCT"')), "order of axes ZXYCT", "X Y Z C T")
    refused(_described(tmp_path, _ome_xml().replace('"20"', '"21"')), "planes of 21 x 30, page 0 is 20 x 30")
    two = _ome_xml().replace("</Image>", "</Image><Image><Pixels SizeX='30' SizeY='20'/></Image>")
    refused(_described(tmp_path, two), "2 images", "save one as its own file")
    opens(_described(tmp_path, _ome_xml()), VOLUME)  # the control: nothing else is wrong with it


def test_no_entity_is_expanded(tmp_path):
    bomb = '<!DOCTYPE o [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>' + _ome_xml(data="&a;&b;")
    opens(_described(tmp_path, bomb), VOLUME)


def test_imagej_headers_that_do_not_fit(tmp_path):
    refused(_described(tmp_path, "ImageJ=1.54f\nimages=12\nslices=12\n"), "says 12 images", "12 planes", "holds 11")
    refused(_described(tmp_path, "ImageJ=1.54f\nimages=11\nslices=3\nframes=3\n"), "11 images", "3 planes, 3 times")
    opens(_described(tmp_path, "ImageJ=1.54f\nimages=11\n"), VOLUME)


def test_planes_under_one_page(tmp_path):
    path = FORMATS["imagej-one-page"](tmp_path, VOLUME)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    refused(path, "plane 10 of 11", "past the end of the file", "get the file again")
    path.write_bytes(data[: -3 * 1200])
    refused(path, "plane 8 of 11")
    text = f"ImageJ=1.54f\nimages={10**15}\nslices={10**15}\n"
    tifffile.imwrite(path, VOLUME[0], description=text, metadata=None)
    refused(path, f"plane 1 of {10**15}")
    text = "ImageJ=1.54f\nimages=11\nslices=11\n"
    tifffile.imwrite(path, VOLUME[0], description=text, metadata=None, compression="zlib")
    refused(path, "11 planes under one page, and compressed", "BigTIFF or OME-Zarr")
    path = _tiff(imagej=True, truncate=True, metadata={"axes": "ZCYX"})(tmp_path, FIVE[0])
    refused(path, "several channels under one page", channel=1)
    path = _tiff(imagej=True, truncate=True, metadata={"axes": "TZYX"})(tmp_path, FIVE[:, :, 0])
    opens(path, FIVE[1, :, 0], time=1)


def test_pages_of_different_size_or_type(tmp_path):
    for other, words in ((VOLUME[0, :7], "7 x 30 uint16"), (VOLUME[0].astype(np.uint8), "20 x 30 uint8")):
        with tifffile.TiffWriter(tmp_path / "v.tif") as file:
            for plane in (VOLUME[0], VOLUME[1], other):
                file.write(plane, metadata=None)
        refused(tmp_path / "v.tif", f"plane 2 (page 2) is {words}, plane 0 is 20 x 30 uint16", "one size and type")


def test_a_damaged_page_is_named(tmp_path):
    path = FORMATS["tif-zlib"](tmp_path, VOLUME)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[6].dataoffsets[2], file.pages[6].databytecounts[2]
    data[start + length // 2 : start + length // 2 + 8] = b"\0" * 8
    path.write_bytes(bytes(data))
    refused(path, "plane 6 (page 6)", "cannot be read", "get the file again", read=(0, 11))
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.read_planes(0, 6), VOLUME[:6])


@pytest.mark.parametrize("name", ["tif", "tif-zlib", "ome-big", "imagej-one-page", "npy", "hdf5", "hdf5-gzip"])
def test_truncated_files_are_refused_when_opened(tmp_path, name):
    path = FORMATS[name](tmp_path, VOLUME)
    data = path.read_bytes()
    for length in np.linspace(1, len(data) - 20, 20).astype(int):  # the last bytes may be padding
        path.write_bytes(data[:length])
        refused(path)


# ---- folders of planes ----


def _named(folder, names):
    folder.mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(folder / name, VOLUME[number % 11], metadata=None)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        [f"img{n}.tif" for n in range(9, 20)],
        [f"img_{n:05}.ome.tif" for n in range(0, 110, 10)],
        [f"t0_z{n}_c1.tif" for n in range(11)],
        [f"scan_{n:03}_{1000 + 7 * n + n % 3}.tif" for n in range(11)],
        [f"scan_{1000 + 7 * n + n % 3}_{n:03}.tif" for n in range(11)],
        [f"{letter}.tif" for letter in "abcdefghijk"],
        ["one.tif"],
    ],
    ids=["numbers", "steps", "fixed-numbers", "with-times", "times-first", "letters", "one"],
)
def test_folders_in_the_order_of_their_names(tmp_path, names):
    folder = _named(tmp_path / "f", names)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.tif").write_text("no image")
    opens(folder, VOLUME[: len(names)])


BROKEN = {
    "gap": ([f"z{n}.tif" for n in range(1, 25) if n != 17], "plane 17 is missing", "z16.tif is followed by z18.tif"),
    "gap in steps": (
        [f"z{n:04}.tif" for n in (0, 10, 20, 40)],
        "plane 30 is missing",
        "z0020.tif is followed by z0040",
    ),
    "gap beside times": ([f"s{n}_{70 * n + n % 3}.tif" for n in (1, 2, 4, 5)], "plane 3 is missing"),
    "twice": (["z1.tif", "z01.tif", "z2.tif"], "count along several axes"),
    "channels": (["z1_c0.tif", "z1_c1.tif", "z2_c0.tif", "z2_c1.tif"], "count along several axes", "one channel"),
    "stranger": (["z1.tif", "z2.tif", "mean.tif"], "mean.tif is named otherwise than z1.tif", "nothing else"),
    "suffix": (["z1.tif", "z2.tiff"], "z2.tiff is named otherwise than z1.tif"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_sequences(tmp_path, case):
    names, *words = BROKEN[case]
    refused(_named(tmp_path / "f", names), *words)


def test_planes_of_a_folder_that_do_not_fit(tmp_path):
    folder = _folder(tmp_path, VOLUME)
    tifffile.imwrite(folder / "z_12.tif", VOLUME[0, :5])
    refused(folder, "z_12.tif: is 5 x 30 uint16", "z_8.tif is 20 x 30 uint16", "one size and type")
    tifffile.imwrite(folder / "z_12.tif", VOLUME[0].astype(np.uint8))
    refused(folder, "z_12.tif: is 20 x 30 uint8")
    tifffile.imwrite(folder / "z_12.tif", VOLUME[:2], photometric="minisblack")
    refused(folder, "z_12.tif: holds 2 pages", "each file is one plane")
    (folder / "z_12.tif").write_bytes(b"")
    refused(folder, "z_12.tif: has no valid TIFF header")


def test_a_folder_that_changes_while_it_is_read(tmp_path):
    folder = _folder(tmp_path, VOLUME)
    with open_volume(folder) as volume:
        tifffile.imwrite(folder / "z_12.tif", VOLUME[0, :5])
        np.testing.assert_array_equal(volume.read_planes(0, 4), VOLUME[:4])
        with pytest.raises(ImageFormatError, match=r"z_12\.tif: has changed since the folder was opened"):
            volume.read_planes(3, 6)
        (folder / "z_13.tif").unlink()
        with pytest.raises(CompdistortError, match=r"z_13\.tif"):
            volume.read_planes(5, 6)


# ---- OME-Zarr ----


@pytest.mark.parametrize(("options", "key", "plane"), [
    ({}, "c/1/2/1", 4),
    ({"zarr_format": 2}, "1.2.1", 4),
    ({"chunks": (2, 10, 15), "shards": (4, 10, 30)}, "c/2/1/0", 8),
])  # fmt: skip
def test_missing_and_corrupt_chunks_are_named(tmp_path, options, key, plane):
    path = _zarr(tmp_path / "v.zarr", VOLUME, **options)
    chunk = path / "0" / key
    data = chunk.read_bytes()
    chunk.write_bytes(data[: len(data) // 2])
    refused(path, f"chunk {key} (from plane {plane})", "cannot be read", read=(0, 11))
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.read_planes(0, 4), VOLUME[:4])
    chunk.unlink()
    refused(path, f"chunk {key} (from plane {plane}) is missing", "write_empty_chunks")
    opens(path, VOLUME[:4], crop=((0, 4), (0, 20), (0, 30)))


def test_empty_chunks_of_labels_need_not_be_there(tmp_path):
    labels = np.where(np.arange(11)[:, None, None] == 5, LABELS, 0)
    path = _zarr(tmp_path / "v.zarr", labels, fill=False)
    opens(path, labels, kind="labels")
    refused(path, "chunk c/0/0/0 (from plane 0) is missing", kind="any")


def test_levels_and_axes_of_ome_zarr(tmp_path):
    path = _zarr(tmp_path / "v.zarr", VOLUME)
    refused(path, "no data set '1'", "choose one of 0", dataset="1")
    opens(path, VOLUME, dataset="0")
    refused(_zarr(tmp_path / "w.zarr", VOLUME, axes="xyz"), "axes x y z", "order t c z y x")
    refused(_zarr(tmp_path / "u.zarr", VOLUME, axes="yx"), "2 axes for an array of 3")


def test_lying_zarr(tmp_path):
    path = _zarr(tmp_path / "v.zarr", VOLUME)
    file = path / "0/zarr.json"
    good = json.loads(file.read_text())
    for change, kind, word in (
        ({"shape": [11, 10_000_000, 10_000_000]}, "labels", "above the limit"),
        ({"shape": [11, 20_000, 30]}, "raw", "chunk c/0/3/0 (from plane 0) is missing"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**7, 10**4, 1]}}},
            "raw",
            "above the limit",
        ),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 1, 1]}}}, "raw", ""),
        ({"codecs": [{"name": "numcodecs.pickle", "configuration": {}}]}, "raw", "coder 'numcodecs.pickle'"),
        ({"data_type": "complex64", "fill_value": [0, 0]}, "any", "complex64"),
    ):
        file.write_text(json.dumps(good | change))
        refused(path, word, kind=kind)
    file.write_text(json.dumps(good))
    opens(path, VOLUME)


def test_a_layer_above_the_limit_is_refused(tmp_path):
    path = _zarr(tmp_path / "v.zarr", VOLUME, chunks=(11, 4, 4))
    refused(path, "11 x 20 x 30 uint16", "13200 bytes, above the limit of 8000", max_bytes=8000)
    opens(path, VOLUME[:, :8, :8], max_bytes=8000, crop=((0, 8), (0, 8)))
    refused(path, "above the limit of 1000", max_bytes=1000)
    path = _hdf5(chunks=(11, 20, 30))(tmp_path, VOLUME)
    refused(path, "13200 bytes, above the limit of 8000", max_bytes=8000, crop=((0, 8), (0, 8)))
    path = _zarr(tmp_path / "c.zarr", FIVE.transpose(0, 2, 1, 3, 4), axes="tczyx", chunks=(2, 3, 4, 8, 9))
    refused(path, "one chunk takes 3456 bytes, above the limit of 2000", max_bytes=2000, channel=0, time=0)


# ---- HDF5 ----


def _file(folder, fill):
    with h5py.File(folder / "v.h5", "w") as file:
        fill(file)
    return folder / "v.h5"


def test_datasets_are_found_or_named(tmp_path):
    path = FORMATS["hdf5"](tmp_path, VOLUME)
    with h5py.File(path, "r+") as file:
        file["mean"] = VOLUME[0]
        file["text"] = "a"
    opens(path, VOLUME)
    opens(path, VOLUME, dataset="/t0/channel0")
    with h5py.File(path, "r+") as file:
        file["t0/channel1"] = VOLUME + 1
        file["soft"] = h5py.SoftLink("/t0/channel1")
    refused(path, "holds 2 volumes", "/t0/channel0, /t0/channel1")
    opens(path, VOLUME + 1, dataset="t0/channel1")
    refused(path, "has no dataset 't0/other'", "/t0/channel0", dataset="t0/other")
    refused(path, "has no dataset 't0/channel0/x'", dataset="t0/channel0/x")
    refused(path, "has no dataset '../t0'", dataset="../t0")
    refused(path, "'t0' is a group", dataset="t0")
    refused(path, "'soft' is a link to '/t0/channel1'", dataset="soft")
    refused(path, "mean has shape 20 x 30", "planes, rows and columns", dataset="mean")
    refused(path, "text holds object", dataset="text")
    refused(_file(tmp_path, lambda file: file.create_dataset("a", data=1.5)), "holds no volume", "three axes")


def test_nothing_outside_the_file_is_opened(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["v"] = VOLUME
    (tmp_path / "secret.raw").write_bytes(VOLUME.tobytes())
    layout = h5py.VirtualLayout(VOLUME.shape, VOLUME.dtype)
    layout[...] = h5py.VirtualSource(tmp_path / "secret.h5", "v", VOLUME.shape)

    def link(file):
        file["v"] = h5py.ExternalLink("secret.h5", "v")

    def link_group(file):
        file["g"] = h5py.ExternalLink("secret.h5", "/")

    refused(_file(tmp_path, link), "'v' is a link to another file", "h5repack", dataset="v")
    refused(_file(tmp_path, link), "holds no volume")
    refused(_file(tmp_path, link_group), "'g/v' is a link to another file", dataset="g/v")
    virtual = _file(tmp_path, lambda file: file.create_virtual_dataset("v", layout))
    refused(virtual, "v keeps its data in other files", "h5repack")
    stored = [(str(tmp_path / "secret.raw"), 0, h5py.h5f.UNLIMITED)]
    external = _file(tmp_path, lambda file: file.create_dataset("v", VOLUME.shape, VOLUME.dtype, external=stored))
    refused(external, "v keeps its data in other files")


def test_a_filter_that_is_not_part_of_hdf5_is_refused(tmp_path):
    path = FORMATS["hdf5-lzf"](tmp_path, VOLUME)
    data = path.read_bytes()
    lzf, foreign = (struct.pack("<HH", code, 8) for code in (32000, 32008))
    assert data.count(lzf) == 1
    path.write_bytes(data.replace(lzf, foreign))
    refused(path, "channel0 uses filter 32008 (lzf)", "write it with gzip")


@pytest.mark.parametrize(("axes", "shape"), [("xyz", (11, 20, 30)), ("zyxc", (11, 20, 15, 2)), ("tyx", (11, 20, 30))])
def test_axes_in_another_order(tmp_path, axes, shape):
    refused(
        _hdf5(axes=axes, shape=shape)(tmp_path, VOLUME), f"axes {' '.join(axes)}", "order z y x", dataset="t0/channel0"
    )


def test_labels_of_dimensions(tmp_path):
    path = FORMATS["hdf5"](tmp_path, VOLUME)
    for letters, good in (("zyx", True), ("xyz", False)):
        with h5py.File(path, "r+") as file:
            for dimension, letter in zip(file["t0/channel0"].dims, letters, strict=True):
                dimension.label = letter
        if good:
            opens(path, VOLUME)
        else:
            refused(path, "axes x y z")


def test_chunks_of_hdf5_that_were_never_written_or_are_damaged(tmp_path):
    def part(file):
        data = file.create_dataset("v", VOLUME.shape, VOLUME.dtype, chunks=(4, 8, 16), fletcher32=True)
        data[:8] = VOLUME[:8]
        data[8:, :, :16] = VOLUME[8:, :, :16]

    path = _file(tmp_path, part)
    refused(path, "chunk of /v at plane 8, row 0, column 16 is missing", "write the whole volume again")
    opens(path, VOLUME[:8], crop=((0, 8), (0, 20), (0, 30)))
    opens(
        path, np.where(np.arange(30) < 16, VOLUME, np.where(np.arange(11)[:, None, None] < 8, VOLUME, 0)), kind="labels"
    )
    with h5py.File(path) as file:
        place = file["v"].id.get_chunk_info_by_coord((4, 8, 16)).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 9] ^= 255
    path.write_bytes(bytes(data))
    opens(path, VOLUME[:4], crop=((0, 4), (0, 20), (0, 30)))
    refused(
        path, "chunk of /v at plane 4, row 8, column 16: cannot be read", crop=((0, 8), (0, 20), (0, 30)), read=(0, 8)
    )
    empty = _file(tmp_path, lambda file: file.create_dataset("v", VOLUME.shape, VOLUME.dtype))
    refused(empty, "/v was never written whole")
    opens(empty, np.zeros_like(VOLUME), kind="labels")


def test_npy_in_another_order(tmp_path):
    np.save(tmp_path / "v.npy", np.asfortranarray(VOLUME))
    refused(tmp_path / "v.npy", "columns first", "ascontiguousarray")


# ---- memory ----

WIDE = (20_000, 512, 1024)  # 20 GB of uint16, nearly all of it holes


def _sparse_npy(path):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": WIDE})
        file.truncate(file.tell() + 2 * np.prod(WIDE, dtype=np.int64))
    return path


def _sparse_imagej(path):
    text = f"ImageJ=1.54f\nimages={WIDE[0]}\nslices={WIDE[0]}\n"
    tifffile.imwrite(path, np.zeros(WIDE[1:], np.uint16), bigtiff=True, description=text, metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    os.truncate(path, start + 2 * int(np.prod(WIDE, dtype=np.int64)))
    return path


def _sparse_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("v", WIDE, np.uint16, chunks=(4, 64, 64), compression="gzip")[12000, 0, 0] = 7
    return path


def _sparse_zarr(path):
    options = {"chunks": (4, 64, 64), "shape": WIDE, "dtype": np.uint16, "fill_value": 0}
    array = zarr.create_array(LocalStore(path / "0"), **options)
    array[12000, 0, 0] = 7
    return _ome(array, path)


SPARSE = {"v.npy": _sparse_npy, "v.tif": _sparse_imagej, "v.h5": _sparse_hdf5, "v.zarr": _sparse_zarr}


@pytest.mark.parametrize("name", SPARSE)
def test_a_plane_of_a_large_volume_takes_the_memory_of_a_layer(tmp_path, name):
    """Two planes asked of a volume of 20 GB: no more than them, one layer of chunks twice over, and 4 MB."""
    path = SPARSE[name](tmp_path / name)
    plane = 2 * WIDE[1] * WIDE[2]
    with open_volume(path, kind="labels") as volume:
        assert volume.shape == WIDE
        volume.read_planes(0, 1)  # what the libraries set up once
        tracemalloc.start()
        block = volume.read_planes(12_000, 12_002)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert block.nbytes == 2 * plane
    assert block[0, 0, 0] == (7 if name in ("v.h5", "v.zarr") else 0)
    assert peak < 2 * plane + 2 * max(volume.layer_bytes, plane) + 4e6


def test_a_page_of_many_takes_the_memory_of_a_page(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", shape=(300, 512, 1024), dtype=np.uint16, metadata=None)
    with open_volume(tmp_path / "v.tif") as volume:
        assert volume.shape == (300, 512, 1024)
        volume.read_planes(0, 1)
        tracemalloc.start()
        block = volume.read_planes(200, 202)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not block.any()
    assert peak < 2 * block.nbytes + 4e6


# ---- fuzzing ----

SMALL = (np.arange(6 * 12 * 10) % 97).astype(np.uint16).reshape(6, 12, 10)
FUZZED = {
    "imagej": _tiff(imagej=True, truncate=True),
    "ome": _tiff(ome=True, compression="zlib"),
    "hdf5": _hdf5(),
    "hdf5-gzip": _hdf5(chunks=(2, 6, 5), compression="gzip", shuffle=True),
    "hdf5-lzf": _hdf5(chunks=(2, 6, 5), compression="lzf", fletcher32=True),
    "hdf5-scaled": _hdf5(chunks=(3, 12, 10), scaleoffset=0),
    "zarr-2": _zarr_case(zarr_format=2),
    "zarr-3": _zarr_case(),
    "npy": _npy(),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Every format once, as {relative name: bytes}."""
    found = {}
    for name, write in FUZZED.items():
        folder = tmp_path_factory.mktemp("seed")
        path = write(folder, SMALL)
        names = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found[name] = (path.name, {str(p.relative_to(folder)): p.read_bytes() for p in names})
    return found


@pytest.fixture
def bounded_memory():
    """4 GiB more address space than now: a lying header that gets through would break it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _flipped_volume_is_read_or_refused(folder, seeds, data):
    name, contents = seeds[data.draw(st.sampled_from(sorted(seeds)))]
    shutil.rmtree(folder / "f", ignore_errors=True)
    victim = data.draw(st.sampled_from(sorted(contents)))
    for each, stored in contents.items():
        changed = bytearray(stored)
        if each == victim:
            for place in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=5)):
                changed[place] = data.draw(st.integers(0, 255))
        (folder / "f" / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / "f" / each).write_bytes(bytes(changed))
    path = folder / "f" / name
    try:
        with open_volume(path, kind="any", max_bytes=50_000_000) as volume:
            block = volume.read_planes(0, min(volume.shape[0], 6))
    except CompdistortError as error:
        return str(path) in str(error) and "\n" not in str(error) and bool(error.remedy)
    return block.ndim == 3 and block.dtype.kind in "buif"


FUZZ = settings(deadline=5000, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(FUZZ, max_examples=200)
@given(data=st.data())
def test_flipped_bytes_give_our_error_or_an_array(tmp_path, bounded_memory, seeds, data):
    assert _flipped_volume_is_read_or_refused(tmp_path, seeds, data)


@pytest.mark.slow
@settings(FUZZ, max_examples=10_000)
@given(data=st.data())
def test_many_flipped_bytes(tmp_path, bounded_memory, seeds, data):
    assert _flipped_volume_is_read_or_refused(tmp_path, seeds, data)


# ---- what the disk and the memory refuse ----


def test_refusals_of_the_system(tmp_path, monkeypatch):
    path = FORMATS["tif"](tmp_path, VOLUME)
    for error, words in (
        (OSError(errno.EIO, "Input/output error"), "disk reports an error"),
        (OSError(errno.EACCES, "Permission denied"), "permission is denied"),
        (MemoryError(), "not enough memory"),
    ):
        with open_volume(path) as volume:
            monkeypatch.setattr(volume._source, "read", lambda *_, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(ResourceError, match=words):
                volume.read_planes(0, 3)


@pytest.mark.data
def test_real_volumes(shared_data):
    for path, shape in (
        (shared_data / "lightsheet-cfos/raw_695_4.tif", (100, 100, 100)),
        (shared_data / "lattice-rbc/rbc_lattice.tif", (150, 118, 209)),
    ):
        assert opens(path, read_image(path)).shape == shape
    path = shared_data / "xray-tooth/tooth.h5"
    refused(path, "holds 3 volumes", "/exchange/data, /exchange/data_dark, /exchange/data_white")
    with open_volume(path, dataset="/exchange/data", kind="any") as volume:
        assert volume.shape == (181, 2, 640)
