"""When a forest is worth compiling: after its votes have taken so long that compiling would have paid."""

from compdistort.backend.base import FlatForest
from compdistort.backend.bitsliced.voter import Voter, voter_for

COMPILE_AFTER_SECONDS = 2.0
"""Votes that took this long are worth a compiled forest, which is made in the background."""


class Patience:
    """The time that votes of one forest took.

    Parameters
    ----------
    forest : FlatForest
        The trees.
    """

    def __init__(self, forest: FlatForest) -> None:
        self._forest, self._seconds = forest, 0.0

    def add(self, seconds: float) -> None:
        """Count the time that votes took (threads may overwrite each other's sum: it is only an estimate)."""
        self._seconds += seconds

    def voter(self, foreground: int | None) -> Voter:
        """Return networks where there are some, else descents; after a while have the networks compiled.

        Parameters
        ----------
        foreground : int or None
            The class that is asked for; None = all.
        """
        wait = False if self._seconds >= COMPILE_AFTER_SECONDS else None
        return voter_for(self._forest, wait=wait, foreground=foreground)
