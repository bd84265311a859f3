"""VSQ as a codec of Zarr 3: arrays come back chunk by chunk, metadata is JSON, damage is named."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import zarr
from vsq_case import LAW, OFFSET, maps_law, noisy, quantiser
from zarr.storage import LocalStore

from compdistort.codecs.vsq.dither import content_seed
from compdistort.codecs.vsq.zarr_codec import NAME, VsqZarrCodec
from compdistort.errors import CompdistortError, ConfigError, ImageFormatError
from compdistort.io.volume import open_volume

VOLUME = noisy((5, 70, 66))
CHUNKS = (2, 32, 48)


def create(path, volume=VOLUME, chunks=CHUNKS, codec=None, **options):
    array = zarr.create_array(
        LocalStore(path),
        shape=volume.shape,
        chunks=chunks,
        dtype=volume.dtype,
        serializer=codec or VsqZarrCodec(quantiser(), "jpegls"),
        compressors=None,
        fill_value=0,
        **options,
    )
    array[...] = volume
    return array


def twin(volume, chunks, law_quantiser):
    """Decode without Zarr: every chunk as one image, its planes one below another, padded with 0 at the border."""
    out = np.zeros_like(volume)
    padded = np.zeros([-(-n // c) * c for n, c in zip(volume.shape, chunks, strict=True)], volume.dtype)
    padded[tuple(slice(n) for n in volume.shape)] = volume
    for place in np.ndindex(*[n // c for n, c in zip(padded.shape, chunks, strict=True)]):
        box = tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks, strict=True))
        image = padded[box].reshape(-1, chunks[-1])
        key = content_seed(image), 0
        decoded = law_quantiser.restore(law_quantiser.quantise(image, *key), *key).reshape(chunks)
        inside = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(box, volume.shape, strict=True))
        out[inside] = decoded[tuple(slice(s.stop - s.start) for s in inside)]
    return out


@pytest.mark.parametrize("backend", ["jxl", "jpegls", "dither-aware"])
def test_arrays_come_back_as_chunks_by_themselves(tmp_path, backend):
    create(tmp_path / "a.zarr", codec=VsqZarrCodec(quantiser(), backend, 3))
    array = zarr.open_array(LocalStore(tmp_path / "a.zarr", read_only=True))
    expected = twin(VOLUME, CHUNKS, quantiser())
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(array[3, 40:50, 60:], expected[3, 40:50, 60:])
    assert 3 < np.abs(expected.astype(float) - VOLUME).max() < 200
    np.testing.assert_array_equal(expected == 65535, VOLUME == 65535)


def test_planes_and_shards(tmp_path):
    create(tmp_path / "a.zarr", VOLUME[0], (32, 32))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a.zarr")[...], twin(VOLUME[0], (32, 32), quantiser()))
    create(tmp_path / "b.zarr", VOLUME, (1, 35, 33), shards=(5, 70, 66))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b.zarr")[...], twin(VOLUME, (1, 35, 33), quantiser()))


def test_the_codec_is_its_configuration(tmp_path):
    codec = VsqZarrCodec(quantiser(1.5, bottom=0, lattice=1), "archive", 5)
    create(tmp_path / "a.zarr", codec=codec)
    metadata = json.loads((tmp_path / "a.zarr/zarr.json").read_text())["codecs"]
    assert [each["name"] for each in metadata] == [NAME]
    assert metadata[0]["configuration"]["backend"] == "dither-aware"
    assert metadata[0]["configuration"]["law"]["offset_dn"] == OFFSET
    again = VsqZarrCodec.from_dict(metadata[0])
    assert again == codec
    assert hash(again) == hash(codec)
    assert again != VsqZarrCodec(quantiser(1.4), "archive", 5)
    for bad in ({}, {"law": LAW.to_config()}, {**metadata[0]["configuration"], "speed": 1}):
        with pytest.raises(ConfigError):
            VsqZarrCodec.from_dict({"name": NAME, "configuration": bad})


def test_zarr_finds_the_codec_by_the_entry_point_of_the_package(tmp_path):
    """In a process that never heard of the codec, with the entry point as an installation writes it."""
    root = Path(__file__).resolve().parents[1]
    points = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["zarr.codecs"]
    assert points == {NAME: f"{VsqZarrCodec.__module__}:{VsqZarrCodec.__qualname__}"}
    installed = tmp_path / "site/stand_in-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[zarr.codecs]", *lines, ""]))
    create(tmp_path / "a.zarr")
    code = f"import zarr; print(int(zarr.open_array({str(tmp_path / 'a.zarr')!r}, mode='r')[...].sum()))"
    paths = os.pathsep.join([str(tmp_path / "site"), str(root)])
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) == int(twin(VOLUME, CHUNKS, quantiser()).sum())


def test_damaged_chunks_are_refused(tmp_path):
    create(tmp_path / "a.zarr")
    file = tmp_path / "a.zarr/c/1/1/0"
    data = file.read_bytes()
    for place in [*range(24), *range(24, len(data), 97)]:
        broken = bytearray(data)
        broken[place] ^= 1 << (place % 8)
        file.write_bytes(broken)
        with pytest.raises(ImageFormatError, match=f"codec {NAME}"):
            zarr.open_array(tmp_path / "a.zarr")[2:4, 32:64, :48]
    for kept in (0, 5, 30, len(data) - 1):
        file.write_bytes(data[:kept])
        with pytest.raises(ImageFormatError):
            zarr.open_array(tmp_path / "a.zarr")[2:4, 32:64, :48]
    np.testing.assert_array_equal(  # the other chunks are there
        zarr.open_array(tmp_path / "a.zarr")[:2], twin(VOLUME, CHUNKS, quantiser())[:2]
    )


def test_what_it_does_not_take(tmp_path):
    with pytest.raises(ConfigError, match="which pixels of a map"):
        VsqZarrCodec(quantiser(law=maps_law(70, 66)))
    with pytest.raises(ConfigError, match="backend 'zip'"):
        VsqZarrCodec(quantiser(), "zip")
    for volume, chunks in ((VOLUME.astype(np.float32), CHUNKS), (VOLUME[0, 0], (20,))):
        with pytest.raises(CompdistortError, match="takes uint16 images"):
            create(tmp_path / "a.zarr", volume, chunks)


def test_our_reader_of_ome_zarr_opens_it(tmp_path):
    group = zarr.create_group(LocalStore(tmp_path / "v.zarr"))
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    create(tmp_path / "v.zarr/0")
    with open_volume(tmp_path / "v.zarr") as volume:
        assert volume.voxel_um == (2.0, 0.5, 0.5)
        np.testing.assert_array_equal(volume.read_planes(0, 5), twin(VOLUME, CHUNKS, quantiser()))
    (tmp_path / "v.zarr/0/c/2/0/1").write_bytes(b"x" * 40)
    with open_volume(tmp_path / "v.zarr") as volume, pytest.raises(ImageFormatError, match="chunk c/2/0/1"):
        volume.read_planes(4, 5)
