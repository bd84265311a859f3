// CUDA C++ for g++: the names that a kernel may use, so that the very text of the device runs on the CPU, for tests.
//
// Floats are exact to the device: no contraction, saturating conversions, minimum and maximum with NaN and signed
// zeros. With -DCUHOST_CHECK shared arrays are checked (see checked_array.h). What is missing here does not build.
#pragma once
#include "checked_array.h"
#include "fibers.h"
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

// ---- words of the language ------------------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __grid_constant__

#define threadIdx (cuhost::g.cur->tid)
#define blockIdx (cuhost::g.bid)
#define blockDim (cuhost::g.block)
#define gridDim (cuhost::g.grid)
#define warpSize 32

#ifdef CUHOST_CHECK
#define SHARED_ARRAY(T, name, n) static cuhost::Checked<T, (n)> name(#name)
#else
#define SHARED_ARRAY(T, name, n) alignas(128) static T name[n]
#endif

#define CUHOST_VECTOR(T, N, A)                                                      \
  struct alignas(2 * sizeof(A)) N##2 { A x, y; };                                   \
  struct alignas(4 * sizeof(A) > 16 ? 16 : 4 * sizeof(A)) N##4 { A x, y, z, w; };   \
  static inline N##2 make_##N##2(A x, A y) { return {x, y}; }                       \
  static inline N##4 make_##N##4(A x, A y, A z, A w) { return {x, y, z, w}; }
CUHOST_VECTOR(float, float, float)
CUHOST_VECTOR(double, double, double)
CUHOST_VECTOR(int, int, int)
CUHOST_VECTOR(unsigned, uint, unsigned)
CUHOST_VECTOR(unsigned short, ushort, unsigned short)
CUHOST_VECTOR(unsigned char, uchar, unsigned char)
#undef CUHOST_VECTOR

// ---- barriers, warps ------------------------------------------------------------------------------------------------
// Every use is a barrier of its own: the address of a static tells them apart.
#define CUHOST_SITE ([]() -> const void* { static char s[2]; return s; }())
#define __syncthreads() cuhost::wait(cuhost::AT_BLOCK, CUHOST_SITE, 0)
#define __syncthreads_count(p) int(cuhost::block_count((p) != 0, CUHOST_SITE))
#define __syncthreads_or(p) int(cuhost::block_count((p) != 0, CUHOST_SITE) != 0)
#define __syncthreads_and(p) int(cuhost::block_count((p) == 0, CUHOST_SITE) == 0)
#define __syncwarp(...) cuhost::sync_warp(CUHOST_SITE __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(m, v, l) cuhost::shfl(m, v, (l) & 31, true, CUHOST_SITE)
#define __shfl_down_sync(m, v, d) \
  cuhost::shfl(m, v, int(cuhost::lane() + (d)), cuhost::lane() + (d) < 32, CUHOST_SITE)
#define __shfl_up_sync(m, v, d) \
  cuhost::shfl(m, v, int(cuhost::lane()) - int(d), int(cuhost::lane()) >= int(d), CUHOST_SITE)
#define __shfl_xor_sync(m, v, x) cuhost::shfl(m, v, int(cuhost::lane() ^ (x)), true, CUHOST_SITE)
#define __ballot_sync(m, p) cuhost::ballot(m, (p) != 0, CUHOST_SITE)
#define __any_sync(m, p) int(cuhost::ballot(m, (p) != 0, CUHOST_SITE) != 0)
#define __all_sync(m, p) int(cuhost::ballot(m, (p) == 0, CUHOST_SITE) == 0)
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// ---- arithmetic -----------------------------------------------------------------------------------------------------
namespace cuhost {
template <class T, class U> static inline T bits(U v) {
  static_assert(sizeof(T) == sizeof(U), "values of different size");
  T r;
  memcpy(&r, &v, sizeof r);
  return r;
}
// A rounded float as an integer: saturates; NaN is 0 between 32-bit types, else the top bit alone (PTX ISA, cvt).
template <class T, class F> static inline T to_int(F v) {
  using L = std::numeric_limits<T>;
  if (v != v) return sizeof(T) < 8 && sizeof(F) < 8 ? T(0) : T(std::make_unsigned_t<T>(1) << (8 * sizeof(T) - 1));
  const long double w = v;
  return w <= (long double)L::min() ? L::min() : w >= (long double)L::max() ? L::max() : T(v);
}
// NaN gives the other operand, and -0 is below +0.
template <class T> static inline T lesser(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T> static inline T greater(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}
}  // namespace cuhost

template <class T> static inline T min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return cuhost::lesser(a, b);
  return b < a ? b : a;
}
template <class T> static inline T max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return cuhost::greater(a, b);
  return a < b ? b : a;
}
#define fminf(a, b) cuhost::lesser<float>(a, b)
#define fmaxf(a, b) cuhost::greater<float>(a, b)
#define fmin(a, b) cuhost::lesser<double>(a, b)
#define fmax(a, b) cuhost::greater<double>(a, b)

