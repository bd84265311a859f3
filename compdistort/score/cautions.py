"""What a reader must know before trusting a number, worst first."""

from collections.abc import Mapping

from compdistort.score.results import Estimate, RawSamples
from compdistort.score.spread import EVENT_DRIVEN

FEW_REPLICATES = 20
"""Below this s is known to no better than 40 %, and no rank of a replicate is significant at 5 %."""
DOUBLE_NOISE = 0.5
"""|b| above which the replicates are called not raw-equivalent for a quantity."""
_RARE_SHARE = 0.1
_MOST_NAMED = 6


def cautions(
    raw: RawSamples, shifts: Mapping[str, Estimate], totals: Mapping[str, Estimate], found_rarely: int
) -> tuple[str, ...]:
    """Return the warnings of a study.

    Parameters
    ----------
    raw : RawSamples
        The raw image and its replicates.
    shifts : mapping of str to Estimate
        Double-noise shift b of every quantity.
    totals : mapping of str to Estimate
        s of every total.
    found_rarely : int
        Raw objects that too few replicates show for a score.

    Returns
    -------
    tuple of str
    """
    n_replicates, n_objects = len(raw.replicate_totals), len(raw.values)
    found = []
    if n_objects == 0:
        found.append("no objects were found in the raw image: object scores do not exist and no codec can be judged")
    if n_replicates < FEW_REPLICATES:
        found.append(f"only {n_replicates} replicates: s is known poorly; ask for 100")
    found += _double_noise(shifts)
    if found_rarely > _RARE_SHARE * n_objects:
        found.append(
            f"{found_rarely} of {n_objects} raw objects are found in fewer than three replicates: they have no "
            "uncertainty and no score"
        )
    found += [
        f"{EVENT_DRIVEN} of {name}: rare events, not a steady noise, make its spread"
        for name, estimate in totals.items()
        if EVENT_DRIVEN in estimate.flags
    ]
    found += [
        f"{name} is the same in all replicates: its uncertainty is limited by resolution"
        for name, estimate in totals.items()
        if estimate.value == 0
    ]
    return tuple(found)


def _double_noise(shifts: Mapping[str, Estimate]) -> list[str]:
    """Name the quantities whose replicates are shifted, unless few replicates alone explain the shift."""
    shifted = [
        (-abs(b.value), name, b.value)
        for name, b in shifts.items()
        if abs(b.value) > DOUBLE_NOISE and not b.low <= 0 <= b.high
    ]
    if not shifted:
        return []
    words = ", ".join(f"{name} (b = {value:+.2f})" for _, name, value in sorted(shifted)[:_MOST_NAMED])
    more = f" and {len(shifted) - _MOST_NAMED} more" if len(shifted) > _MOST_NAMED else ""
    return [f"double noise: replicates are not raw-equivalent (|b| > {DOUBLE_NOISE:g}) for {words}{more}"]
