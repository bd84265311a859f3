"""Volumes written plane by plane: whole or not at all, in bytes that no cut into blocks changes, for others to read."""

import errno
import json
import shutil

import numpy as np
import pytest
import tifffile
import zarr

from compdistort.errors import ConfigError, ImageFormatError, ResourceError
from compdistort.io.files import sha256_file
from compdistort.io.volume import open_volume
from compdistort.io.volume_write import volume_writer

VOLUME = np.random.default_rng(5).integers(1, 65536, (11, 20, 30)).astype(np.uint16)
LABELS = (VOLUME // 9000).astype(np.int32)
UM = (6.0, 1.62, 1.5)


def opens(path, expected, **options):
    with open_volume(path, **options) as volume:
        np.testing.assert_array_equal(volume.read_planes(0, volume.shape[0]), expected)
        return volume


@pytest.mark.parametrize("name", ["v.zarr", "v.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.float32, np.float64])
def test_written_planes_are_read_back(tmp_path, name, dtype):
    volume = (VOLUME >> 9).astype(dtype)
    with volume_writer(tmp_path / name, volume.shape, dtype, voxel_um=UM, metadata={"word": "µ<&>"}) as writer:
        for start in range(0, 11, 3):
            writer.write_planes(volume[start : start + 3])
        assert writer.written == 11
    found = opens(tmp_path / name, volume, kind="any")
    assert found.dtype == dtype
    assert found.voxel_um == UM


def test_written_files_are_what_others_read(tmp_path):
    for name in ("v.zarr", "v.tif"):
        with volume_writer(tmp_path / name, VOLUME.shape, "u2", voxel_um=UM, metadata={"word": "µ<"}) as writer:
            writer.write_planes(VOLUME)
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        assert file.is_ome
        assert [page.aspage().description for page in file.pages[1:]] == [""] * 10
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.series[0].asarray(), VOLUME)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]
    assert pixels["Image"]["Pixels"]["PhysicalSizeZ"] == 6.0
    assert json.loads(pixels["StructuredAnnotations"]["CommentAnnotation"]["Value"]) == {"word": "µ<"}
    group = zarr.open_group(tmp_path / "v.zarr", mode="r")
    assert group.attrs["compdistort"] == {"word": "µ<"}
    assert group.attrs["ome"]["multiscales"][0]["axes"][0] == {"name": "z", "type": "space", "unit": "micrometer"}
    assert group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] == list(UM)
    np.testing.assert_array_equal(group["0"][...], VOLUME)


@pytest.mark.parametrize("name", ["v.zarr", "v.tif"])
def test_the_cut_into_blocks_does_not_change_the_bytes(tmp_path, name):
    hashes = set()
    for step in (1, 3, 4, 11):
        with volume_writer(tmp_path / name, LABELS.shape, LABELS.dtype) as writer:
            for start in range(0, 11, step):
                writer.write_planes(LABELS[start : start + step])
        hashes.add(sha256_file(tmp_path / name))
    assert len(hashes) == 1
    with volume_writer(tmp_path / name, LABELS.shape, LABELS.dtype) as writer:
        writer.write_planes(LABELS + 1)
    assert sha256_file(tmp_path / name) not in hashes


def _write_badly(path, case):
    with volume_writer(path, VOLUME.shape, VOLUME.dtype) as writer:
        writer.write_planes(VOLUME[:6])
        if case == "too many":
            writer.write_planes(VOLUME[:6])
        elif case == "type":
            writer.write_planes(LABELS[6:])
        elif case == "size":
            writer.write_planes(VOLUME[6:, :5])
        elif case == "plane":
            writer.write_planes(VOLUME[6])
        elif case == "disk full":
            raise OSError(errno.ENOSPC, "full")
        elif case == "stopped":
            raise KeyboardInterrupt


BADLY = {
    "too few": (ConfigError, "6 of 11 planes were given"),
    "too many": (ConfigError, "12 planes are given for a volume of 11"),
    "type": (ConfigError, "type int32 do not fit"),
    "size": (ConfigError, r"shape \(5, 5, 30\)"),
    "plane": (ConfigError, r"shape \(20, 30\)"),
    "disk full": (ResourceError, "disk is full"),
    "stopped": (KeyboardInterrupt, None),
}


@pytest.mark.parametrize("case", BADLY)
@pytest.mark.parametrize("name", ["v.zarr", "v.tif"])
def test_a_volume_is_written_whole_or_not_at_all(tmp_path, name, case):
    error, words = BADLY[case]
    with pytest.raises(error, match=words):
        _write_badly(tmp_path / name, case)
    assert not list(tmp_path.iterdir())
    with volume_writer(tmp_path / name, VOLUME.shape, VOLUME.dtype) as writer:
        writer.write_planes(VOLUME)
    with pytest.raises(error):
        _write_badly(tmp_path / name, case)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    opens(tmp_path / name, VOLUME)


def test_what_cannot_be_written(tmp_path, monkeypatch):
    cases = {
        ("v.png", (2, 3, 4), "u2"): "end the name in .zarr or .tif",
        ("v.tif", (2, 3, 4), "u8"): "uint32 or less",
        ("v.tif", (3, 4), "u2"): "as a volume",
        ("v.zarr", (0, 3, 4), "u2"): "as a volume",
        ("v.zarr", (2, 3, 4), "c8"): "integers or floats",
    }
    for (name, shape, dtype), words in cases.items():
        with pytest.raises(ImageFormatError, match=words), volume_writer(tmp_path / name, shape, dtype):
            pass
    with pytest.raises(ResourceError, match="does not exist"), volume_writer(tmp_path / "no/v.zarr", (2, 3, 4), "u2"):
        pass
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 47, 47))
    with volume_writer(tmp_path / "v.tif", (1, 1, 47), "u1") as writer:
        writer.write_planes(np.zeros((1, 1, 47), np.uint8))
    with (
        pytest.raises(ResourceError, match=r"w\.tif: takes up to 48 bytes, the disk has 47 free; free some space"),
        volume_writer(tmp_path / "w.tif", (1, 1, 24), "u2"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["v.tif"]