template <class T> static inline T __ldg(const T* p) { return *p; }

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

#define CUHOST_TO_INT(from, F, to, T)                                                              \
  static inline T __##from##2##to##_rn(F a) { return cuhost::to_int<T>(std::nearbyint(a)); }       \
  static inline T __##from##2##to##_rz(F a) { return cuhost::to_int<T>(std::trunc(a)); }           \
  static inline T __##from##2##to##_rd(F a) { return cuhost::to_int<T>(std::floor(a)); }           \
  static inline T __##from##2##to##_ru(F a) { return cuhost::to_int<T>(std::ceil(a)); }
#define CUHOST_CONVERSIONS(name, T)         \
  CUHOST_TO_INT(float, float, name, T)      \
  CUHOST_TO_INT(double, double, name, T)    \
  static inline float __##name##2float_rn(T a) { return float(a); }
CUHOST_CONVERSIONS(int, int)
CUHOST_CONVERSIONS(uint, unsigned)
CUHOST_CONVERSIONS(ll, long long)
CUHOST_CONVERSIONS(ull, unsigned long long)
#undef CUHOST_CONVERSIONS
#undef CUHOST_TO_INT
static inline float __double2float_rn(double a) { return float(a); }
static inline double __int2double_rn(int a) { return a; }
static inline double __uint2double_rn(unsigned a) { return a; }
static inline double __ll2double_rn(long long a) { return double(a); }
static inline double __ull2double_rn(unsigned long long a) { return double(a); }
static inline int __float_as_int(float a) { return cuhost::bits<int>(a); }
static inline unsigned __float_as_uint(float a) { return cuhost::bits<unsigned>(a); }
static inline float __int_as_float(int a) { return cuhost::bits<float>(a); }
static inline float __uint_as_float(unsigned a) { return cuhost::bits<float>(a); }
static inline long long __double_as_longlong(double a) { return cuhost::bits<long long>(a); }
static inline double __longlong_as_double(long long a) { return cuhost::bits<double>(a); }

