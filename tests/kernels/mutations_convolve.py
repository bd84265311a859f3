"""Planted bugs of the separable filters."""

from cudahost import bodies_convolve as bodies
from cudahost.mutation import Mutation

BORDER, SUMS, ALONG, ROWS = "border.cuh", "line_sums.cuh", "convolve.cu", "columns.cu"
FROM_U8 = "from_u8(const u8* __restrict__ image, float* out, i64 size) {"
FROM_U16 = "from_u16(const u16* __restrict__ image, float* out, i64 size) {"

MUTATIONS = (
    Mutation("mirror-repeats-the-edge-pixel", BORDER, "period - repeat - i", "period - 1 - i", bodies.check_presets),
    Mutation("folded-only-once", BORDER, "i %= period;", "", bodies.check_thin),
    Mutation(
        "tile-filled-while-read", SUMS, "__syncthreads();  // what", "// what", bodies.check_presets, level="checked"
    ),
    Mutation("tile-read-while-filled", SUMS, "__syncthreads();\n    if (own", "if (own", bodies.check_presets),
    Mutation(
        "halo-one-pixel-short",
        SUMS,
        "wanted + 2 * last)",
        "wanted + 2 * last - 1)",
        bodies.check_edges,
        level="checked",
    ),
    Mutation(
        "last-eight-outputs-not-made",
        SUMS,
        "(min(count, SPAN) + OUTS - 1) / OUTS",
        "min(count, SPAN) / OUTS",
        bodies.check_edges,
    ),
    Mutation("far-taps-one-pixel-off", SUMS, "up = own - (first - 1)", "up = own - first", bodies.check_radii),
    Mutation(
        "last-piece-of-taps-left-out", SUMS, "while (first <= radius)", "while (first < radius)", bodies.check_radii
    ),
    Mutation(
        "ring-out-of-phase", SUMS, "minus[(OUTS - j) % OUTS] =", "minus[(OUTS - j + 1) % OUTS] =", bodies.check_presets
    ),
    Mutation("weight-of-the-tap-before", SUMS, "taps[k - first + 1]", "taps[k - first]", bodies.check_presets),
    Mutation("odd-kernel-of-the-other-sign", SUMS, "p - m", "m - p", bodies.check_giant),
    Mutation("odd-kernel-with-a-centre", SUMS, "s.d[o] = 0.f", "s.d[o] = 1e-3f", bodies.check_columns),
    Mutation(
        "tap-rounded-before-the-sum",
        SUMS,
        "__fmaf_rn(w.x, p + m, s.g[o])",
        "w.x * (p + m) + s.g[o]",
        bodies.check_presets,
    ),
    Mutation(
        "neighbours-added-one-by-one",
        SUMS,
        "__fmaf_rn(w.z, p + m, s.c[o])",
        "__fmaf_rn(w.z, p, __fmaf_rn(w.z, m, s.c[o]))",
        bodies.check_presets,
    ),
    Mutation("first-plane-of-the-copy-forgotten", SUMS, "n, repeat) - first;", "n, repeat);", bodies.check_slabs),
    Mutation("line-index-of-32-bits", SUMS, "pixels[p * inner]", "pixels[int(p * inner)]", bodies.check_giant),
    Mutation(
        "rows-read-beyond-the-image",
        SUMS,
        "line < count ? image[pixel] : 0.f",
        "image[pixel]",
        bodies.check_smooth,
        level="ptx90",
    ),
    Mutation(
        "one-position-too-many-stored",
        ALONG,
        "if (at + o < stop)",
        "if (at + o <= stop)",
        bodies.check_smooth,
        level="ptx90",
    ),
    Mutation(
        "lines-read-beyond-the-volume",
        ALONG,
        "min(s.line + threadIdx.x, inner - 1)",
        "s.line + threadIdx.x",
        bodies.check_smooth,
        level="ptx90",
    ),
    Mutation(
        "store-of-32-bits",
        ALONG,
        "out[(s.outer * (stop - start) + at + o - start) * inner + line]",
        "out[int((s.outer * (stop - start) + at + o - start) * inner + line)]",
        bodies.check_giant,
    ),
    Mutation("every-plane-is-the-first", ALONG, "in + s.outer * n * inner + line", "in + line", bodies.check_planar),
    Mutation("second-derivatives-not-added", ALONG, "more.g[o] += sums.c[o]", "more.g[o] += 0.f", bodies.check_presets),
    Mutation("row-index-of-32-bits", ROWS, "return {row * nx,", "return {int(row * nx),", bodies.check_giant),
    Mutation(
        "tile-turned-at-another-pitch", ROWS, "tile[i * PITCH + row]", "tile[i * LANES + row]", bodies.check_presets
    ),
    Mutation(
        "squares-summed-in-another-order",
        ROWS,
        "__fmaf_rn(t.g[o], t.g[o], s.g[o] * s.g[o])",
        "__fmaf_rn(s.g[o], s.g[o], t.g[o] * t.g[o])",
        bodies.check_presets,
    ),
    Mutation(
        "fine-kernel-with-the-other-radius", ROWS, "narrow, narrow_radius,", "narrow, radius,", bodies.check_radii
    ),
    Mutation("last-16-bit-pixel-left-out", "to_float.cu", FROM_U16, FROM_U16 + " size -= 1;", bodies.check_types),
    Mutation(
        "8-bit-pixels-of-one-block-alone",
        "to_float.cu",
        FROM_U8,
        FROM_U8 + " size = min(size, i64(blockDim.x));",
        bodies.check_types,
    ),
)
