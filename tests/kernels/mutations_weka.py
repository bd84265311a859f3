"""Planted bugs of `kernels/weka.cu` and `kernels/arc_cosine.cuh` (see `cudahost.mutation`)."""

from functools import partial

from cudahost import bodies_weka as bodies
from cudahost.mutation import Mutation

_plant = partial(Mutation, file="weka.cu")

FIRST = "if (i < radius) total += tail[i] * in[first];\n"
LAST = "if (i > n - radius) total += tail[n - 1 - i] * in[last];\n"

MUTATIONS = (
    _plant(
        name="weka-x-tile-halo-one-short",
        old="for (int i = t; i < XT + 2 * halo; i += XT) {",
        new="for (int i = t; i < XT + 2 * halo - 1; i += XT) {",
        body=bodies.check_weka_long_lines,
        level="checked",
    ),
    _plant(
        name="weka-x-row-end-not-guarded",
        old="tile[i] = x >= 0 && x < columns ? in[row + x] : 0.f;",
        new="tile[i] = x >= 0 ? in[row + x] : 0.f;",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="weka-y-tile-reads-rows-above-the-slab's",
        old="const int y = first + top + j - halo - in_first;",
        new="const int y = top + j - halo;",
        body=bodies.check_weka_slabs,
    ),
    _plant(
        name="weka-y-barrier-removed",
        old="  __syncthreads();\n  if (x >= columns) return;\n  const i64 row_0",
        new="  if (x >= columns) return;\n  const i64 row_0",
        body=bodies.check_weka_tall_slabs,
        level="checked",
    ),
    _plant(
        name="weka-first-pixel-one-too-few",
        old="if (i < radius) total",
        new="if (i < radius - 1) total",
        body=bodies.check_weka_ends,
    ),
    _plant(
        name="weka-last-pixel-one-too-many",
        old="if (i > n - radius) total",
        new="if (i >= n - radius) total",
        body=bodies.check_weka_ends,
    ),
    _plant(
        name="weka-tail-sum-of-the-neighbour",
        old="tail[n - 1 - i] * in[last]",
        new="tail[n - i - (i > 0)] * in[last]",
        body=bodies.check_weka_ends,
    ),
    _plant(
        name="weka-last-pixel-before-the-first",
        old=f"{FIRST}  {LAST}",
        new=f"{LAST}  {FIRST}",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="weka-taps-fused",
        old="total += g[k] * (tile[c - k] + tile[c + k]);",
        new="total = __fmaf_rn(g[k], tile[c - k] + tile[c + k], total);",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="weka-direct-line-one-short",
        old="after = k < n - i ?",
        new="after = k < n - i - 1 ?",
        body=bodies.check_weka_radii,
    ),
    _plant(
        name="weka-gradient-of-the-pixel-outside",
        old="const int y = nearest(in_top - 1 + i / GW, in_rows), x",
        new="const int y = in_top - 1 + i / GW, x",
        body=bodies.check_weka_steps,
    ),
    _plant(
        name="weka-column-not-kept-inside",
        old="x = nearest(left - 1 + i % GW, columns);",
        new="x = min(left - 1 + i % GW, columns - 1);",
        body=bodies.check_weka_steps,
    ),
    _plant(
        name="weka-sum-in-float32",
        old="const double upper = 0.0 + double(a0) - double(a2) + 2.0 * double(m0) - 2.0 * double(m2);",
        new="const float upper = 0.f + a0 - a2 + 2.f * m0 - 2.f * m2;",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="weka-gradients-barrier-removed",
        old="  __syncthreads();\n  const int x = left + int(threadIdx.x), row",
        new="  const int x = left + int(threadIdx.x), row",
        body=bodies.check_weka_shapes,
        level="checked",
    ),
    _plant(
        name="weka-orientation-sign-of-zero-lost",
        old="return c < 0.f ? -angle : angle;",
        new="return c < 0.f ? 0.f - angle : angle;",
        body=bodies.check_weka_signed_zero,
    ),
    _plant(
        name="weka-orientation-of-a-flat-place-undefined",
        old="if (!(fabs(cosine) <= 1.0)) return 0.f;",
        new="if (fabs(cosine) > 1.0) return 0.f;",
        body=bodies.check_weka_flat,
    ),
    _plant(
        name="weka-finer-plane-off-by-one",
        old="from += (10 + k) * pitch;",
        new="from += 10 * pitch;",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="weka-plane-index-of-32-bits",
        old="float* to = out + (i64(plane) * pitch + (place + row) * columns + x);",
        new="float* to = out + (i64(plane) * pitch + u32(place + row) * u32(columns) + x);",
        body=bodies.check_weka_giant,
    ),
    _plant(
        name="weka-pixel-index-of-32-bits",
        old="in[i64(y) * columns + x] : 0.f;",
        new="in[u32(y) * u32(columns) + u32(x)] : 0.f;",
        body=bodies.check_weka_giant,
    ),
    _plant(
        name="acos-wrong-branch-at-minus-one",
        file="arc_cosine.cuh",
        old="return 2.0 * half_pi - 2.0 * (root + (ratio * root - half_pi_low));",
        new="return half_pi - 2.0 * (root + (ratio * root - half_pi_low));",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="acos-coefficient",
        file="arc_cosine.cuh",
        old="2.01212532134862925881e-01",
        new="2.01221532134862925881e-01",
        body=bodies.check_weka_shapes,
    ),
    _plant(
        name="acos-end-of-the-middle",
        file="arc_cosine.cuh",
        old="if (size < 0.5)",
        new="if (size < 0.75)",
        body=bodies.check_weka_shapes,
    ),
)
