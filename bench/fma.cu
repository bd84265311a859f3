// Yardsticks of a device, for bench/gpu.py: how many fma a second it does, and the sums of objects in a volume.
//
// fma_rate     a, b, rounds -> out (threads of the grid,) float32: 8 independent chains of 4 fma a round and thread
//              Launch: any grid of 256 threads. Source: none, a yardstick. Oracle: none; bits do not matter.
// largest      values (n,) int32 -> out (1,) int32, raised to the largest of them. Launch: any grid of 256 threads.
//              Oracle: numpy.max.
// object_sums  labels (planes, rows, columns) int32, 0 = background -> sums (n_objects, 4) uint64, changed in place:
//              voxels, and the sums of their columns, rows and planes
//              Launch: any grid of 256 threads (grid-stride over voxels). Whole numbers: order cannot matter.
//              Oracle: numpy.bincount, equal to the bit.
#include "../kernels/common.cuh"

extern "C" __global__ void __launch_bounds__(256) fma_rate(float* out, float a, float b, int rounds) {
  const i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x;
  float s0 = float(threadIdx.x), s1 = s0 + 1, s2 = s0 + 2, s3 = s0 + 3, s4 = s0 + 4, s5 = s0 + 5, s6 = s0 + 6;
  float s7 = s0 + 7;
  for (int round = 0; round < rounds; round++) {
#pragma unroll
    for (int k = 0; k < 4; k++) {
      s0 = __fmaf_rn(s0, a, b);
      s1 = __fmaf_rn(s1, a, b);
      s2 = __fmaf_rn(s2, a, b);
      s3 = __fmaf_rn(s3, a, b);
      s4 = __fmaf_rn(s4, a, b);
      s5 = __fmaf_rn(s5, a, b);
      s6 = __fmaf_rn(s6, a, b);
      s7 = __fmaf_rn(s7, a, b);
    }
  }
  out[i] = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
}

extern "C" __global__ void __launch_bounds__(256) largest(const int* __restrict__ values, int* out, i64 n) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  int most = 0;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < n; p += step) most = max(most, values[p]);
  atomicMax(out, most);
}

extern "C" __global__ void __launch_bounds__(256)
object_sums(const int* __restrict__ labels, u64* sums, int rows, int columns, i64 n) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < n; p += step) {
    const int id = labels[p];
    if (id == 0) continue;
    u64* sum = sums + 4 * i64(id - 1);
    const i64 line = p / columns;
    atomicAdd(sum, u64(1));
    atomicAdd(sum + 1, u64(p % columns));
    atomicAdd(sum + 2, u64(line % rows));
    atomicAdd(sum + 3, u64(line / rows));
  }
}
