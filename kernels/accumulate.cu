// Exact per-pixel sums of replicates: whole numbers, so their order cannot matter.
//
// images  (n, size) uint16, DN        sum1, sum2  (size,) uint64, DN and DN^2, changed in place
// Launch: any grid of 256 threads (grid-stride over pixels).
// Oracle: compdistort/backend/plain/accumulate.py, equal to the bit.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
accumulate(const u16* __restrict__ images, u64* sum1, u64* sum2, i64 n, i64 size) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  for (i64 p = i64(blockIdx.x) * blockDim.x + threadIdx.x; p < size; p += step) {
    u64 s = 0, q = 0;
    for (i64 k = 0; k < n; k++) {
      const u64 v = images[k * size + p];
      s += v;
      q += v * v;
    }
    sum1[p] += s;
    sum2[p] += q;
  }
}
