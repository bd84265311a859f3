// The Weka 2D planes: ImageJ's accurate Gaussian blur; Sobel, eight Hessian planes and differences of Gaussians of it.
//
// Blur of a line of n pixels, r taps g and tail sums T (float32), no fused multiply-add:
//   x_i g_0,  + T_i x_0 (i < r),  + T_{n-1-i} x_{n-1} (i + r > n),  then k = 1 .. r-1: + g_k (x_{i-k} + x_{i+k})
// with pixels outside counting 0. 3 x 3 kernels: nearest border, raster order in float64, cast to float32.
//
// blur_x      in  (n_rows, columns) float32, DN, rows of the image    -> out, the same shape, DN
// blur_y      in  (in_rows, columns) float32, DN: rows in_first .. of an image of `rows` rows, blurred along x
//             -> out (n_rows, columns) float32, DN: rows `first` .. of it; what these reach inside the image is in `in`
// blur_direct any radius, for one line axis as blur_x (step 1) or as blur_y (step `columns`)
// planes      in  (in_rows, columns) float32, DN: the blur (or the image) around the slab, whose first row is `skip`;
//             2 rows more on either side unless the image ends there
//             -> out (n_features, pitch / columns, columns) float32: n_rows rows from row `place` of each plane:
//             `plane` = the centre, DN; + 1 Sobel, DN; + 2 .. + 9 Hessian, its trace, determinant, two eigenvalues,
//             orientation (radians), squared and normalised eigenvalue difference; then n_finer differences of the
//             finer blurs (planes finest, finest + 10, + 11 more, ...) and this one
// original    in (n_rows, columns) float32, DN -> plane 0 of out, rows from `place`
// Launch: one block a tile, tiles counted along x first: blur_x 256 threads (256 x 1 pixels), blur_y (32, 8)
//         (32 x 64), planes (32, 8) (32 x 8); blur_direct and original: 256 threads, a pixel each.
// Source: ImageJ 1.53t, GaussianBlur; Trainable Weka Segmentation, FeatureStack.
// Oracle: compdistort/backend/plain/weka.py, and so ImageJ, equal to the bit (tolerance 0).
#include "common.cuh"
#include "arc_cosine.cuh"

#define MAX_RADIUS 64
#define XT 256
#define YT 64
#define W 32
#define H 8
#define TW (W + 4)
#define GW (W + 2)

// The centre tap and the repeated end pixels of pixel i; `first`, `last`: where the ends of its line lie in `in`.
static __device__ __forceinline__ float centre_and_ends(const float* __restrict__ in, i64 first, i64 last, float x,
                                                        int i, int n, const float* __restrict__ g,
                                                        const float* __restrict__ tail, int radius) {
  float total = x * g[0];
  if (i < radius) total += tail[i] * in[first];
  if (i > n - radius) total += tail[n - 1 - i] * in[last];
  return total;
}

extern "C" __global__ void __launch_bounds__(XT)
blur_x(const float* __restrict__ in, float* out, const float* __restrict__ g, const float* __restrict__ tail,
       int radius, int columns) {
  SHARED_ARRAY(float, tile, XT + 2 * (MAX_RADIUS - 1));
  const int tiles = (columns - 1) / XT + 1, t = int(threadIdx.x), halo = radius - 1;
  const i64 row = i64(blockIdx.x / tiles) * columns;
  const int left = int(blockIdx.x % tiles) * XT;
  for (int i = t; i < XT + 2 * halo; i += XT) {
    const int x = left + i - halo;
    tile[i] = x >= 0 && x < columns ? in[row + x] : 0.f;
  }
  __syncthreads();
  const int x = left + t, c = halo + t;
  if (x >= columns) return;
  float total = centre_and_ends(in, row, row + columns - 1, tile[c], x, columns, g, tail, radius);
  for (int k = 1; k < radius; k++) total += g[k] * (tile[c - k] + tile[c + k]);
  out[row + x] = total;
}

