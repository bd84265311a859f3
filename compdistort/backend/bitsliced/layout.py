"""How a network is cut into functions, and what lies where in the memory that they share."""

from dataclasses import dataclass

from compdistort.backend.bitsliced.program import Program


@dataclass(frozen=True, slots=True)
class Shape:
    """How the code is cut.

    Attributes
    ----------
    group : int
        Pixels of a word: 256 or 512.
    groups : int
        Groups that take turns in one function.
    cost : int
        Nodes of a function.
    """

    group: int
    groups: int
    cost: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The scratch memory of one group, in words: steps, saved parts, counter."""

    saved: int
    counter: int
    size: int

    @classmethod
    def of(cls, program: Program) -> "Layout":
        """Return the layout of a network."""
        saved = len(program.steps)
        counter = saved + program.n_saved
        return cls(saved, counter, counter + program.counter_bits)
