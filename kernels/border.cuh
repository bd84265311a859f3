// Which pixel stands at position i of a line of n pixels: mirror images without end, by modulo, since lines shorter
// than a kernel exist. repeat = 1 repeats the edge pixel (c b a | a b c d | d c b, "reflect"), 0 does not ("mirror").
#include "common.cuh"

static __device__ __forceinline__ int fold(int i, int n, int repeat) {
  if (u32(i) < u32(n)) return i;
  const int period = repeat ? 2 * n : max(2 * n - 2, 1);
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - repeat - i;
}
