"""The Weka 2D planes of a whole image, gathered from blocks; the same bits as `backend.plain.weka`."""

from compdistort.backend.base import Float32, WekaBank
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.stack import whole_stack


def weka_stack(image: Float32, bank: WekaBank) -> Float32:
    """Return the Weka planes of one image (see `backend.plain.weka.weka_stack`)."""
    return whole_stack(image, FeatureBlocks(bank, image.shape))
