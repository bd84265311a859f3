// Whole-number counts of every object of a 2D label image: areas, moment sums, boxes, outline, hull, Feret diameter.
//
// labels   (rows, columns) int32: ids 1..n_objects in raster order of their first pixel, 0 = background;
//          at most 65536 pixels a side; id_range and first_pixels also take a volume, the rows of all its planes as rows
// extremes (2,) int32, to begin as 0: smallest and largest id, 0 at the most and at the least
// first    (n_objects,) uint64, to begin as all ones: raster index of the first pixel
// bad      (1,) int32, to begin as 0: 1 if an id has no pixel or the ids are not in raster order
// counts   (21, n_objects) uint64, the columns of compdistort/backend/shape.py `COUNTS` as rows; pixels
// Of the objects i0 <= i < i0 + n, whose boxes have heights h(i); offset (n + 1,) uint64 = running sum of h(i) + 1:
// left, right  (offset[n],) int32: leftmost and rightmost crack of the outline in every row, from offset[i - i0] on
// span     (n,) int32: rows that the outline spans (h(i) where the object is in one piece)
// chain    (2 offset[n],) int2, pixel corners (x, y): left side of the hull downwards from 2 offset, right side upwards
//          from 2 offset + h + 1
// length   (2 n,) int32: vertices of both sides
//
// Launch: id_range, first_pixels, add_runs 256 threads, blocks along x over the columns, along y over the rows in
// strides of the grid. check_order, begin_counts 256 threads, one an object. outline 32, one an object; hull_sides 32,
// two an object; hull_extent 128, a warp an object; these three in grids that cover all.
// Order cannot matter: sums, minima and flags of whole numbers; cross / sqrt(length^2) is IEEE double, ties go to the
// earlier edge by its number.
// Oracle: compdistort/backend/plain/measure.py, equal to the bit.
#include "common.cuh"
#include "warp.cuh"

enum Column { X_START, Y_START, AREA, SX, SY, SXX, SYY, SXY, X_MIN, Y_MIN, X_MAX, Y_MAX, STEPS, CORNERS, HULL_AREA2,
              FERET_X1, FERET_Y1, FERET_X2, FERET_Y2, WIDTH_CROSS, WIDTH_LEN2, N_COLUMNS };
enum Heading { EAST, SOUTH, WEST, NORTH };  // a right turn is + 1

extern "C" __global__ void __launch_bounds__(256)
id_range(const int* __restrict__ labels, int rows, int columns, int* extremes) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (warp_is_beyond(x, columns)) return;
  int low = 0, high = 0;
  for (int y = int(blockIdx.y); x < columns && y < rows; y += int(gridDim.y)) {
    const int id = labels[i64(y) * columns + x];
    low = min(low, id);
    high = max(high, id);
  }
  low = warp_min(low);
  high = warp_max(high);
  if (warp_lane() != 0) return;
  atomicMin(&extremes[0], low);
  atomicMax(&extremes[1], high);
}

extern "C" __global__ void __launch_bounds__(256)
first_pixels(const int* __restrict__ labels, int rows, int columns, u64* first) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (warp_is_beyond(x, columns)) return;
  for (int y = int(blockIdx.y); y < rows; y += int(gridDim.y)) {
    const i64 p = i64(y) * columns + x;
    const int id = x < columns ? labels[p] : 0;
    if (run_length(id) > 0 && id > 0) atomicMin(&first[id - 1], u64(p));
  }
}

extern "C" __global__ void __launch_bounds__(256)
check_order(const u64* __restrict__ first, int n_objects, int* bad) {
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n_objects) return;
  const bool absent = first[i] == ~u64(0);
  if (absent || (i > 0 && first[i] <= first[i - 1])) bad[0] = 1;
}

extern "C" __global__ void __launch_bounds__(256)
begin_counts(const u64* __restrict__ first, int n_objects, int columns, u64* counts) {
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n_objects) return;
  for (int c = 0; c < N_COLUMNS; c++) counts[i64(c) * n_objects + i] = 0;
  const u64 x = first[i] % columns, y = first[i] / columns;
  counts[i64(X_START) * n_objects + i] = x;
  counts[i64(Y_START) * n_objects + i] = y;
  counts[i64(X_MIN) * n_objects + i] = x;
  counts[i64(Y_MIN) * n_objects + i] = y;  // no pixel lies above the first in raster order
}

// Sum of k^2 for 0 <= k < n.
static __device__ __forceinline__ i64 squares_below(i64 n) { return (n - 1) * n * (2 * n - 1) / 6; }

