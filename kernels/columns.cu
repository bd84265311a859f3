// The x pass of separable filters, and what is made of its sums: feature columns, straight into the stack.
//
// in, lines   (rows, nx) float32, DN: rows of all planes of a slab, one after another
// out, gs ..  (rows, nx) float32, DN (per px, per px^2)
// half        (radius + 1,) float4: weights of the pixels at distance k: Gaussian, first and second derivative, unused
// repeat      1: the edge pixel is repeated beyond the border, 0: it is not
// Launch: 32 x 8 threads; one block for 64 columns of 32 rows, blocks of the same rows first.
// Source of the order of every sum, and Oracle: compdistort/backend/plain/convolve.py, equal to the bit.
#include "line_sums.cuh"

// Where the block's outputs are: so many rows from pixel `first` of the image on, from column x on.
struct Place {
  i64 first;
  int rows, x;
};

static __device__ __forceinline__ Place place_of_block(i64 rows, int nx) {
  const u32 spans = u32(nx + SPAN - 1) / SPAN;
  const i64 row = i64(blockIdx.x / spans) * LANES;
  return {row * nx, int(min(rows - row, i64(LANES))), int(blockIdx.x % spans) * SPAN};
}

static __device__ __forceinline__ Rows rows_of(const float* image, const Place& at, int nx, int repeat) {
  return {image + at.first, at.rows, nx, repeat};
}

// Turns the threads' outputs back into rows through the tile, so that neighbouring lanes write neighbouring pixels.
template <class Tile>
static __device__ __forceinline__ void store_rows(float* out, const Place& at, int nx, Tile& tile,
                                                  const float (&value)[OUTS]) {
  __syncthreads();
#pragma unroll
  for (int o = 0; o < OUTS; o++) tile[(threadIdx.y * OUTS + o) * PITCH + threadIdx.x] = value[o];
  __syncthreads();
  out += at.first + at.x;
#pragma unroll 1
  for (int row = threadIdx.y; row < at.rows; row += WARPS)
    for (int i = threadIdx.x; i < min(SPAN, nx - at.x); i += LANES) out[i64(row) * nx + i] = tile[i * PITCH + row];
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
even_x(const float* __restrict__ in, float* out, const float4* __restrict__ half, int radius, int repeat, i64 rows,
       int nx) {
  SHARED_TILE;
  Sums s;
  const Place at = place_of_block(rows, nx);
  line_sums<SMOOTH>(rows_of(in, at, nx, repeat), half, radius, at.x, nx - at.x, tile, taps, s);
  store_rows(out, at, nx, tile, s.g);
}

// Features of one scale. smooth: Gaussian along the axes before x; slope_y, slope_z: the same with the first derivative
// along y or z (slope_z null in 2D); bend: the sum with the second derivatives; fine: the narrow Gaussian (its weights:
// narrow). A column that is null is not wanted, and then neither are the lines that it alone reads.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
columns_x(const float* __restrict__ smooth, const float* __restrict__ slope_y, const float* __restrict__ slope_z,
          const float* __restrict__ bend, const float* __restrict__ fine, float* gs, float* log, float* ggm, float* dog,
          const float4* __restrict__ half, int radius, const float4* __restrict__ narrow, int narrow_radius, int repeat,
          i64 rows, int nx) {
  SHARED_TILE;
  Sums s, t;
  const Place at = place_of_block(rows, nx);
  const int left = nx - at.x;
  if (ggm) {  // reads the smooth lines once more, so that no thread holds more than 64 registers
    if (slope_z) line_sums<SMOOTH>(rows_of(slope_z, at, nx, repeat), half, radius, at.x, left, tile, taps, s);
    line_sums<SMOOTH>(rows_of(slope_y, at, nx, repeat), half, radius, at.x, left, tile, taps, t);
#pragma unroll
    for (int o = 0; o < OUTS; o++) t.g[o] = slope_z ? __fmaf_rn(t.g[o], t.g[o], s.g[o] * s.g[o]) : t.g[o] * t.g[o];
    line_sums<SLOPE>(rows_of(smooth, at, nx, repeat), half, radius, at.x, left, tile, taps, s);
#pragma unroll
    for (int o = 0; o < OUTS; o++) t.g[o] = __fsqrt_rn(__fmaf_rn(s.d[o], s.d[o], t.g[o]));
    store_rows(ggm, at, nx, tile, t.g);
  }
  if (!gs && !dog && !log) return;
  line_sums<SMOOTH | CURVE>(rows_of(smooth, at, nx, repeat), half, radius, at.x, left, tile, taps, s);
  if (gs) store_rows(gs, at, nx, tile, s.g);
  if (dog) {
    line_sums<SMOOTH>(rows_of(fine, at, nx, repeat), narrow, narrow_radius, at.x, left, tile, taps, t);
#pragma unroll
    for (int o = 0; o < OUTS; o++) t.g[o] = s.g[o] - t.g[o];
    store_rows(dog, at, nx, tile, t.g);
  }
  if (!log) return;
  line_sums<SMOOTH>(rows_of(bend, at, nx, repeat), half, radius, at.x, left, tile, taps, t);
#pragma unroll
  for (int o = 0; o < OUTS; o++) t.g[o] += s.c[o];
  store_rows(log, at, nx, tile, t.g);
}
