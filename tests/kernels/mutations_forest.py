"""Planted bugs of the forest kernels."""

from functools import partial

from cudahost import bodies_forest as bodies
from cudahost.mutation import Mutation

_plant = partial(Mutation, file="forest.cu")

MUTATIONS: tuple[Mutation, ...] = (
    _plant(
        name="right-at-the-threshold",
        old="value <= __uint_as_float(node.x)",
        new="value < __uint_as_float(node.x)",
        body=bodies.check_forest_thresholds,
    ),
    _plant(
        name="thresholds-compared-as-integers",
        old="value <= __uint_as_float(node.x)",
        new="__float_as_uint(value) <= node.x",
        body=bodies.check_forest_thresholds,
    ),
    _plant(
        name="odd-last-tree-votes-twice",
        old="if (k + 1 < n_trees) votes += leaf.y;",
        new="votes += leaf.y;",
        body=bodies.check_forest_kinds,
    ),
    _plant(
        name="trees-of-a-pair-added-in-the-other-order",
        old="forest_add(value + i64(leaf.x) * n_classes + first, classes, s0, s1, s2, s3);\n"
        "    if (k + 1 < n_trees) forest_add(value + i64(leaf.y) * n_classes + first, classes, s0, s1, s2, s3);",
        new="if (k + 1 < n_trees) forest_add(value + i64(leaf.y) * n_classes + first, classes, s0, s1, s2, s3);\n"
        "    forest_add(value + i64(leaf.x) * n_classes + first, classes, s0, s1, s2, s3);",
        body=bodies.check_forest_kinds,
    ),
    _plant(
        name="times-the-reciprocal-for-the-division",
        old="__ddiv_rn(total, double(n_trees))",
        new="total * __ddiv_rn(1.0, double(n_trees))",
        body=bodies.check_forest_kinds,
    ),
    _plant(
        name="tie-above-the-threshold",
        old="strict ? p > threshold : p >= threshold",
        new="p > threshold",
        body=bodies.check_forest_ties,
    ),
    _plant(
        name="fourth-class-not-added",
        old="if (classes > 3) s3 += __ldg(v + 3);",
        new="",
        body=bodies.check_forest_kinds,
    ),
    _plant(
        name="third-class-written-over-the-second",
        old="forest_put(s2, n_trees, 2 * n + i,",
        new="forest_put(s2, n_trees, n + i,",
        body=bodies.check_forest_kinds,
    ),
    _plant(
        name="row-of-the-slot-forgotten",
        old="(rows ? rows[s] : s) * stride",
        new="s * stride",
        body=bodies.check_forest_many_features,
    ),
    _plant(
        name="features-indexed-in-32-bits",
        old="(rows ? rows[s] : s) * stride + i]",
        new="u32((rows ? rows[s] : s) * stride + i)]",
        body=bodies.check_forest_beyond_32_bits,
    ),
    _plant(
        name="last-feature-not-loaded",
        old="for (int s = 0; s < n_used; s++)",
        new="for (int s = 0; s < n_used - 1; s++)",
        body=bodies.check_forest_kinds,
        level="checked",
    ),
    _plant(
        name="column-stride-of-the-largest-block",
        old="x[s * blockDim.x + threadIdx.x] =",
        new="x[s * FOREST_THREADS + threadIdx.x] =",
        body=bodies.check_forest_many_features,
        level="checked",
    ),
    _plant(
        name="one-voxel-too-many",
        old="if (i >= n) return;\n  forest_load(features, rows, n_used, stride, i, x);\n  double",
        new="if (i > n) return;\n  forest_load(features, rows, n_used, stride, i, x);\n  double",
        body=bodies.check_forest_neighbours,
    ),
    _plant(
        name="nan-counted-once-a-block",
        old="p < n; p += step",
        new="p < n; p += blockDim.x",
        body=bodies.check_forest_nan,
    ),
    _plant(
        name="infinity-taken-for-nan",
        old="bad += value != value;",
        new="bad += value - value != 0;",
        body=bodies.check_forest_nan,
    ),
)