// Runs within the 32 pixels of a warp: atomics a run instead of a pixel, sums in closed form.
extern "C" __global__ void __launch_bounds__(256)
add_runs(const int* __restrict__ labels, int rows, int columns, int n_objects, u64* counts) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (warp_is_beyond(x, columns)) return;
  for (int y = int(blockIdx.y); y < rows; y += int(gridDim.y)) {
    const int id = x < columns ? labels[i64(y) * columns + x] : 0;
    const int length = run_length(id);
    if (length == 0 || id == 0) continue;  // no warp operation follows within this round
    u64* mine = counts + (id - 1);
    const i64 n = n_objects, end = i64(x) + length, sum_x = (x + end - 1) * length / 2;
    atomicAdd(&mine[AREA * n], u64(length));
    atomicAdd(&mine[SX * n], u64(sum_x));
    atomicAdd(&mine[SY * n], u64(i64(y) * length));
    atomicAdd(&mine[SXX * n], u64(squares_below(end) - squares_below(x)));
    atomicAdd(&mine[SYY * n], u64(i64(y) * y * length));
    atomicAdd(&mine[SXY * n], u64(y * sum_x));
    atomicMin(&mine[X_MIN * n], u64(x));
    atomicMax(&mine[X_MAX * n], u64(end - 1));
    atomicMax(&mine[Y_MAX * n], u64(y));
  }
}

// Whether the pixel ahead on the right-hand side of one who leaves vertex (x, y) in a direction belongs to the object.
static __device__ __forceinline__ bool ahead(const int* labels, int rows, int columns, int id, int x, int y,
                                             int heading) {
  const int px = x - (heading == SOUTH || heading == WEST);
  const int py = y - (heading == WEST || heading == NORTH);
  return px >= 0 && py >= 0 && px < columns && py < rows && labels[i64(py) * columns + px] == id;
}

// Walks the outer outline along the cracks, object on the right, from the right end of the first run downwards.
// Every crack between two pixels is passed at most once in a direction, so that four steps a pixel bound the walk.
extern "C" __global__ void __launch_bounds__(32)
outline(const int* __restrict__ labels, int rows, int columns, int n_objects, int i0, int n,
        const u64* __restrict__ offset, int* left, int* right, int* span, u64* counts) {
  const int k = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (k >= n) return;
  u64* mine = counts + (i64(i0) + k);
  const i64 stride = n_objects;
  const int id = i0 + k + 1, top = int(mine[Y_START * stride]), height = int(mine[Y_MAX * stride]) - top + 1;
  int* my_left = left + offset[k];
  int* my_right = right + offset[k];
  for (int row = 0; row < height; row++) {
    my_left[row] = columns;
    my_right[row] = -1;
  }

  int x = int(mine[X_START * stride]), y = top + 1;
  while (x < columns && labels[i64(top) * columns + x] == id) x++;
  const int x_first = x, y_first = y;
  int heading = SOUTH, edge = 0, bottom = 0;
  bool counted = false;
  i64 steps = 0, corners = 0;
  const i64 most = 4 * i64(mine[AREA * stride]);
  while (steps < most) {
    // Both pixels are asked for at once: the walk waits for memory once a step.
    const bool to_left = ahead(labels, rows, columns, id, x, y, (heading + 3) & 3);
    const bool straight = ahead(labels, rows, columns, id, x, y, heading);
    const int next = to_left ? (heading + 3) & 3 : straight ? heading : (heading + 1) & 3;
    if (next != heading) {
      // ImageJ: after an edge of one pixel only every second corner counts.
      counted = corners == 0 || edge > 1 || !counted;
      corners += counted;
      edge = 0;
      heading = next;
    }
    if (heading == EAST) {
      x++;
    } else if (heading == SOUTH) {
      my_right[y - top] = max(my_right[y - top], x);
      y++;
      bottom = max(bottom, y);
    } else if (heading == WEST) {
      x--;
    } else {
      y--;
      my_left[y - top] = min(my_left[y - top], x);
    }
    steps++;
    edge++;
    if (heading == SOUTH && x == x_first && y == y_first) break;
  }
  mine[STEPS * stride] = u64(steps);
  mine[CORNERS * stride] = u64(corners);
  span[k] = bottom - top;
}

// Cross product of a - origin and b - origin; below 0 where b lies to the left on screen (y down).
static __device__ __forceinline__ i64 cross(int2 origin, int2 a, int2 b) {
  return i64(a.x - origin.x) * (b.y - origin.y) - i64(a.y - origin.y) * (b.x - origin.x);
}

