"""VSQ inside TIFF: index pages that any reader shows, that ours restores, and that no reader takes for intensities."""

import json

import numpy as np
import pytest
import tifffile
from vsq_case import maps_law, noisy, quantiser

from compdistort.codecs.vsq.container import VsqHeader, VsqSettings, decode_array, encode_array
from compdistort.codecs.vsq.tiff_carrier import index_tiff_writer
from compdistort.codecs.vsq.tiff_restore import is_index_tiff, open_index_tiff
from compdistort.errors import ConfigError, ImageFormatError, ImageTooLargeError
from compdistort.io.images import read_image, write_tiff
from compdistort.io.volume import open_volume

STACK = noisy((3, 50, 61))


def write(path, image=STACK, compression="jxl", quantise=None, seed="content", voxel_um=None):
    header = VsqHeader(
        shape=image.shape, quantiser=quantise or quantiser(), settings=VsqSettings(seed=seed), voxel_um=voxel_um
    )
    with index_tiff_writer(path, header, compression=compression, effort=3) as writer:
        writer.write_planes(image.reshape(-1, *image.shape[-2:]))
    return writer.finish()


def restored(path, **options):
    with open_index_tiff(path, **options) as file:
        return file.read_planes(0, file.shape[0])


@pytest.mark.parametrize("compression", ["jxl", "deflate"])
@pytest.mark.parametrize("seed", ["content", 99])
@pytest.mark.parametrize("image", [STACK, STACK[0]], ids=["stack", "plane"])
def test_pages_hold_the_pixels_of_a_container_of_one_chunk_a_plane(tmp_path, compression, seed, image):
    change = write(tmp_path / "a.tif", image, compression, seed=seed, voxel_um=(3.0, 1.0, 1.0))
    expected, _ = decode_array(encode_array(image, quantiser(), VsqSettings(tile=64, seed=seed, backend="jpegls")))
    with open_index_tiff(tmp_path / "a.tif") as file:
        found = file.read_planes(0, file.shape[0]).reshape(image.shape)
        assert file.header.shape == image.shape
        assert file.header.voxel_um == (3.0, 1.0, 1.0)
        assert file.check() == []
        np.testing.assert_array_equal(
            file.read_planes(file.shape[0] - 1, file.shape[0])[0], found.reshape(-1, 50, 61)[-1]
        )
    np.testing.assert_array_equal(found, expected)
    assert (found == 65535).sum() == (image == 65535).sum() > 0
    assert change.pixels == image.size
    assert 0 < change.added_db < 2
    fractions = restored(tmp_path / "a.tif", dtype=np.float32).reshape(image.shape)
    assert np.abs(fractions - found)[image < 65535].max() < 5
    assert (fractions != found).any()


def test_wide_indices_take_16_bit(tmp_path):
    fine = quantiser(0.25)
    assert fine.saturated > 255
    write(tmp_path / "a.tif", STACK, quantise=fine)
    expected, _ = decode_array(encode_array(STACK, fine, VsqSettings(tile=64, backend="jpegls")))
    np.testing.assert_array_equal(restored(tmp_path / "a.tif"), expected)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].dtype == np.uint16


