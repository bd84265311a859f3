"""Planted bugs of `kernels/accumulate.cu` (see `cudahost.mutation`)."""

from cudahost.bodies import check_accumulate
from cudahost.mutation import Mutation


def _bug(name, old, new, level="plain"):
    return Mutation(f"sums-{name}", "accumulate.cu", old, new, check_accumulate, level)


MUTATIONS = (
    _bug("squares-of-32-bits", "u64 s = 0, q = 0;", "u64 s = 0;\n    u32 q = 0;"),
    _bug("last-image-left-out", "k < n; k++", "k < n - 1; k++"),
    _bug("overwritten-not-added", "sum1[p] += s;", "sum1[p] = s;"),
    _bug("stride-of-the-image-wrong", "images[k * size + p]", "images[k * step + p]"),
    _bug("one-beyond-the-end", "p < size;", "p <= size;", level="ptx90"),
    _bug("every-block-at-the-start", "i64(blockIdx.x) * blockDim.x + threadIdx.x;", "threadIdx.x;"),
)
