// The dialect that nvcc, NVRTC and the host build of the tests all accept. No other include is needed or allowed:
// NVRTC has no <cstdint>. Shared memory is declared only through SHARED_ARRAY, and indexed, never addressed.
#ifdef CUHOST
#include "cuda_host.h"
#else
#define SHARED_ARRAY(T, name, n) __shared__ T name[n]
#endif
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
