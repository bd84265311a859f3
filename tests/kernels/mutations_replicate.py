"""Planted bugs of the noise kernels."""

from cudahost import bodies_noise as bodies
from cudahost.mutation import Mutation

CU, PHILOX = "replicate.cu", "philox.cuh"

MUTATIONS = (
    Mutation("philox-nine-rounds", PHILOX, "round < 10", "round < 9", bodies.check_philox),
    Mutation("philox-words-swapped", PHILOX, "high1 ^ c.y ^ key0", "high1 ^ c.w ^ key0", bodies.check_philox),
    Mutation("law-step-equal-to-the-word", CU, "word >= law[k]", "word > law[k]", bodies.check_ties),
    Mutation("law-ends-one-step-early", CU, "law[k] != 0xFFFFFFFFu", "law[k + 1] != 0xFFFFFFFFu", bodies.check_ties),
    Mutation("guide-of-another-law", CU, "guide[row * 64 +", "guide[row * 32 +", bodies.check_laws),
    Mutation("first-word-beyond-the-cubics", CU, "int(tail | 1u)", "int(tail)", bodies.check_rare_words),
    Mutation("upper-tail-off-by-one", CU, "upper ? ~word : word", "upper ? 0u - word : word", bodies.check_rare_words),
    Mutation("product-rounded-before-the-sum", CU, "__fmaf_rn(z, z, -1.0f)", "(z * z - 1.0f)", bodies.check_maps),
    Mutation("halves-rounded-up", CU, "__float2int_rn(value)", "int(value + 0.5f)", bodies.check_rounding),
    Mutation("draws-wrapped-at-the-top", CU, "min(max(__float2int_rn(value), 0), top)", "__float2int_rn(value)",
             bodies.check_ends),
    Mutation("skewness-divided-in-another-order", CU, "6.0f * variance * sd", "6.0f * (variance * sd)",
             bodies.check_maps),
    Mutation("signal-clipped-not-variance", CU, "signal = mean - offset;", "signal = fmaxf(mean - offset, 0.0f);",
             bodies.check_maps),
    Mutation("gaussian-maps-with-skewness", CU, " && !gaussian", "", bodies.check_maps),
    Mutation("region-of-the-first-row", CU, "region[p]", "region[x + j]", bodies.check_laws),
    Mutation("replicates-without-their-step", CU, "counter.w += step", "counter.w++", bodies.check_places),
    Mutation("last-voxel-of-a-row-not-written", CU, "x + 3 < columns)", "x + 4 < columns)", bodies.check_places),
    Mutation("rows-beyond-the-grid-left-out", CU, "y < u32(rows); y +=", "y < u32(rows); y = u32(rows) +",
             bodies.check_strides),
    Mutation("place-of-32-bits", CU, "i64(z) * rows * columns", "int(z) * rows * columns", bodies.check_beyond_31_bits),
    Mutation("replicate-stride-of-32-bits", CU, "at += size", "at = int(at + size)", bodies.check_beyond_31_bits),
    Mutation("raw-read-beyond-the-row", CU, "x + j < 0 || x + j >= columns) continue", "x + j < 0) continue",
             bodies.check_places, level="ptx90"),
    Mutation("levels-above-the-top-not-told", CU, "atomicMax(above, u32(value))", "continue",
             bodies.check_levels_above_top_are_refused),
)  # fmt: skip