def test_any_reader_shows_the_pages_and_every_page_warns(tmp_path):
    write(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        picture = np.stack([page.asarray() for page in file.pages])
        words = [page.aspage().description for page in file.pages]
        assert file.pages[0].compression == 50002
    assert picture.dtype == np.uint8
    assert np.corrcoef(picture.ravel(), np.sqrt(np.clip(STACK, 0, 2000)).ravel())[0, 1] > 0.9  # a picture all the same
    assert all(text.startswith("NOT INTENSITIES: this page holds indices") for text in words)
    assert all(text.isascii() for text in words)
    told = [json.loads(text.partition("\n")[2]) for text in words]
    assert told[0]["vsq"]["quantiser"]["step"] == 2.0
    assert "tile" not in told[0]["vsq"]
    assert len({page["page"]["seed"] for page in told}) == 3


@pytest.mark.parametrize("compression", ["jxl", "deflate"])
def test_readers_of_images_refuse_index_pages(tmp_path, compression):
    write(tmp_path / "a.tif", compression=compression)
    for kind in ("raw", "any", "labels"):
        with pytest.raises(ImageFormatError, match="holds the indices of a VSQ image, not intensities; restore them"):
            read_image(tmp_path / "a.tif", kind=kind)
    with pytest.raises(ImageFormatError, match="not intensities"), open_volume(tmp_path / "a.tif", kind="any"):
        pass
    assert is_index_tiff(tmp_path / "a.tif")


def test_plain_images_are_no_index_pages(tmp_path):
    write_tiff(tmp_path / "a.tif", STACK)
    assert not is_index_tiff(tmp_path / "a.tif")
    with pytest.raises(ImageFormatError, match="page 0 holds no VSQ indices"):
        restored(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(b"no tiff")
    with pytest.raises(ImageFormatError):
        restored(tmp_path / "b.tif")


def test_a_damaged_page_is_named_and_the_others_are_there(tmp_path):
    write(tmp_path / "a.tif")
    whole = restored(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset, count = file.pages[1].dataoffsets[0], file.pages[1].databytecounts[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[offset + count // 2] ^= 4
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageFormatError, match=r"a\.tif: page 1 is damaged: the checksum of its bytes"):
        restored(tmp_path / "a.tif")
    with open_index_tiff(tmp_path / "a.tif") as file:
        assert len(file.check()) == 1
        np.testing.assert_array_equal(file.read_planes(2, 3), whole[2:])
    with open_index_tiff(tmp_path / "a.tif", keep_going=True) as file:
        rest = file.read_planes(0, 3)
        assert len(file.damaged) == 1
        assert "page 1" in file.damaged[0]
    np.testing.assert_array_equal(rest[[0, 2]], whole[[0, 2]])
    assert not rest[1].any()


def test_no_flipped_byte_gives_other_pixels(tmp_path):
    """Bytes that nothing depends on may be flipped (names, resolutions); no flip may change a pixel unnoticed."""
    write(tmp_path / "a.tif", STACK[:2], "deflate")
    whole, data = restored(tmp_path / "a.tif"), (tmp_path / "a.tif").read_bytes()
    noticed = 0
    for place in [*range(16), *range(16, len(data), 61)]:
        broken = bytearray(data)
        broken[place] ^= 1 << (place % 8)
        (tmp_path / "b.tif").write_bytes(broken)
        try:
            np.testing.assert_array_equal(restored(tmp_path / "b.tif"), whole)
        except ImageFormatError:
            noticed += 1
    assert noticed > 50
    for kept in (0, 7, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "b.tif").write_bytes(data[:kept])
        with pytest.raises(ImageFormatError):
            restored(tmp_path / "b.tif")


def relabelled(path, number, edit):
    """Write the description of a page anew, with the JSON that `edit` changed."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        tag = file.pages[number].aspage().tags["ImageDescription"]
        words, _, text = tag.value.partition("\n")
        told = json.loads(text)
        edit(told)
        tag.overwrite(words + "\n" + json.dumps(told))


LIES = {
    "seed": (1, lambda told: told["page"].update(seed=5), "page 1 .*(is damaged|cannot be restored)"),
    "no number": (1, lambda told: told["page"].update(seed="5"), "page 1: cannot be restored"),
    "gone": (1, lambda told: told.pop("page"), "page 1: cannot be restored"),
    "saturated": (1, lambda told: told["page"].update(saturated=0), "page 1 .*(is damaged|cannot be restored)"),
    "planes": (0, lambda told: told["vsq"].update(shape=[4, 50, 61]), "has 3 pages for 4 planes"),
    "size": (0, lambda told: told["vsq"].update(shape=[3, 61, 50]), r"page 0 is \(50, 61\)"),
    "step": (0, lambda told: told["vsq"]["quantiser"].update(step=-1), "header is not usable"),
    "no header": (0, lambda told: told.pop("vsq"), "does not describe a VSQ image"),
}


@pytest.mark.parametrize("case", LIES)
def test_descriptions_that_lie(tmp_path, case):
    number, edit, words = LIES[case]
    write(tmp_path / "a.tif")
    relabelled(tmp_path / "a.tif", number, lambda told: None)
    restored(tmp_path / "a.tif")  # negative control: the same words written anew are believed
    relabelled(tmp_path / "a.tif", number, edit)
    with pytest.raises(ImageFormatError, match=words):
        restored(tmp_path / "a.tif")


def test_what_cannot_be_written_or_held(tmp_path):
    with pytest.raises(ConfigError, match="compression 'zip' is unknown"):
        write(tmp_path / "a.tif", compression="zip")
    with pytest.raises(ConfigError, match=r"write a \.vsq file"):
        write(tmp_path / "a.tif", quantise=quantiser(law=maps_law(50, 61)))
    header = VsqHeader(shape=STACK.shape, quantiser=quantiser(), settings=VsqSettings())
    with pytest.raises(ConfigError, match="1 of 3 planes"), index_tiff_writer(tmp_path / "a.tif", header) as writer:
        writer.write_planes(STACK[:1])
    assert not list(tmp_path.iterdir())
    write(tmp_path / "a.tif")
    with pytest.raises(ImageTooLargeError):
        restored(tmp_path / "a.tif", max_bytes=9000)
    with open_index_tiff(tmp_path / "a.tif") as file, pytest.raises(ImageFormatError, match="has no planes 2:4"):
        file.read_planes(2, 4)
