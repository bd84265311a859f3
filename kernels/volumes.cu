// Whole-number counts of every object of a label volume: voxels, sums of places, box, surface triangles.
//
// labels   (planes, rows, columns) int32: ids 1..n_objects in raster order of their first voxel, 0 = background
// first    (n_objects,) uint64: raster index of the first voxel (measure.first_pixels, rows of all planes as rows)
// counts   (23, n_objects) uint64, the columns of compdistort/backend/shape.py `VOLUME_COUNTS` as rows; voxels
// triangles (256, 10) uint8: compdistort/backend/surface.py `CONFIGURATION_TRIANGLES`
//
// Launch: 256 threads. begin_volumes: one an object. add_volume_runs: blocks along x over the columns, along y over the rows of
// all planes; add_cells: along x over the columns and one more, along y over the (planes + 1) (rows + 1) rows of cells;
// both in strides of the grid along y.
// Order cannot matter: sums, minima and maxima of whole numbers.
// Triangles: marching cubes at 0.5 as scikit-image draws them (see surface.py).
// Oracle: compdistort/backend/plain/measure.py and plain/surface.py, equal to the bit.
#include "common.cuh"
#include "warp.cuh"

enum Column { X_START, Y_START, Z_START, VOLUME, SX, SY, SZ, X_MIN, Y_MIN, Z_MIN, X_MAX, Y_MAX, Z_MAX, SURFACE };
enum { KINDS = 10, N_COLUMNS = SURFACE + KINDS };

extern "C" __global__ void __launch_bounds__(256)
begin_volumes(const u64* __restrict__ first, int n_objects, int rows, int columns, u64* counts) {
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n_objects) return;
  const i64 n = n_objects;
  u64* mine = counts + i;
  for (int c = 0; c < N_COLUMNS; c++) mine[c * n] = 0;
  const u64 x = first[i] % columns, line = first[i] / columns;
  mine[X_START * n] = mine[X_MIN * n] = x;
  mine[Y_START * n] = mine[Y_MIN * n] = line % rows;
  mine[Z_START * n] = mine[Z_MIN * n] = line / rows;  // no voxel lies before the first in raster order
}

// Runs within the 32 voxels of a warp: atomics a run instead of a voxel, sums in closed form.
extern "C" __global__ void __launch_bounds__(256)
add_volume_runs(const int* __restrict__ labels, int planes, int rows, int columns, int n_objects, u64* counts) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (warp_is_beyond(x, columns)) return;
  const i64 lines = i64(planes) * rows, n = n_objects;
  for (i64 line = blockIdx.y; line < lines; line += gridDim.y) {
    const int id = x < columns ? labels[line * columns + x] : 0;
    const int length = run_length(id);
    if (length == 0 || id == 0) continue;  // no warp operation follows within this round
    u64* mine = counts + (id - 1);
    const i64 z = line / rows, y = line % rows, end = i64(x) + length;
    atomicAdd(&mine[VOLUME * n], u64(length));
    atomicAdd(&mine[SX * n], u64((x + end - 1) * length / 2));
    atomicAdd(&mine[SY * n], u64(y * length));
    atomicAdd(&mine[SZ * n], u64(z * length));
    atomicMin(&mine[X_MIN * n], u64(x));
    atomicMin(&mine[Y_MIN * n], u64(y));
    atomicMax(&mine[X_MAX * n], u64(end - 1));
    atomicMax(&mine[Y_MAX * n], u64(y));
    atomicMax(&mine[Z_MAX * n], u64(z));
  }
}

// A cell a thread: voxel 4 dz + 2 dy + dx of cell (z, y, x) is (z - 1 + dz, y - 1 + dy, x - 1 + dx), beyond the volume
// background. Of each object in it the triangles of which of the eight are its own, ids descending.
extern "C" __global__ void __launch_bounds__(256)
add_cells(const int* __restrict__ labels, int planes, int rows, int columns, int n_objects,
          const u8* __restrict__ triangles, u64* counts) {
  const i64 x = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (x > columns) return;
  const i64 lines = (i64(planes) + 1) * (rows + 1), n = n_objects;
  for (i64 line = blockIdx.y; line < lines; line += gridDim.y) {
    const i64 z = line / (rows + 1), y = line % (rows + 1);
    int own[8];
    u32 largest = 0;
    bool alike = true;
#pragma unroll
    for (int v = 0; v < 8; v++) {
      const i64 vz = z - 1 + (v >> 2), vy = y - 1 + (v >> 1 & 1), vx = x - 1 + (v & 1);
      const bool inside = vz >= 0 && vz < planes && vy >= 0 && vy < rows && vx >= 0 && vx < columns;
      own[v] = inside ? labels[(vz * rows + vy) * columns + vx] : 0;
      largest = max(largest, u32(own[v]));
      alike = alike && own[v] == own[0];
    }
    while (!alike && largest > 0) {
      u32 next = 0;
      int configuration = 0;
#pragma unroll
      for (int v = 0; v < 8; v++) {
        const u32 id = u32(own[v]);
        configuration |= int(id == largest) << v;
        if (id < largest) next = max(next, id);
      }
      u64* mine = counts + (i64(SURFACE) * n + largest - 1);
      for (int kind = 0; kind < KINDS; kind++) {
        const u64 more = triangles[configuration * KINDS + kind];
        if (more > 0) atomicAdd(&mine[kind * n], more);
      }
      largest = next;
    }
  }
}
