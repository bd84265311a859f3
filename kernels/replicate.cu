// Raw-equivalent replicates: one 32-bit word a voxel and replicate, turned into a digital number.
//
// The word is a function of (key, z, y, x, replicate) in coordinates of the whole volume alone: word x & 3 of
// Philox(x >> 2, y, z, replicate). So no slab, grid or order of threads can change a draw. Exact levels invert a
// cumulative law held as integers; the others are mean + sd (z + s (z^2 - 1)), z the normal quantile by cubics.
// Integers, fma, IEEE division and root, and rounding only: the same bits on every engine.
//
// draw
//   raw       (planes, rows, columns) uint16, DN     out  (count, planes, rows, columns) uint16, DN; aligned to 8 bytes
//   above     (1,) uint32, DN, changed in place: largest level found above `top`; where it is not 0, `out` is void
//   quantile  (496, 4) float32: 31 octaves of 16 cubics of the normal quantile, standard deviations
//   level     (n_regions, n_levels, 4) float32: {mean DN, sd DN, skewness / 6, row}, or where row, an int32, is >= 0,
//             {first value DN, place in cdf} as int32 and that exact row
//   cdf       uint32, units of 2^-32, each law ending in 0xFFFFFFFF      guide  (n_rows, 64) uint16: start of a search
//   region    (rows, columns) uint8, or null: region 0 everywhere
//   gain, offset, read_variance  (rows, columns) float32, DN/e-, DN, DN^2, or null; where given, `level` is not read
//   gaussian  with maps: no skewness anywhere
//   group0, shift, y0, z0  first voxel of `raw` in the whole volume: column 4 group0 + shift, row y0, plane z0
//   key0, key1  Philox key        first, step, count  replicate numbers first + r step (mod 2^32)
//   top       largest digital number, DN
// Launch: blocks of (32, 8): a thread has one aligned group of four along x; its row, plane and all replicates.
//   Grid (groups / 32, rows / 8, planes) or less along y and z (strides of the grid).
// philox_known: counter (n,) uint4, key (n,) uint2 -> words (n,) uint4. Launch: a thread for each.
//
// Source: design of the sampler in compdistort/replicate/law.py; Philox: Salmon et al. (2011), SC11.
// Oracle: compdistort/backend/plain/noise.py and compdistort/rng.py, equal to the bit.
#include "philox.cuh"

// Normal quantile of (word + 1/2) / 2^32. The upper half mirrors the lower: both tails keep relative accuracy.
static __device__ __forceinline__ float normal_quantile(u32 word, const float4* __restrict__ quantile) {
  const bool upper = word >> 31;
  const u32 tail = upper ? ~word : word;
  const int octave = __clz(int(tail | 1u));
  const u32 mantissa = tail << octave;
  const float f = __uint2float_rn((mantissa >> 3) & 0xFFFFFFu) * 5.9604644775390625e-08f;
  const float4 c = __ldg(quantile + (octave - 1) * 16 + int((mantissa >> 27) & 15u));
  const float z = __fmaf_rn(__fmaf_rn(__fmaf_rn(c.w, f, c.z), f, c.y), f, c.x);
  return upper ? -z : z;
}

static __device__ __forceinline__ u32 number(u32 word, float4 record, const u32* __restrict__ cdf,
                                             const u16* __restrict__ guide, const float4* __restrict__ quantile,
                                             int top) {
  const int row = __float_as_int(record.w);
  if (row >= 0) {
    const u32* law = cdf + __float_as_int(record.y);
    int k = guide[row * 64 + int(word >> 26)];
    while (word >= law[k] && law[k] != 0xFFFFFFFFu) k++;
    return u32(__float_as_int(record.x) + k);
  }
  const float z = normal_quantile(word, quantile);
  const float value = __fmaf_rn(record.y, __fmaf_rn(record.z, __fmaf_rn(z, z, -1.0f), z), record.x);
  return u32(min(max(__float2int_rn(value), 0), top));
}

