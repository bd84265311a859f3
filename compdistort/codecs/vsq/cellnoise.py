"""The study codec `cellnoise`: plain rounding on the noise-stabilised scale, and a fresh place in every cell.

"Pseudo-noise replaces noise": the cell of a pixel is kept, and where it lies in the cell is drawn anew, by numbers that
coder and decoder both compute. The decoded image looks as random as the raw one, but old and new place are independent,
so that a step adds twice the variance that it adds with subtractive dither: ``step^2 / 6`` instead of ``/ 12``. Grey
levels are whole numbers and cells are not, so that means may be wrong by up to half a grey level.

For studies alone, not a storage format. It comes nearer to patents on noise replacement (US 11,356,579 and relatives)
than `vsq`: have them read by a person who can judge them before it is used for anything else.
"""

from dataclasses import dataclass
from typing import ClassVar

from compdistort.codecs.vsq.codec import Vsq


@dataclass(frozen=True, kw_only=True)
class CellNoise(Vsq):
    """Noise-stabilised rounding whose cells are filled again at random, then a lossless coder; for studies alone.

    Attributes
    ----------
    step, ratio
        As of `compdistort.codecs.vsq.codec.Vsq`, and so are all other settings.
    added_db : float or None
        Wanted added noise, dB; the step is smaller than that of `vsq` by the square root of 2.

    Examples
    --------
    >>> law = {"offset_dn": 100, "gain_dn_per_e": 2.0, "read_noise_dn": 3.0}
    >>> CellNoise(step=1.41, law=law).describe()[:43]
    'cells of 1.41 sigma filled again at random;'
    """

    codec_id: ClassVar[str] = "cellnoise"
    dithers: ClassVar[tuple[str, ...]] = ("replaced",)
    moment: ClassVar[int] = 6

    dither: str = "replaced"

    def way(self) -> str:
        """Return in words what happens in a cell."""
        return "filled again at random"