// One side of the hull as a monotone chain: the left one downwards (side 0) or the right one upwards (side 1). Where
// two rows meet, the vertex is the outer of their cracks.
extern "C" __global__ void __launch_bounds__(32)
hull_sides(const int* __restrict__ left, const int* __restrict__ right, const int* __restrict__ span,
           const u64* __restrict__ offset, const u64* __restrict__ counts, int n_objects, int i0, int n, int2* chain,
           int* length) {
  const i64 t = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  const int k = int(t >> 1), side = int(t & 1);
  if (k >= n) return;
  const int* crack = (side ? right : left) + offset[k];
  const int height = span[k], top = int(counts[i64(Y_START) * n_objects + i0 + k]);
  int2* mine = chain + (side ? offset[k] + offset[k + 1] : 2 * offset[k]);
  int m = 0;
  for (int step = 0; step <= height; step++) {
    const int row = side ? height - step : step;
    const int above = crack[max(row - 1, 0)], below = crack[min(row, height - 1)];
    const int2 vertex = make_int2(side ? max(above, below) : min(above, below), top + row);
    while (m > 1 && cross(mine[m - 2], mine[m - 1], vertex) >= 0) m--;
    mine[m++] = vertex;
  }
  length[t] = m;
}

static __device__ __forceinline__ int2 hull_vertex(const int2* down, const int2* up, int n_down, int v) {
  return v < n_down ? down[v] : up[v - n_down];
}

// A warp an object, every lane the vertices a = lane, lane + 32, ... with the edge that leaves each: twice the area;
// the first pair in hull order among the farthest apart; the first edge among those whose farthest vertex is nearest.
extern "C" __global__ void __launch_bounds__(128)
hull_extent(const int2* __restrict__ chain, const int* __restrict__ length, const u64* __restrict__ offset,
            int n_objects, int i0, int n, u64* counts) {
  const i64 k = (i64(blockIdx.x) * blockDim.x + threadIdx.x) >> 5;
  if (k >= n) return;  // whole warps leave
  u64* mine = counts + (i0 + k);
  const i64 stride = n_objects;
  const int2* down = chain + 2 * offset[k];
  const int2* up = chain + (offset[k] + offset[k + 1]);
  const int n_down = length[2 * k], vertices = n_down + length[2 * k + 1];

  i64 area2 = 0, farthest = -1, width_cross = 0, width_len2 = 1;
  double narrowest = 1e300;  // wider than any hull
  u64 pair = ~u64(0);
  int narrow_edge = vertices;
  for (int a = warp_lane(); a < vertices; a += 32) {
    const int2 from = hull_vertex(down, up, n_down, a);
    const int2 to = hull_vertex(down, up, n_down, a + 1 < vertices ? a + 1 : 0);
    area2 += i64(from.x) * to.y - i64(to.x) * from.y;
    i64 reach = 0;
    for (int b = 0; b < vertices; b++) {
      const int2 other = hull_vertex(down, up, n_down, b);
      const i64 dx = other.x - from.x, dy = other.y - from.y, squared = dx * dx + dy * dy;
      if (b > a && squared > farthest) {
        farthest = squared;
        pair = u64(a) << 32 | u64(b);
      }
      const i64 beside = cross(from, to, other);
      reach = max(reach, beside < 0 ? -beside : beside);
    }
    const i64 ex = to.x - from.x, ey = to.y - from.y, len2 = ex * ex + ey * ey;
    const double width = __ddiv_rn(double(reach), __dsqrt_rn(double(len2)));
    if (width < narrowest) {
      narrowest = width;
      narrow_edge = a;
      width_cross = reach;
      width_len2 = len2;
    }
  }

  area2 = warp_sum(area2);
  const u64 best_pair = warp_min(farthest == warp_max(farthest) ? pair : ~u64(0));
  const int best_edge = warp_min(narrowest == warp_min(narrowest) ? narrow_edge : vertices);
  if (best_edge == narrow_edge) {
    mine[WIDTH_CROSS * stride] = u64(width_cross);
    mine[WIDTH_LEN2 * stride] = u64(width_len2);
  }
  if (warp_lane() != 0) return;
  const int2 p = hull_vertex(down, up, n_down, int(best_pair >> 32));
  const int2 q = hull_vertex(down, up, n_down, int(best_pair & 0xffffffffu));
  mine[HULL_AREA2 * stride] = u64(area2 < 0 ? -area2 : area2);
  mine[FERET_X1 * stride] = u64(p.x);
  mine[FERET_Y1 * stride] = u64(p.y);
  mine[FERET_X2 * stride] = u64(q.x);
  mine[FERET_Y2 * stride] = u64(q.y);
}
