"""Connected components of a mask, packed into bits and joined run by run; the same bits as `backend.plain.label`."""

from compdistort.backend.base import Int32, SegmentRule
from compdistort.backend.compiled.bits import pack_mask
from compdistort.backend.compiled.components import find_components, paint
from compdistort.backend.plain.label import Mask


def label_mask(mask: Mask, rule: SegmentRule) -> Int32:
    """Return the label image of a mask (see `compdistort.backend.plain.label.label_mask`)."""
    return paint(find_components(pack_mask(mask), mask.shape, rule))