// Four blocks a multiprocessor: else NVRTC 13.5 spills on sm_100.
extern "C" __global__ void __launch_bounds__(W * H, 4)
blur_y(const float* __restrict__ in, float* out, const float* __restrict__ g, const float* __restrict__ tail,
       int radius, int columns, int rows, int in_first, int in_rows, int first, int n_rows) {
  SHARED_ARRAY(float, tile, (YT + 2 * (MAX_RADIUS - 1)) * W);
  const int tiles = (columns - 1) / W + 1, tx = int(threadIdx.x), halo = radius - 1;
  const int x = int(blockIdx.x % tiles) * W + tx, top = int(blockIdx.x / tiles) * YT;
  for (int j = int(threadIdx.y); j < YT + 2 * halo; j += H) {
    const int y = first + top + j - halo - in_first;  // row of `in`; what it lacks is outside or not needed
    tile[j * W + tx] = x < columns && y >= 0 && y < in_rows ? in[i64(y) * columns + x] : 0.f;
  }
  __syncthreads();
  if (x >= columns) return;
  const i64 row_0 = -i64(in_first) * columns + x, row_n = i64(rows - 1 - in_first) * columns + x;
  for (int j = int(threadIdx.y); j < YT && top + j < n_rows; j += H) {
    const int c = (halo + j) * W + tx, y = first + top + j;
    float total = centre_and_ends(in, row_0, row_n, tile[c], y, rows, g, tail, radius);
#pragma unroll 4  // by 8, sm_75 needs 65 registers
    for (int k = 1; k < radius; k++) total += g[k] * (tile[c - k * W] + tile[c + k * W]);
    out[i64(top + j) * columns + x] = total;
  }
}

// Pixel p of `out` lies at index p / step % n of its line, `start` more along y in a part of an image; n: pixels of
// the whole line; step: distance of its neighbours.
extern "C" __global__ void __launch_bounds__(256)
blur_direct(const float* __restrict__ in, float* out, const float* __restrict__ g, const float* __restrict__ tail,
            int radius, int n, i64 step, int in_first, int first, i64 size) {
  const i64 p = i64(blockIdx.x) * 256 + threadIdx.x;
  if (p >= size) return;
  const int i = int(p / step % n) + first;
  const i64 q = p + (first - in_first) * step;  // the same pixel in `in`
  float total = centre_and_ends(in, q - i * step, q + (n - 1 - i) * step, in[q], i, n, g, tail, radius);
  for (int k = 1; k < radius; k++) {
    const float before = k <= i ? in[q - k * step] : 0.f, after = k < n - i ? in[q + k * step] : 0.f;
    total += g[k] * (before + after);
  }
  out[p] = total;
}

// Rows above and below, left to right: the 3 x 3 difference along y.
static __device__ __forceinline__ float down(float a0, float a1, float a2, float b0, float b1, float b2) {
  const double above = 0.0 + double(a0) + 2.0 * double(a1) + double(a2);
  return float(above - double(b0) - 2.0 * double(b1) - double(b2));
}

// Left and right of the rows above, here, below: the 3 x 3 difference along x.
static __device__ __forceinline__ float across(float a0, float a2, float m0, float m2, float b0, float b2) {
  const double upper = 0.0 + double(a0) - double(a2) + 2.0 * double(m0) - 2.0 * double(m2);
  return float(upper + double(b0) - double(b2));
}

// Half the angle whose cosine is difference / R, with the sign of c; 0 where there is no such angle.
static __device__ __forceinline__ float orientation(float difference, float c) {
  const double wide = c;
  const double cosine = __ddiv_rn(difference, __dsqrt_rn(4.0 * wide * wide + double(difference * difference)));
  if (!(fabs(cosine) <= 1.0)) return 0.f;
  const float angle = float(0.5 * arc_cosine(cosine));
  return c < 0.f ? -angle : angle;
}

