"""The set `fast` of a whole image, gathered from blocks; the same bits as `backend.plain.half_grid`."""

from compdistort.backend.base import Float32, HalfGridBank
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.stack import whole_stack


def half_grid_stack(image: Float32, bank: HalfGridBank) -> Float32:
    """Return the features of one image (see `backend.plain.half_grid.half_grid_stack`)."""
    return whole_stack(image, FeatureBlocks(bank, image.shape))
