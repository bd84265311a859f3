// Back-projection of filtered projections: every pixel adds, angle by angle, what lies at its place on the detector.
//
// samples              (planes, angles, n) float32, filtered projections or their B-spline coefficients
// starts, columns,
// rows                 (angles,) int64: place of pixel (0, 0), step of a column and of a row, in 2^-32 samples
// left, right          (size,) int32: columns of a row that are computed, end excluded; the others are 0
// first, last          smallest and largest place that is read, in 2^-32 samples; other places add 0
// taps                 1 nearest sample (of two the lower), 2 straight line, 4 cubic B-spline
// out                  (planes, size, size) float32
// Launch: any grid of blocks of 32 x 8 threads (strides over columns, rows and groups of four planes).
// Source: Kak and Slaney (1988), Principles of Computerized Tomographic Imaging, chapter 3.
// Oracle: compdistort/backend/plain/backproject.py, equal to the bit.
#include "common.cuh"

#define PLANES 4

// Weights of the samples at a place of 2^-32, of which 24 bits are used: a float holds them exactly.
static __device__ __forceinline__ void weigh(i64 place, int taps, float* w) {
  const float f = float(int((place >> 8) & 0xffffff)) * (1.0f / 16777216.0f);
  const float g = 1.0f - f;
  if (taps == 1) {
    w[0] = 1.0f;
  } else if (taps == 2) {
    w[0] = g;
    w[1] = f;
  } else {
    const float sixth = 0.16666667f, two_thirds = 0.6666667f;
    w[0] = (g * g) * (g * sixth);
    w[1] = __fmaf_rn(f * f, 0.5f * f - 1.0f, two_thirds);
    w[2] = __fmaf_rn(g * g, 0.5f * g - 1.0f, two_thirds);
    w[3] = (f * f) * (f * sixth);
  }
}

// One pixel of some planes, at most four, which read the same samples with the same weights.
static __device__ __forceinline__ void pixel(const float* __restrict__ samples, const i64* __restrict__ starts,
                                             const i64* __restrict__ columns, const i64* __restrict__ rows, int planes,
                                             int angles, int n, int x, int y, i64 first, i64 last, int taps,
                                             float* total) {
  const i64 bias = taps == 1 ? 0x7fffffffLL : 0, plane = i64(angles) * n;
#pragma unroll 1  // the planes are enough for a thread to have at once; more would not fit the registers
  for (int k = 0; k < angles; k++) {
    const i64 place = starts[k] + x * columns[k] + y * rows[k];
    const bool inside = first <= place && place <= last;
    float w[4];
    weigh(place, taps, w);
    i64 at = i64(k) * n + ((place + bias) >> 32);
#pragma unroll
    for (int p = 0; p < PLANES; p++, at += plane) {
      const bool there = inside && p < planes;
#pragma unroll
      for (int tap = 0; tap < taps; tap++) {
        const float sample = there ? samples[at + tap] : 0.0f;
        total[p] = __fmaf_rn(w[tap], sample, total[p]);
      }
    }
  }
}

static __device__ __forceinline__ void project(const float* __restrict__ samples, const i64* __restrict__ starts,
                                               const i64* __restrict__ columns, const i64* __restrict__ rows,
                                               const int* __restrict__ left, const int* __restrict__ right, int planes,
                                               int angles, int n, int size, i64 first, i64 last, float scale,
                                               float* out, int taps) {
  for (int z = blockIdx.z * PLANES; z < planes; z += gridDim.z * PLANES) {
    for (int y = blockIdx.y * blockDim.y + threadIdx.y; y < size; y += gridDim.y * blockDim.y) {
      for (int x = blockIdx.x * blockDim.x + threadIdx.x; x < size; x += gridDim.x * blockDim.x) {
        float total[PLANES] = {0.0f, 0.0f, 0.0f, 0.0f};
        const bool computed = left[y] <= x && x < right[y];
        if (computed) {
          pixel(samples + i64(z) * angles * n, starts, columns, rows, planes - z, angles, n, x, y, first, last, taps,
                total);
        }
#pragma unroll
        for (int p = 0; p < PLANES; p++) {
          if (z + p < planes) {
            out[(i64(z + p) * size + y) * size + x] = computed ? total[p] * scale : 0.0f;
          }
        }
      }
    }
  }
}

extern "C" __global__ void __launch_bounds__(256)
images(const float* __restrict__ samples, const i64* __restrict__ starts, const i64* __restrict__ columns,
       const i64* __restrict__ rows, const int* __restrict__ left, const int* __restrict__ right, int planes, int angles,
       int n, int size, i64 first, i64 last, int taps, float scale, float* out) {
  if (taps == 2) {
    project(samples, starts, columns, rows, left, right, planes, angles, n, size, first, last, scale, out, 2);
  } else if (taps == 1) {
    project(samples, starts, columns, rows, left, right, planes, angles, n, size, first, last, scale, out, 1);
  } else {
    project(samples, starts, columns, rows, left, right, planes, angles, n, size, first, last, scale, out, 4);
  }
}