static __device__ __forceinline__ int nearest(int i, int n) { return min(max(i, 0), n - 1); }

extern "C" __global__ void __launch_bounds__(W * H)
planes(const float* __restrict__ in, float* out, int columns, int in_rows, int skip, int n_rows, i64 pitch, i64 place,
       int plane, int n_finer, int finest) {
  SHARED_ARRAY(float, blur, TW * (H + 4));
  SHARED_ARRAY(float, gy, GW * (H + 2));
  SHARED_ARRAY(float, gx, GW * (H + 2));
  const int tiles = (columns - 1) / W + 1, t = int(threadIdx.y) * W + int(threadIdx.x);
  const int left = int(blockIdx.x % tiles) * W, top = int(blockIdx.x / tiles) * H, in_top = skip + top;
  for (int i = t; i < TW * (H + 4); i += W * H) {
    const int y = nearest(in_top - 2 + i / TW, in_rows), x = nearest(left - 2 + i % TW, columns);
    blur[i] = in[i64(y) * columns + x];
  }
  __syncthreads();
  for (int i = t; i < GW * (H + 2); i += W * H) {
    // a gradient outside the image is that of the nearest pixel inside
    const int y = nearest(in_top - 1 + i / GW, in_rows), x = nearest(left - 1 + i % GW, columns);
    const int m = (y - in_top + 2) * TW + x - left + 2, a = m - TW, b = m + TW;
    gy[i] = down(blur[a - 1], blur[a], blur[a + 1], blur[b - 1], blur[b], blur[b + 1]);
    gx[i] = across(blur[a - 1], blur[a + 1], blur[m - 1], blur[m + 1], blur[b - 1], blur[b + 1]);
  }
  __syncthreads();
  const int x = left + int(threadIdx.x), row = top + int(threadIdx.y);
  if (x >= columns || row >= n_rows) return;
  const int m = (int(threadIdx.y) + 1) * GW + int(threadIdx.x) + 1, u = m - GW, v = m + GW;
  const float a = down(gy[u - 1], gy[u], gy[u + 1], gy[v - 1], gy[v], gy[v + 1]);
  const float c = across(gy[u - 1], gy[u + 1], gy[m - 1], gy[m + 1], gy[v - 1], gy[v + 1]);
  const float d = across(gx[u - 1], gx[u + 1], gx[m - 1], gx[m + 1], gx[v - 1], gx[v + 1]);
  const float dy = gy[m], dx = gx[m], difference = a - d, trace = a + d;
  const float squared = difference * difference + 4.f * c * c;
  const double root = __dsqrt_rn(squared), wide = trace;
  const float centre = blur[(int(threadIdx.y) + 2) * TW + int(threadIdx.x) + 2];
  float* to = out + (i64(plane) * pitch + (place + row) * columns + x);
  to[0] = centre;
  to[pitch] = __fsqrt_rn(dy * dy + dx * dx);
  to[2 * pitch] = __fsqrt_rn(a * a + c * c + d * d);
  to[3 * pitch] = trace;
  to[4 * pitch] = a * d - c * c;
  to[5 * pitch] = float(wide + root) / 2.f;
  to[6 * pitch] = float(wide - root) / 2.f;
  to[7 * pitch] = orientation(difference, c);
  to[8 * pitch] = float(wide * wide * double(squared));
  to[9 * pitch] = squared;
  const float* from = to + i64(finest - plane) * pitch;
  for (int k = 0; k < n_finer; k++) {
    to[(10 + k) * pitch] = *from - centre;
    from += (10 + k) * pitch;  // scale k has its blur, nine planes, and k differences
  }
}

extern "C" __global__ void __launch_bounds__(256)
original(const float* __restrict__ in, float* out, i64 place, int columns, i64 size) {
  const i64 p = i64(blockIdx.x) * 256 + threadIdx.x;
  if (p < size) out[place * columns + p] = in[p];
}
