"""Comparisons of codes as bitwise operations.

A condition compares a feature's code with a whole number. Codes are cut in digits, and for every digit there are
*steps*, words that say ``digit <= value``; with the digits of the number being h and l ::

    code <= 16 h + l   =   step(h) and (step(h - 1) or low_step(l))

so that a few dozen steps a feature replace one word for each of thousands of thresholds, and all that a tree reads
stays in the nearest caches. What the nodes above a condition say about the same feature often makes one of its steps
certain; pixels that do not reach a node may get any bit there, so that step is left out.
"""

_DIRECT_BITS = 5
_DIGIT_BITS = 6

WHOLE = -1
"""In place of a digit: the code itself."""

Step = tuple[int, int, int]
"""Which feature (its place among the used ones), which digit (0 is the highest), and the value it is compared with."""

Chain = tuple[tuple[str, Step], ...]
"""A condition, innermost first: a step, then ``("or", step)`` and ``("and", step)`` on what there is so far."""


def digit_shifts(bits: int) -> tuple[int, ...]:
    """Return how a code of so many bits is cut in digits of about the same size.

    One digit needs fewest operations, several need fewest words: up to 31 words are kept as they are.

    Parameters
    ----------
    bits : int
        Bits of a code, up to 16.

    Returns
    -------
    tuple of int
        The lowest bit of each digit, the highest digit first.
    """
    digits = 1 if bits <= _DIRECT_BITS else -(-bits // _DIGIT_BITS)
    edges = [bits * k // digits for k in range(digits)]
    return tuple(reversed(edges))


def condition(slot: int, code: int, low: int, high: int, shifts: tuple[int, ...], digit: int = 0) -> Chain | bool:
    """Return ``x <= code`` for codes x known to lie in ``low..high``.

    Parameters
    ----------
    slot, digit : int
        Place of the feature, and the digit to begin with; `code`, `low` and `high` hold this one and the lower ones.
    code : int
        What is compared with.
    low, high : int
        Smallest and largest x.
    shifts : tuple of int
        Lowest bit of each digit, the highest digit first.

    Returns
    -------
    tuple or bool
        The chain of steps, or what is certain.
    """
    if high <= code or low > code:
        return high <= code
    shift = shifts[digit]
    base = code >> shift << shift
    end = base + (1 << shift)
    inside: Chain | bool = True
    if shift:  # asked only where the higher digits are those of `code`
        inside = condition(
            slot, code - base, max(low - base, 0), min(high - base, (1 << shift) - 1), shifts, digit + 1
        )  # fmt: skip
    chain: Chain = ()
    if not isinstance(inside, bool):
        chain = inside
        if low < base:
            chain = (*chain, ("or", (slot, digit, (code >> shift) - 1)))
    if high >= end:
        chain = (*chain, ("and", (slot, digit, code >> shift)))
    return chain
