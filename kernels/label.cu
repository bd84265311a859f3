// From probability to label image, around the components that CuPy finds: decision, holes, size and border rules.
//
// decide            probability (n,) float64, threshold -> mask (n,) bool: P >= threshold, P > threshold if strict
// decide_single     the same for a smoothed probability, float32 against a float32 threshold
// to_single         (n,) float64 -> (n,) float32, to nearest
// outside           mask (planes, rows, columns) bool -> its complement with one pixel of background around it; a 2D
//                   image is one plane and gets none before and behind (pad_planes = 0, else 1)
// fill_holes        found, shape of `outside`: ids of its components -> mask (planes, rows, columns) bool of all that
//                   is not connected with the first, the outside of the image
// fill              value -> out (n,) uint64
// survey            found (planes, rows, columns): ids 1..n -> by object, at id - 1: size (n,) uint64, pixels; first
//                   (n,) uint64, raster index, to begin as all ones; border (n,) uint64, 1 where it touches the image
//                   border, the first and last plane counted if planes_are_border. Size and border begin as 0
// renumber          found (n,), new_ids (largest id + 1,) int32 -> labels (n,) int32
// ..._wide          found as int64, which CuPy gives from 2^31 - 2 voxels on
//
// Launch: 256 threads. One value an item (decide, to_single, fill, renumber): any grid. Images: blocks along x cover
// the columns (padded columns for `outside`), those along y the rows of all planes, in strides of the grid.
// Order cannot matter: every sum, minimum and flag is of whole numbers.
// Oracle: compdistort/backend/plain/label.py, equal to the bit.
#include "common.cuh"
#include "warp.cuh"

static __device__ __forceinline__ i64 item() { return i64(blockIdx.x) * blockDim.x + threadIdx.x; }
static __device__ __forceinline__ i64 items_a_grid() { return i64(gridDim.x) * blockDim.x; }

template <class T>
static __device__ __forceinline__ void decide_all(const T* probability, T threshold, bool strict, bool* mask, i64 n) {
  for (i64 p = item(); p < n; p += items_a_grid()) {
    mask[p] = strict ? probability[p] > threshold : probability[p] >= threshold;
  }
}

template <class T>
static __device__ __forceinline__ void fill_all_holes(const T* found, int planes, int rows, int columns,
                                                      int pad_planes, bool* mask) {
  const int x = int(item());
  if (x >= columns) return;
  const T outside_id = found[0];
  const i64 lines = i64(planes) * rows;
  for (i64 line = blockIdx.y; line < lines; line += gridDim.y) {
    const i64 z = line / rows, y = line % rows;
    const i64 padded_line = (z + pad_planes) * (rows + 2) + y + 1;
    mask[line * columns + x] = found[padded_line * (columns + 2) + x + 1] != outside_id;
  }
}

// Runs within the 32 pixels of a warp: one atomic a run instead of one a pixel.
template <class T>
static __device__ __forceinline__ void survey_all(const T* found, int planes, int rows, int columns,
                                                  bool planes_are_border, u64* size, u64* first, u64* border) {
  const int x = int(item());
  if (warp_is_beyond(x, columns)) return;
  const i64 lines = i64(planes) * rows;
  for (i64 line = blockIdx.y; line < lines; line += gridDim.y) {
    const i64 p = line * columns + x;
    const T id = x < columns ? found[p] : 0;
    const int length = run_length(id);
    if (id == 0 || length == 0) continue;  // no warp operation follows within this round
    const i64 i = i64(id) - 1, z = line / rows, y = line % rows;
    atomicAdd(&size[i], u64(length));
    atomicMin(&first[i], u64(p));
    const bool at_end_plane = planes_are_border && (z == 0 || z == planes - 1);
    if (at_end_plane || y == 0 || y == rows - 1 || x == 0 || x + length == columns) border[i] = 1;
  }
}

template <class T>
static __device__ __forceinline__ void renumber_all(const T* found, const int* new_ids, int* labels, i64 n) {
  for (i64 p = item(); p < n; p += items_a_grid()) labels[p] = new_ids[found[p]];
}

extern "C" __global__ void __launch_bounds__(256)
decide(const double* __restrict__ probability, double threshold, bool strict, bool* mask, i64 n) {
  decide_all(probability, threshold, strict, mask, n);
}

extern "C" __global__ void __launch_bounds__(256)
decide_single(const float* __restrict__ probability, float threshold, bool strict, bool* mask, i64 n) {
  decide_all(probability, threshold, strict, mask, n);
}

extern "C" __global__ void __launch_bounds__(256)
to_single(const double* __restrict__ probability, float* out, i64 n) {
  for (i64 p = item(); p < n; p += items_a_grid()) out[p] = float(probability[p]);
}

extern "C" __global__ void __launch_bounds__(256)
outside(const bool* __restrict__ mask, int planes, int rows, int columns, int pad_planes, bool* out) {
  const int padded_x = int(item());
  if (padded_x >= columns + 2) return;
  const int x = padded_x - 1;
  const i64 lines = i64(planes + 2 * pad_planes) * (rows + 2);
  for (i64 line = blockIdx.y; line < lines; line += gridDim.y) {
    const i64 z = line / (rows + 2) - pad_planes, y = line % (rows + 2) - 1;
    const bool inside = z >= 0 && z < planes && y >= 0 && y < rows && x >= 0 && x < columns;
    out[line * (columns + 2) + padded_x] = !(inside && mask[(z * rows + y) * columns + x]);
  }
}

extern "C" __global__ void __launch_bounds__(256)
fill_holes(const int* __restrict__ found, int planes, int rows, int columns, int pad_planes, bool* mask) {
  fill_all_holes(found, planes, rows, columns, pad_planes, mask);
}

extern "C" __global__ void __launch_bounds__(256)
fill_holes_wide(const i64* __restrict__ found, int planes, int rows, int columns, int pad_planes, bool* mask) {
  fill_all_holes(found, planes, rows, columns, pad_planes, mask);
}

extern "C" __global__ void __launch_bounds__(256)
fill(u64 value, u64* out, i64 n) {
  for (i64 p = item(); p < n; p += items_a_grid()) out[p] = value;
}

extern "C" __global__ void __launch_bounds__(256)
survey(const int* __restrict__ found, int planes, int rows, int columns, bool planes_are_border, u64* size, u64* first,
       u64* border) {
  survey_all(found, planes, rows, columns, planes_are_border, size, first, border);
}

extern "C" __global__ void __launch_bounds__(256)
survey_wide(const i64* __restrict__ found, int planes, int rows, int columns, bool planes_are_border, u64* size,
            u64* first, u64* border) {
  survey_all(found, planes, rows, columns, planes_are_border, size, first, border);
}

extern "C" __global__ void __launch_bounds__(256)
renumber(const int* __restrict__ found, const int* __restrict__ new_ids, int* labels, i64 n) {
  renumber_all(found, new_ids, labels, n);
}

extern "C" __global__ void __launch_bounds__(256)
renumber_wide(const i64* __restrict__ found, const int* __restrict__ new_ids, int* labels, i64 n) {
  renumber_all(found, new_ids, labels, n);
}
