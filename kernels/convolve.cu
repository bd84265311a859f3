// One pass of separable filters along one axis: Gaussians, and the derivatives that share their reads.
//
// in        (outer, n, inner) float32, DN; of n only the positions first.. need be in memory
// out, ...  (outer, stop - start, inner) float32: positions start..stop along the axis
// half      (radius + 1,) float4: weights of the pixels at distance k: Gaussian, first and second derivative, unused
// repeat    1: the edge pixel is repeated beyond the border, 0: it is not
// Launch: 32 x 8 threads; one block for 64 positions along the axis of 32 neighbouring lines (or rows); blocks of one
// line first, so that they share their halo in the cache.
// Source of the order of every sum, and Oracle: compdistort/backend/plain/convolve.py, equal to the bit.
#include "line_sums.cuh"

// What a block does of a volume seen as (outer, n, inner).
struct Strip {
  i64 outer, line;
  int at;  // first position along the axis
};

static __device__ __forceinline__ Strip strip_of_block(int start, int stop, i64 inner) {
  const u32 spans = u32(stop - start + SPAN - 1) / SPAN, strips = u32((inner + LANES - 1) / LANES);
  const u32 strip = blockIdx.x / spans;
  return {i64(strip / strips), i64(strip % strips) * LANES, start + int(blockIdx.x % spans) * SPAN};
}

static __device__ __forceinline__ StridedLines lines_of(const float* in, const Strip& s, int radius, int repeat, int n,
                                                        int first, int stop, i64 inner) {
  const i64 line = min(s.line + threadIdx.x, inner - 1);
  return {in + s.outer * n * inner + line, inner, n, first, repeat, stop - 1 + radius};
}

static __device__ __forceinline__ void store(float* out, const Strip& s, int start, int stop, i64 inner,
                                             const float (&value)[OUTS]) {
  const i64 line = s.line + threadIdx.x;
  const int at = s.at + threadIdx.y * OUTS;
  if (line >= inner) return;
#pragma unroll
  for (int o = 0; o < OUTS; o++)
    if (at + o < stop) out[(s.outer * (stop - start) + at + o - start) * inner + line] = value[o];
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
even_along(const float* __restrict__ in, float* out, const float4* __restrict__ half, int radius, int repeat, int n,
           int first, int start, int stop, i64 inner) {
  SHARED_TILE;
  Sums sums;
  const Strip s = strip_of_block(start, stop, inner);
  const StridedLines lines = lines_of(in, s, radius, repeat, n, first, stop, inner);
  line_sums<SMOOTH>(lines, half, radius, s.at, stop - s.at, tile, taps, sums);
  store(out, s, start, stop, inner, sums.g);
}

// Gaussian, first and second derivative along one axis from one read.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
three_along(const float* __restrict__ in, float* smooth, float* slope, float* curve, const float4* __restrict__ half,
            int radius, int repeat, int n, int first, int start, int stop, i64 inner) {
  SHARED_TILE;
  Sums sums;
  const Strip s = strip_of_block(start, stop, inner);
  const StridedLines lines = lines_of(in, s, radius, repeat, n, first, stop, inner);
  line_sums<SMOOTH | SLOPE | CURVE>(lines, half, radius, s.at, stop - s.at, tile, taps, sums);
  store(smooth, s, start, stop, inner, sums.g);
  store(slope, s, start, stop, inner, sums.d);
  store(curve, s, start, stop, inner, sums.c);
}

// The y pass of a volume: from Gaussian (smooth), first (slope) and second derivative (curve) along z, all of shape
// (planes, ny, nx): smooth_y = g(smooth), slope_y = d(smooth), bend = g(curve) + c(smooth), slope_z = g(slope).
extern "C" __global__ void __launch_bounds__(THREADS, 4)
volume_y(const float* __restrict__ smooth, const float* __restrict__ slope, const float* __restrict__ curve,
         float* smooth_y, float* slope_y, float* bend, float* slope_z, const float4* __restrict__ half, int radius,
         int repeat, int ny, i64 nx) {
  SHARED_TILE;
  Sums sums, more;
  const Strip s = strip_of_block(0, ny, nx);
  const int left = ny - s.at;
  line_sums<SMOOTH | SLOPE | CURVE>(lines_of(smooth, s, radius, repeat, ny, 0, ny, nx), half, radius, s.at, left, tile,
                                    taps, sums);
  store(smooth_y, s, 0, ny, nx, sums.g);
  store(slope_y, s, 0, ny, nx, sums.d);
  line_sums<SMOOTH>(lines_of(slope, s, radius, repeat, ny, 0, ny, nx), half, radius, s.at, left, tile, taps, more);
  store(slope_z, s, 0, ny, nx, more.g);
  line_sums<SMOOTH>(lines_of(curve, s, radius, repeat, ny, 0, ny, nx), half, radius, s.at, left, tile, taps, more);
#pragma unroll
  for (int o = 0; o < OUTS; o++) more.g[o] += sums.c[o];
  store(bend, s, 0, ny, nx, more.g);
}
