"""Calibration frames: pairs of flats and of darks, read and checked before anything is computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compdistort.errors import CalibrationError
from compdistort.io.images import read_stack

UInt16 = NDArray[np.uint16]
_PAIRS = (
    "frame i of the first file pairs with frame i of the second: give two files (or folders) with equally many frames"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePairs:
    """Two stacks of frames; frame i of `a` and frame i of `b` saw the same light.

    Attributes
    ----------
    a, b : ndarray of shape (pairs, rows, columns), uint16
        Grey levels, DN.
    name : str
        What to call them in messages.
    """

    a: UInt16
    b: UInt16
    name: str

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.a)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFrames:
    """Flat and dark pairs of one sensor.

    Attributes
    ----------
    flat, dark : FramePairs
        With light (one pair a level, or more) and without.
    bits : int
        Bit depth of the digital numbers.
    """

    flat: FramePairs
    dark: FramePairs
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        rows, columns = self.flat.a.shape[1:]
        return rows, columns

    @property
    def max_dn(self) -> int:
        """Largest digital number."""
        return (1 << self.bits) - 1


def read_frames(flat: Sequence[Path], dark: Sequence[Path], bits: int = 16) -> CalibrationFrames:
    """Read the flat pair and the dark pair of a calibration.

    Parameters
    ----------
    flat, dark : sequence of two paths
        Each an image, a stack of frames or a folder of them.
    bits : int
        Bit depth of the camera, 9 to 16.

    Raises
    ------
    CalibrationError, ImageFormatError
        As `make_frames`, and for files that cannot be read or are no raw 16-bit images.
    """
    stacks = []
    for what, paths in (("flat", flat), ("dark", dark)):
        if len(paths) != 2:
            raise CalibrationError(
                f"{what} frames need two files, {len(paths)} given ({', '.join(map(str, paths)) or 'none'})", _PAIRS
            )
        stacks.append([np.asarray(read_stack(path, kind="raw")) for path in paths])
    names = [f"{a}, {b}" for a, b in (flat, dark)]
    return make_frames(stacks[0], stacks[1], bits=bits, names=(names[0], names[1]))


def make_frames(
    flat: Sequence[UInt16], dark: Sequence[UInt16], *, bits: int = 16, names: tuple[str, str] = ("flat", "dark")
) -> CalibrationFrames:
    """Check frames that are in memory and pair them.

    Parameters
    ----------
    flat, dark : sequence of two ndarray of shape (pairs, rows, columns), uint16
        Grey levels, DN; a single frame may have two axes.
    bits : int
        Bit depth of the camera, 9 to 16.
    names : tuple of str
        What to call flats and darks in messages.

    Raises
    ------
    CalibrationError
        Unpaired numbers of frames, different shapes, values above the bit depth, identical or constant frames, darks
        as bright as the flats (swapped), or no flat below saturation.
    """
    top = (1 << bits) - 1
    pairs = [_pair(flat, names[0], top), _pair(dark, names[1], -1)]
    frames = CalibrationFrames(flat=pairs[0], dark=pairs[1], bits=bits)
    if frames.flat.a.shape[1:] != frames.dark.a.shape[1:]:
        raise CalibrationError(
            f"flat frames ({names[0]}) have {frames.flat.a.shape[1:]} pixels, dark frames ({names[1]})"
            f" {frames.dark.a.shape[1:]}",
            "take both with the same readout window",
        )
    _check_range(frames)
    _check_light(frames)
    return frames


def _pair(stacks: Sequence[UInt16], name: str, top: int) -> FramePairs:
    """Stack and check pairs; a frame that is `top` everywhere is saturated and may be so."""
    if len(stacks) != 2:
        raise CalibrationError(f"{name}: {len(stacks)} stack of frames, 2 needed", _PAIRS)
    a, b = (np.asarray(s)[None] if np.ndim(s) == 2 else np.asarray(s) for s in stacks)
    if a.shape[1:] != b.shape[1:]:
        raise CalibrationError(f"{name}: frames of {a.shape[1:]} and {b.shape[1:]} pixels do not pair", _PAIRS)
    if len(a) != len(b):
        raise CalibrationError(f"{name}: {len(a)} and {len(b)} frames do not pair", _PAIRS)
    for index, (first, second) in enumerate(zip(a, b, strict=True)):
        if first.min() == top or second.min() == top:
            continue
        if first.min() == first.max() or second.min() == second.max():
            raise CalibrationError(
                f"{name}: a frame of pair {index} has one grey level ({int(first.min())} DN) everywhere",
                "give raw frames; where the camera cuts off its dark noise, raise its offset (black level)",
            )
        if np.array_equal(first, second):
            raise CalibrationError(
                f"{name}: the two frames of pair {index} are identical", "give two exposures, not one twice"
            )
    return FramePairs(a=a, b=b, name=name)


def _check_range(frames: CalibrationFrames) -> None:
    for pairs in (frames.flat, frames.dark):
        top = max(int(pairs.a.max()), int(pairs.b.max()))
        if top > frames.max_dn:
            raise CalibrationError(
                f"{pairs.name}: holds {top} DN, above the {frames.bits} bits given", "correct --bits"
            )


def _check_light(frames: CalibrationFrames) -> None:
    light = np.array([float(np.median(frame)) for frame in frames.flat.a])
    dark = max(float(np.median(frame)) for frame in frames.dark.a)
    if light.max() <= dark:
        raise CalibrationError(
            f"the dark frames ({frames.dark.name}) are as bright as the flat frames ({frames.flat.name}): medians"
            f" {dark:g} and {light.max():g} DN",
            "flat and dark are swapped, or the flats got no light",
        )
    full = [float(np.mean(frame >= frames.max_dn)) for frame in frames.flat.a]
    if min(full) > 0.5:
        raise CalibrationError(
            f"all flat frames ({frames.flat.name}) are saturated: {100 * min(full):.0f} % of the pixels at"
            f" {frames.max_dn} DN",
            "take flats with less light",
        )
