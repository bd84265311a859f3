// Sums of one or three symmetric kernels along the lines of an image: SPAN outputs of 32 lines a block, OUTS of one
// line a thread, in the binding order (centre, then k = 1..r by fma; see compdistort/backend/plain/convolve.py).
//
// The pixels lie in a shared tile, tile[position * PITCH + line]. A thread keeps x[+k] and x[-k] of its OUTS outputs
// in two rings of registers: one step of k moves both windows by one pixel, so 2 loads feed OUTS outputs of every
// kernel. A tile holds what the first NEAR taps need; any further ones come in pieces of FAR taps, in two parts.
#include "border.cuh"

#define LANES 32
#define WARPS 8
#define THREADS (LANES * WARPS)
#define OUTS 8
#define SPAN (WARPS * OUTS)
#define NEAR 48
#define FAR 16
#define PART (SPAN + FAR)
#define DEPTH (2 * PART)
#define PITCH (LANES + 1)
#if SPAN + 2 * NEAR > DEPTH || NEAR % OUTS || FAR % OUTS
#error "the first taps must fit the tile, and the rings must be in phase at every piece"
#endif
#define SHARED_TILE                           \
  SHARED_ARRAY(float, tile, DEPTH * PITCH);   \
  SHARED_ARRAY(float4, taps, NEAR + 1)

// 32 neighbouring lines along an axis whose pixels lie `inner` apart; lanes read neighbours.
struct StridedLines {
  const float* pixels;  // this lane's line, from position `first` on
  i64 inner;
  int n, first, repeat;
  int limit;            // last position that an output needs: what lies beyond may not be in memory

  template <class Tile>
  __device__ __forceinline__ void fill(Tile& tile, int at, int from, int count) const {
    for (int i = threadIdx.y; i < count; i += WARPS) {
      const int p = fold(min(from + i, limit), n, repeat) - first;
      tile[(at + i) * PITCH + threadIdx.x] = pixels[p * inner];
    }
  }
};

// Up to 32 rows of an image whose pixels are neighbours: read along x, transposed on the way into the tile.
struct Rows {
  const float* image;  // from the first of them on
  int count, nx, repeat;

  template <class Tile>
  __device__ __forceinline__ void fill(Tile& tile, int at, int from, int length) const {
#pragma unroll 1  // two loads in flight: more do not fit 64 registers on every architecture
    for (int i = threadIdx.x; i < length; i += LANES) {
      u32 pixel = threadIdx.y * nx + fold(from + i, nx, repeat);
#pragma unroll 2
      for (int line = threadIdx.y; line < LANES; line += WARPS, pixel += WARPS * nx)
        tile[(at + i) * PITCH + line] = line < count ? image[pixel] : 0.f;
    }
  }
};

// One thread's sums of OUTS neighbouring outputs, and which of them a pass makes. An entry of a half kernel is the
// weights of all three at one distance.
struct Sums {
  float g[OUTS], d[OUTS], c[OUTS];
};
#define SMOOTH 1  // g: even kernel, w.x
#define SLOPE 2   // d: odd kernel, w.y
#define CURVE 4   // c: even kernel, w.z

// Taps first..last of the sums, first = 1 modulo OUTS. up, down: tile index of the first output's x[+k] and x[-k] at
// k = 0, were it there.
template <int MADE, class Tile, class Taps>
static __device__ __forceinline__ void add_taps(Tile& tile, Taps& taps, int first, int last, int up, int down,
                                                Sums& s) {
  float plus[OUTS], minus[OUTS];
#pragma unroll
  for (int o = 0; o < OUTS; o++) {
    plus[o] = tile[up + (first - 1 + o) * PITCH];
    minus[o] = tile[down - (first - 1 - o) * PITCH];
  }
  if (first == 1) {
    const float4 w = taps[0];
#pragma unroll
    for (int o = 0; o < OUTS; o++) {
      if (MADE & SMOOTH) s.g[o] = w.x * plus[o];
      if (MADE & CURVE) s.c[o] = w.z * plus[o];
    }
  }
  for (int k0 = first; k0 <= last; k0 += OUTS) {
#pragma unroll
    for (int j = 1; j <= OUTS; j++) {
      const int k = k0 + j - 1;  // = j modulo OUTS
      if (k <= last) {
        plus[(OUTS - 1 + j) % OUTS] = tile[up + (k + OUTS - 1) * PITCH];
        minus[(OUTS - j) % OUTS] = tile[down - k * PITCH];
        const float4 w = taps[k - first + 1];
#pragma unroll
        for (int o = 0; o < OUTS; o++) {
          const float p = plus[(o + j) % OUTS], m = minus[(o + OUTS - j) % OUTS];
          if (MADE & SMOOTH) s.g[o] = __fmaf_rn(w.x, p + m, s.g[o]);
          if (MADE & SLOPE) s.d[o] = __fmaf_rn(w.y, p - m, s.d[o]);
          if (MADE & CURVE) s.c[o] = __fmaf_rn(w.z, p + m, s.c[o]);
        }
      }
    }
  }
}

// Sums of the outputs from + warp * OUTS + o, of which `count` are wanted; whole warps beyond them make none. All
// threads of the block must call it.
template <int MADE, class Lines, class Tile, class Taps>
static __device__ __forceinline__ void line_sums(const Lines& lines, const float4* half, int radius, int from,
                                                 int count, Tile& tile, Taps& taps, Sums& s) {
  const int own = threadIdx.y * OUTS, wanted = (min(count, SPAN) + OUTS - 1) / OUTS * OUTS;
#pragma unroll
  for (int o = 0; o < OUTS; o++) {  // in warps that make none too: their old values need not be kept
    if (MADE & SMOOTH) s.g[o] = 0.f;
    if (MADE & SLOPE) s.d[o] = 0.f;
    if (MADE & CURVE) s.c[o] = 0.f;
  }
  int first = 1, last = min(radius, NEAR);
  do {
    int up = own + last, down = own + last;
    __syncthreads();  // what the tile held before is no longer read
    if (first == 1) {
      lines.fill(tile, 0, from - last, wanted + 2 * last);
    } else {
      up = own - (first - 1), down = own + PART + last;
      lines.fill(tile, 0, from + first - 1, wanted + last - first + 1);
      lines.fill(tile, PART, from - last, wanted + last - first + 1);
    }
    for (int i = threadIdx.y * LANES + threadIdx.x; i <= last - first + 1; i += THREADS) taps[i] = half[first - 1 + i];
    __syncthreads();
    if (own < wanted) {
      add_taps<MADE>(tile, taps, first, last, up * PITCH + int(threadIdx.x), down * PITCH + int(threadIdx.x), s);
    }
    first = last + 1;
    last = min(radius, last + FAR);
  } while (first <= radius);
}