// Record of one pixel from the sensor maps: the variance is clipped at 0 as a whole, pixels below their offset are
// Gaussian, and sd is that of the linear term, so that the total variance stays.
static __device__ __forceinline__ float4 map_record(float mean, float gain, float offset, float read_variance,
                                                    bool gaussian) {
  const float signal = mean - offset;
  const float variance = fmaxf(__fmaf_rn(gain, signal, read_variance), 0.0f);
  const float sd = __fsqrt_rn(variance);
  float skew = 0.0f;
  if (signal > 0.0f && variance > 0.0f && !gaussian) skew = __fdiv_rn(gain * gain * signal, 6.0f * variance * sd);
  const float linear = __fdiv_rn(sd, __fsqrt_rn(__fmaf_rn(2.0f * skew, skew, 1.0f)));
  return make_float4(mean, linear, skew, __int_as_float(-1));
}

// Four blocks a multiprocessor: else nvcc 13.0 spills on sm_100, at 48 registers.
extern "C" __global__ void __launch_bounds__(256, 4)
draw(const u16* __restrict__ raw, u16* out, u32* above, const float4* __restrict__ quantile,
     const float4* __restrict__ level, int n_levels, const u32* __restrict__ cdf, const u16* __restrict__ guide,
     const u8* __restrict__ region, const float* __restrict__ gain, const float* __restrict__ offset,
     const float* __restrict__ read_variance, bool gaussian, int planes, int rows, int columns, u32 group0, int shift,
     u32 y0, u32 z0, u32 key0, u32 key1, u32 first, u32 step, int count, int top) {
  const int group = int(blockIdx.x * blockDim.x + threadIdx.x), x = 4 * group - shift;
  if (x >= columns) return;
  const bool whole = shift == 0 && columns % 4 == 0;
  const i64 size = i64(planes) * rows * columns;
  for (u32 z = blockIdx.z; z < u32(planes); z += gridDim.z)
    for (u32 y = blockIdx.y * blockDim.y + threadIdx.y; y < u32(rows); y += gridDim.y * blockDim.y) {
      const i64 in_plane = i64(y) * columns + x;
      i64 at = i64(z) * rows * columns + in_plane;
      float4 record[4];  // without noise: of what lies beside the row, and of levels that no table holds
#pragma unroll
      for (int j = 0; j < 4; j++) {
        record[j] = make_float4(0.0f, 0.0f, 0.0f, __int_as_float(-1));
        if (x + j < 0 || x + j >= columns) continue;
        const i64 p = in_plane + j;
        const int value = raw[at + j];
        if (value > top) atomicMax(above, u32(value));
        else if (gain) record[j] = map_record(float(value), gain[p], offset[p], read_variance[p], gaussian);
        else record[j] = __ldg(level + i64(region ? region[p] : 0) * n_levels + value);
      }
      uint4 counter = make_uint4(group0 + u32(group), y0 + y, z0 + z, first);
      for (int r = 0; r < count; r++, counter.w += step, at += size) {
        const uint4 word = philox4x32(counter, key0, key1);
        const u32 v0 = number(word.x, record[0], cdf, guide, quantile, top);
        const u32 v1 = number(word.y, record[1], cdf, guide, quantile, top);
        const u32 v2 = number(word.z, record[2], cdf, guide, quantile, top);
        const u32 v3 = number(word.w, record[3], cdf, guide, quantile, top);
        if (whole) {  // one store of 8 bytes; nvcc 13.0 splits that of a ushort4 or uint2
          *reinterpret_cast<u64*>(out + at) = (v0 | v1 << 16) | u64(v2 | v3 << 16) << 32;
          continue;
        }
        if (x >= 0) out[at] = u16(v0);
        if (x + 1 >= 0 && x + 1 < columns) out[at + 1] = u16(v1);
        if (x + 2 >= 0 && x + 2 < columns) out[at + 2] = u16(v2);
        if (x + 3 < columns) out[at + 3] = u16(v3);
      }
    }
}

extern "C" __global__ void __launch_bounds__(256)
philox_known(const uint4* __restrict__ counter, const uint2* __restrict__ key, uint4* words, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) words[i] = philox4x32(counter[i], key[i].x, key[i].y);
}