static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline long long __mul64hi(long long a, long long b) { return (long long)(((__int128)a * b) >> 64); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __clz(int a) { return a ? __builtin_clz(unsigned(a)) : 32; }
static inline int __clzll(long long a) { return a ? __builtin_clzll((unsigned long long)a) : 64; }
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
static inline int __ffs(int a) { return __builtin_ffs(a); }
static inline int __ffsll(long long a) { return __builtin_ffsll(a); }
static inline unsigned __brev(unsigned a) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (a >> i & 1u) << (31 - i);
  return r;
}
static inline unsigned long long __brevll(unsigned long long a) {
  return (unsigned long long)__brev(unsigned(a)) << 32 | __brev(unsigned(a >> 32));
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
  return unsigned(((uint64_t(high) << 32 | low) << (by & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
  return unsigned((uint64_t(high) << 32 | low) >> (by & 31));
}

// ---- atomics --------------------------------------------------------------------------------------------------------
// On global memory, and on &name[i] of a shared array. As on the device only of certain types; none of floats.
namespace cuhost {
template <class P> struct Target;
template <class T> struct Target<T*> {
  using Value = T;
  template <class F> static T change(T* p, F f) {
    const T old = *p;
    *p = f(old);
    return old;
  }
};
template <class A> struct Target<Place<A>> {
  using Value = typename A::Value;
  template <class F> static Value change(Place<A> p, F f) { return p.array.change(p.i, f); }
};
template <class P> using Value = typename Target<P>::Value;
template <class T> constexpr bool is_word = std::is_same_v<T, int> || std::is_same_v<T, unsigned> ||
                                            std::is_same_v<T, unsigned long long> || std::is_same_v<T, uint64_t>;
template <class T> constexpr bool is_signed_word = is_word<T> || std::is_same_v<T, long long>;
}  // namespace cuhost
#define CUHOST_ATOMIC(name, types, result)                                                           \
  template <class P> static inline cuhost::Value<P> name(P p, cuhost::Value<P> v) {                  \
    using T = cuhost::Value<P>;                                                                      \
    static_assert(cuhost::types<T>, #name " is not there for this type");                            \
    return cuhost::Target<P>::change(p, [v](T old) { return T(result); });                           \
  }
CUHOST_ATOMIC(atomicAdd, is_word, old + v)
CUHOST_ATOMIC(atomicMin, is_signed_word, v < old ? v : old)
CUHOST_ATOMIC(atomicMax, is_signed_word, old < v ? v : old)
CUHOST_ATOMIC(atomicAnd, is_word, old& v)
CUHOST_ATOMIC(atomicOr, is_word, old | v)
CUHOST_ATOMIC(atomicXor, is_word, old ^ v)
CUHOST_ATOMIC(atomicExch, is_word, v)
#undef CUHOST_ATOMIC
template <class P> static inline cuhost::Value<P> atomicCAS(P p, cuhost::Value<P> expected, cuhost::Value<P> v) {
  using T = cuhost::Value<P>;
  static_assert(cuhost::is_word<T>, "atomicCAS is not there for this type");
  return cuhost::Target<P>::change(p, [=](T old) { return old == expected ? v : old; });
}

// ---- what Python calls ----------------------------------------------------------------------------------------------
namespace cuhost {
template <class T> static std::string code() {  // as compdistort/backend/kernel_source.py writes a parameter
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_pointer_v<U>) {
    using E = std::remove_pointer_t<U>;
    return (std::is_const_v<E> ? "p" : "P") + code<E>();
  } else if constexpr (std::is_same_v<U, bool>) {
    return "?";
  } else if constexpr (std::is_same_v<U, float>) {
    return "f";
  } else if constexpr (std::is_same_v<U, double>) {
    return "d";
  } else if constexpr (std::is_integral_v<U>) {
    const int size = sizeof(U) == 1 ? 0 : sizeof(U) == 2 ? 2 : sizeof(U) == 4 ? 4 : 6;
    return std::string(1, "bBhHiIqQ"[size + std::is_unsigned_v<U>]);
  } else if constexpr (sizeof(U) == 4 * sizeof(U::x)) {
    return code<decltype(U::x)>() + "4";
  } else {
    return code<decltype(U::x)>() + "2";
  }
}
template <auto K> struct Export;
template <class... A, void (*K)(A...)> struct Export<K> {
  template <size_t... I> static void call(void** a, std::index_sequence<I...>) { K(*(std::remove_cv_t<A>*)a[I]...); }
  static void body(void** a) { call(a, std::index_sequence_for<A...>{}); }
  static const char* signature() {
    static const std::string all = [] {
      std::string r;
      ((r += code<A>() + " "), ...);
      return r;
    }();
    return all.c_str();
  }
};
}  // namespace cuhost

#define CUHOST_EXPORT_BODY(name, body)                                                          \
  extern "C" int cuhost_launch_##name(const unsigned* grid, const unsigned* block, void** a) {  \
    return cuhost::launch(grid, block, a, body);                                                \
  }
#define CUHOST_EXPORT(name)                                    \
  CUHOST_EXPORT_BODY(name, cuhost::Export<&name>::body)        \
  extern "C" const char* cuhost_signature_##name() { return cuhost::Export<&name>::signature(); }
#define CUHOST_MODULE                                                                           \
  extern "C" const char* cuhost_error() { return cuhost::g.error.c_str(); }                     \
  extern "C" void cuhost_order(unsigned seed) { cuhost::g.order_seed = seed; }                  \
  extern "C" void cuhost_only(unsigned long first, unsigned long count) {                       \
    cuhost::g.only_first = first, cuhost::g.only_count = count;                                 \
  }                                                                                             \
  extern "C" void cuhost_limit(unsigned seconds) { cuhost::g.limit_s = seconds; }               \
  extern "C" void cuhost_memory(unsigned long n, const uint64_t* parts) {                       \
    cuhost::g.memory.clear();                                                                   \
    for (; n; n--, parts += 2) cuhost::g.memory.emplace_back(parts[0], parts[0] + parts[1]);    \
  }
