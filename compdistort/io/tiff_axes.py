"""Which pages of a TIFF file are the planes of a volume: what ImageJ, OME and tifffile write about it.

The descriptions are searched for the few numbers that are needed and never parsed as XML: no entity is expanded and no
other file is opened.
"""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compdistort.errors import ImageFormatError
from compdistort.io.volume_source import AGAIN, choose
from compdistort.io.voxels import VoxelUm, number, voxel_um

_ONE_FILE = "save the planes as one file, or as a folder of one TIFF a plane"
_ATTRIBUTE = re.compile(r"""([\w:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Where the planes of a volume are.

    Attributes
    ----------
    pages : sequence of int
        Page of each plane.
    under_one_page : bool
        The file has one page only, and all planes lie at its place, one after another; `pages` counts them.
    voxel_um : tuple of three float, or None
        Size of a voxel in micrometres, where the file gives it.
    """

    pages: Sequence[int]
    under_one_page: bool = False
    voxel_um: VoxelUm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Numbers of planes, channels and times, and their order, the fastest first."""

    sizes: dict[str, int]
    order: str

    def index(self, place: dict[str, int]) -> int:
        found, step = 0, 1
        for axis in self.order:
            found += place[axis] * step
            step *= self.sizes[axis]
        return found

    @property
    def count(self) -> int:
        return self.sizes["z"] * self.sizes["c"] * self.sizes["t"]

    def chosen(self, path: Path, channel: int | None, time: int | None) -> list[int]:
        """Return the numbers of the images that are the planes."""
        c = choose(path, "channel", self.sizes["c"], channel)
        t = choose(path, "time", self.sizes["t"], time)
        return [self.index({"z": z, "c": c, "t": t}) for z in range(self.sizes["z"])]


def find_planes(path: Path, page: Any, n_pages: int, channel: int | None, time: int | None) -> Planes:
    """Return the pages that are the planes of a volume, in their order.

    Parameters
    ----------
    path : Path
        For the message.
    page : tifffile.TiffPage
        First page.
    n_pages : int
        Pages in the file.
    channel, time : int or None
        What to read of several.

    Returns
    -------
    Planes

    Raises
    ------
    ImageFormatError
        Several channels or times without a choice, planes that are missing or in other files, several images.
    """
    text = page.description
    if text.startswith("ImageJ="):
        return _imagej(path, page, text, n_pages, channel, time)
    if re.search(r"<(?:\w+:)?Pixels\b", text):
        return _ome(path, page, text, n_pages, channel, time)
    choose(path, "channel", 1, channel)
    choose(path, "time", 1, time)
    return _plain(path, page, text, n_pages)


def _plain(path: Path, page: Any, text: str, n_pages: int) -> Planes:
    """Every page is a plane, unless the description of tifffile says otherwise."""
    try:
        said = json.loads(text) if text.startswith("{") else {}
    except ValueError:
        said = {}
    lead = [n for n in said.get("shape", ())[:-2] if n != 1] if isinstance(said, dict) else []
    if len(lead) > 1:
        raise ImageFormatError(
            f"{path}: holds an array of {' x '.join(map(str, said['shape']))}",
            "save one volume (planes, rows, columns) as its own file",
        )
    if said.get("truncated") and n_pages == 1 and lead:
        _check_under_one_page(path, page, int(lead[0]))
        return Planes(pages=range(int(lead[0])), under_one_page=True)
    return Planes(pages=range(n_pages))


def _imagej(path: Path, page: Any, text: str, n_pages: int, channel: int | None, time: int | None) -> Planes:
    said = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    c, z, t = (int(said.get(word, 1)) for word in ("channels", "slices", "frames"))
    images = int(said.get("images", n_pages))
    if not {"channels", "slices", "frames"} & said.keys():
        z = images
    grid = _Grid(sizes={"z": z, "c": c, "t": t}, order="czt")
    under_one_page = n_pages == 1 < images
    if grid.count != images or (images != n_pages and not under_one_page):
        raise ImageFormatError(
            f"{path}: its ImageJ header says {images} images ({c} channels, {z} planes, {t} times), "
            f"the file holds {n_pages}",
            AGAIN,
        )
    if under_one_page:
        _check_under_one_page(path, page, images)
    return Planes(
        pages=grid.chosen(path, channel, time), under_one_page=under_one_page, voxel_um=_imagej_voxel(page, said)
    )


def _check_under_one_page(path: Path, page: Any, images: int) -> None:
    """Refuse images that stand for pages of their own but are not all there, one after another."""
    if int(page.compression) != 1 or not page.is_contiguous:
        raise ImageFormatError(
            f"{path}: has {images} planes under one page, and compressed", "save it as BigTIFF or OME-Zarr"
        )
    whole = max(0, path.stat().st_size - int(page.dataoffsets[0])) // page.nbytes
    if whole < images:
        raise ImageFormatError(f"{path}: plane {whole} of {images} lies past the end of the file", AGAIN)


def _imagej_voxel(page: Any, said: dict[str, str]) -> VoxelUm | None:
    # ImageJ writes the sign for micro as an escape.
    unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), said["unit"]) if "unit" in said else None
    sizes = [number(said.get("spacing")), *(_spacing(page, name) for name in ("YResolution", "XResolution"))]
    return voxel_um(sizes, [unit] * 3)


def _spacing(page: Any, name: str) -> float | None:
    """Return the distance of pixels from a tag that holds pixels a unit, as a fraction."""
    tag = page.tags.get(name)
    value = tag.value if tag is not None else None
    if not isinstance(value, tuple) or len(value) != 2 or value[0] == 0:
        return None
    return float(value[1] / value[0])


def _ome(path: Path, page: Any, text: str, n_pages: int, channel: int | None, time: int | None) -> Planes:
    elements = re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", text)
    if len(elements) > 1:
        raise ImageFormatError(f"{path}: holds {len(elements)} images", "save one as its own file")
    said = _attributes(elements[0])
    sizes = {axis: int(said.get(f"Size{axis.upper()}", 1)) for axis in "zctyx"}
    order = said.get("DimensionOrder", "XYZCT")[2:].lower()
    if sorted(order) != ["c", "t", "z"]:
        raise ImageFormatError(f"{path}: has the order of axes {said['DimensionOrder']}", "save it as X Y Z C T")
    if (sizes["y"], sizes["x"]) != tuple(page.shape):
        raise ImageFormatError(
            f"{path}: its OME header says planes of {sizes['y']} x {sizes['x']}, page 0 is "
            f"{' x '.join(map(str, page.shape))}",
            AGAIN,
        )
    _refuse_other_files(path, text)
    grid = _Grid(sizes=sizes, order=order)
    pages = _ome_pages(path, text, grid, n_pages)
    chosen = grid.chosen(path, channel, time)
    for plane, image in enumerate(chosen):
        if image not in pages:
            raise ImageFormatError(f"{path}: plane {plane} is missing: no page is named for it", AGAIN)
    sizes_um = [number(said.get(f"PhysicalSize{axis}")) for axis in "ZYX"]
    units = [html.unescape(said.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"]
    return Planes(pages=[pages[image] for image in chosen], voxel_um=voxel_um(sizes_um, units))


def _attributes(element: str) -> dict[str, str]:
    return {name: first or second for name, first, second in _ATTRIBUTE.findall(element)}


def _refuse_other_files(path: Path, text: str) -> None:
    """Refuse planes that the header puts in other files, which it names by their UUID; those are never opened."""
    root = re.search(r"<(?:\w+:)?OME\b[^>]*>", text)
    own = _attributes(root[0]).get("UUID") if root else None
    named = set(re.findall(r"<(?:\w+:)?UUID\b[^>]*>\s*([^<\s]+)\s*<", text))
    if len(named) > 1 or (own and named - {own}):
        raise ImageFormatError(f"{path}: has planes in {len(named)} files", _ONE_FILE)


def _ome_pages(path: Path, text: str, grid: _Grid, n_pages: int) -> dict[int, int]:
    """Return the page of each image (plane, channel, time); by default in the order of the axes."""
    named = [_attributes(element) for element in re.findall(r"<(?:\w+:)?TiffData\b[^>]*>", text)] or [{}]
    if grid.count > n_pages:
        raise ImageFormatError(f"{path}: its OME header says {grid.count} images, the file holds {n_pages}", AGAIN)
    pages: dict[int, int] = {}
    for each in named:
        first = int(each.get("IFD", 0))
        start = grid.index({axis: int(each.get(f"First{axis.upper()}", 0)) for axis in "zct"})
        count = int(each.get("PlaneCount", 1 if "IFD" in each else grid.count))
        if min(start, first) < 0 or start + count > grid.count or first + count > n_pages:
            raise ImageFormatError(
                f"{path}: its OME header puts image {start + count - 1} on page {first + count - 1}, "
                f"it says {grid.count} images and the file holds {n_pages} pages",
                AGAIN,
            )
        pages |= {start + k: first + k for k in range(count)}
    return pages
