"""What the rest of a sweep will cost, said before it starts."""

from collections.abc import Sequence
from dataclasses import replace

from compdistort.config import StudyConfig
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.comparison import COUNTS, Reference
from compdistort.pipeline.forecast import Forecast, forecast
from compdistort.pipeline.sweep_blocks import Unit
from compdistort.pipeline.sweep_raw import restored

_DIGEST_BYTES = 16


def forecast_sweep(
    chain: Chain, reference: Reference, config: StudyConfig, *, raw: int, units: Sequence[Unit], searched: int
) -> Forecast:
    """Return the cost of what is missing of a sweep, from a crop that is timed with every codec.

    Parameters
    ----------
    chain : Chain
        The chain.
    reference : Reference
        The raw image's objects.
    config : StudyConfig
        The study without codecs.
    raw : int
        Replicates that have no row of their own yet.
    units : sequence of Unit
        Missing blocks of known points.
    searched : int
        Most points that searches for boundaries may still add.

    Returns
    -------
    Forecast
        `images` counts those of the searches, which may end sooner.

    Raises
    ------
    ResourceError
        If the memory limit is too small.
    """
    n = config.noise.replicates
    points = {unit.placed.point: unit.placed for unit in units}
    cost = forecast(chain, [restored(chain, each) for each in points.values()], config)
    images = raw + sum(unit.length for unit in units) + searched * n
    each = cost.seconds / (n * (1 + len(points)))
    row = 4 * len(reference.values) * len(chain.measurands.parameters)
    row += 8 * (len(chain.measurands.totals) + len(COUNTS)) + _DIGEST_BYTES
    return replace(cost, images=images, seconds=each * images, disk_bytes=cost.disk_bytes + row * images)
