"""Planted bugs of `kernels/volumes.cu` (see `cudahost.mutation`)."""

from cudahost import bodies_volumes as bodies
from cudahost.mutation import Mutation

MUTATIONS = (
    Mutation(
        name="triangles-overwritten-not-added",
        file="volumes.cu",
        old="if (more > 0) atomicAdd(&mine[kind * n], more);",
        new="if (more > 0) mine[kind * n] = more;",
        body=bodies.check_configurations,
    ),
    Mutation(
        name="cells-behind-the-last-column-lost",
        file="volumes.cu",
        old="if (x > columns) return;",
        new="if (x >= columns) return;",
        body=bodies.check_filled,
    ),
    Mutation(
        name="last-row-not-guarded",
        file="volumes.cu",
        old="vy < rows &&",
        new="vy <= rows &&",
        body=bodies.check_filled,
    ),
    Mutation(
        name="first-plane-not-guarded",
        file="volumes.cu",
        old="vz >= 0 && vz < planes",
        new="vz < planes",
        body=bodies.check_filled,
        level="checked",
    ),
    Mutation(
        name="voxel-index-of-32-bits",
        file="volumes.cu",
        old="labels[(vz * rows + vy) * columns + vx]",
        new="labels[u32((vz * rows + vy) * columns + vx)]",
        body=bodies.check_far_voxels,
    ),
    Mutation(
        name="one-object-a-cell",
        file="volumes.cu",
        old="largest = next;",
        new="largest = 0;",
        body=bodies.check_noise,
    ),
    Mutation(
        name="rows-and-columns-of-a-cell-exchanged",
        file="volumes.cu",
        old="vy = y - 1 + (v >> 1 & 1), vx = x - 1 + (v & 1);",
        new="vy = y - 1 + (v & 1), vx = x - 1 + (v >> 1 & 1);",
        body=bodies.check_configurations,
    ),
    Mutation(
        name="background-of-the-others-left-out",
        file="volumes.cu",
        old="configuration |= int(id == largest) << v;",
        new="configuration |= int(id > 0) << v;",
        body=bodies.check_noise,
    ),
    Mutation(
        name="rows-of-cells-beyond-the-grid-lost",
        file="volumes.cu",
        old="line += gridDim.y) {\n    const i64 z = line / (rows + 1)",
        new="line += lines) {\n    const i64 z = line / (rows + 1)",
        body=bodies.check_rows_beyond_the_grid,
    ),
    Mutation(
        name="rows-of-voxels-beyond-the-grid-lost",
        file="volumes.cu",
        old="line += gridDim.y) {\n    const int id",
        new="line += lines) {\n    const int id",
        body=bodies.check_rows_beyond_the_grid,
    ),
    Mutation(
        name="first-row-counted-over-all-planes",
        file="volumes.cu",
        old="mine[Y_START * n] = mine[Y_MIN * n] = line % rows;",
        new="mine[Y_START * n] = mine[Y_MIN * n] = line;",
        body=bodies.check_later_planes,
    ),
    Mutation(
        name="top-row-without-minimum",
        file="volumes.cu",
        old="atomicMin(&mine[Y_MIN * n], u64(y));",
        new="mine[Y_MIN * n] = u64(y);",
        body=bodies.check_later_planes,
    ),
    Mutation(
        name="sum-of-columns-one-too-far",
        file="volumes.cu",
        old="(x + end - 1) * length / 2",
        new="(x + end) * length / 2",
        body=bodies.check_noise,
    ),
    Mutation(
        name="sum-of-rows-overwritten",
        file="volumes.cu",
        old="atomicAdd(&mine[SY * n], u64(y * length));",
        new="mine[SY * n] = u64(y * length);",
        body=bodies.check_noise,
    ),
    Mutation(
        name="last-plane-is-the-first",
        file="volumes.cu",
        old="atomicMax(&mine[Z_MAX * n], u64(z));",
        new="atomicMin(&mine[Z_MAX * n], u64(z));",
        body=bodies.check_later_planes,
    ),
)
