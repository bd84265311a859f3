"""Planted bugs of `kernels/backproject.cu` (see `cudahost.mutation`)."""

from cudahost.bodies_backproject import (
    check_backproject_far_planes,
    check_backproject_limits,
    check_backproject_order,
    check_backproject_shapes,
    check_backproject_strides,
    check_backproject_whole_images,
)
from cudahost.mutation import Mutation


def _bug(name, old, new, body=check_backproject_shapes, level="plain"):
    return Mutation(f"beam-{name}", "backproject.cu", old, new, body, level)


MUTATIONS = (
    _bug("first-place-left-out", "first <= place", "first < place", check_backproject_limits),
    _bug("last-place-left-out", "place <= last;", "place < last;", check_backproject_limits),
    _bug("half-goes-up", "0x7fffffffLL", "0x80000000LL", check_backproject_limits),
    _bug("bits-of-the-fraction-lost", "0xffffff)", "0xfffffe)", check_backproject_limits),
    _bug(
        "beyond-the-detector-is-read",
        "inside && p < planes",
        "p < planes",
        check_backproject_whole_images,
        "ptx90",
    ),
    _bug("row-and-column-exchanged", "x * columns[k] + y * rows[k]", "y * columns[k] + x * rows[k]"),
    _bug("weights-exchanged", "w[0] = g;\n    w[1] = f;", "w[0] = f;\n    w[1] = g;"),
    _bug(
        "spline-not-fused",
        "__fmaf_rn(g * g, 0.5f * g - 1.0f, two_thirds)",
        "g * g * (0.5f * g - 1.0f) + two_thirds",
        check_backproject_order,
    ),
    _bug(
        "sum-not-fused",
        "total[p] = __fmaf_rn(w[tap], sample, total[p]);",
        "total[p] = w[tap] * sample + total[p];",
        check_backproject_order,
    ),
    _bug(
        "angles-from-the-last",
        "for (int k = 0; k < angles; k++)",
        "for (int k = angles - 1; k >= 0; k--)",
        check_backproject_order,
    ),
    _bug("plane-of-another-group", "samples + i64(z) * angles * n", "samples"),
    _bug("last-angle-left-out", "k < angles;", "k < angles - 1;"),
    _bug("last-column-computed-too", "x < right[y];", "x <= right[y];"),
    _bug("first-column-left-out", "left[y] <= x", "left[y] < x"),
    _bug("outside-not-zero", "computed ? total[p] * scale : 0.0f;", "computed ? total[p] * scale : 1.0f;"),
    _bug("one-plane-beyond", "          if (z + p < planes) {", "          if (z + p <= planes) {", level="ptx90"),
    _bug("group-of-32-bits", "i64(z) * angles * n", "z * angles * n", check_backproject_far_planes),
    _bug("plane-of-32-bits", "plane = i64(angles) * n", "plane = angles * n", check_backproject_far_planes),
    _bug("line-of-32-bits", "i64 at = i64(k) * n", "i64 at = k * n", check_backproject_far_planes),
    _bug("pixels-of-32-bits", "out[(i64(z + p) * size", "out[((z + p) * size", check_backproject_far_planes),
    _bug("stride-of-planes", "z += gridDim.z * PLANES", "z += PLANES * planes", check_backproject_strides),
    _bug("stride-of-rows", "y += gridDim.y * blockDim.y", "y += size", check_backproject_strides),
    _bug("stride-of-columns", "x += gridDim.x * blockDim.x", "x += size", check_backproject_strides),
)
