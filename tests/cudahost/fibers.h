// Runs the threads of a CUDA block on the CPU, one fiber each, with the barrier rules of the device.
//
// Threads that never wait run one after another on one stack; one that waits keeps its stack until it ends. The order
// of threads and blocks is chosen per launch, since results must not depend on it. One launch at a time (plain globals):
// use several processes for several cores.
#pragma once
#include "faults.h"
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>
#include <sys/mman.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct uint3 { unsigned x, y, z; };

namespace cuhost {

enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Thread {
  uint3 tid{};
  unsigned flat = 0, state = READY, mask = 0;
  unsigned warp_epoch = 0;     // how often its whole warp has met
  const void* site = nullptr;  // the barrier at which it waits, or last waited
  int stack = -1;
  uint64_t offer = 0;          // its value for the other lanes
};

struct Stack {
  char* memory = nullptr;
  void* pointer = nullptr;
#if !defined(__x86_64__)
  ucontext_t context;
#endif
  void* fake = nullptr;        // AddressSanitizer's own
};

struct Launch {
  dim3 grid, block;
  uint3 bid{};
  unsigned nthreads = 0, live = 0;
  unsigned epoch = 0;          // barriers that the block has passed
  unsigned long block_serial = 0, launch_serial = 0;
  Thread* cur = nullptr;
  std::vector<Thread> threads;
  std::vector<Stack> stacks;
  std::vector<int> free_stacks;
  std::vector<unsigned> order;
  size_t next = 0;             // place in `order` of the next thread to start
  void (*body)(void**) = nullptr;
  void** arguments = nullptr;
  Stack scheduler;
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
  bool failed = false;
  std::string error;
  std::vector<std::pair<uint64_t, uint64_t>> memory;  // arrays that were passed: first byte, one past the last
  unsigned order_seed = 0;                            // 0 ascending, 1 descending, else shuffled
  unsigned long only_first = 0, only_count = ~0ul;    // run only these blocks of the grid
  unsigned limit_s = 0;                               // processor time of a launch, 0 for no limit
};
static Launch g;
static constexpr size_t STACK = 128 * 1024, GUARD = 4096;

static void fail(const std::string& message) {
  if (!g.failed) g.failed = true, g.error = message;
}
static std::string triple(unsigned x, unsigned y, unsigned z) {
  return "(" + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) + ")";
}
static std::string where(const Thread& t) {
  return "thread " + triple(t.tid.x, t.tid.y, t.tid.z) + " of block " + triple(g.bid.x, g.bid.y, g.bid.z);
}

static uint32_t mix(uint64_t& s) {  // splitmix64: for shuffling only
  uint64_t z = (s += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return uint32_t(z >> 32);
}
static void permute(std::vector<unsigned>& list, unsigned n, uint64_t salt) {
  list.resize(n);
  for (unsigned i = 0; i < n; i++) list[i] = g.order_seed == 1 ? n - 1 - i : i;
  if (g.order_seed < 2) return;
  uint64_t s = g.order_seed * 0x1234567ull + salt;
  for (unsigned i = n; i > 1; i--) std::swap(list[i - 1], list[mix(s) % i]);
}

// ---- context switch -------------------------------------------------------------------------------------------------
#if defined(__x86_64__)
extern "C" __attribute__((visibility("hidden"))) void cuhost_swap(void** save, void* to);
asm(R"(
.text
.globl cuhost_swap
.hidden cuhost_swap
.type cuhost_swap,@function
cuhost_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static void swap(Stack& from, Stack& to) { cuhost_swap(&from.pointer, to.pointer); }
#else
static void swap(Stack& from, Stack& to) { swapcontext(&from.context, &to.context); }
#endif

static void to_scheduler(Stack& s) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&s.fake, g.scheduler_bottom, g.scheduler_size);
#endif
  swap(s, g.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(s.fake, &g.scheduler_bottom, &g.scheduler_size);
#endif
}
static void to_fiber(Stack& s) {
#if defined(__SANITIZE_ADDRESS__)
  void* keep = nullptr;
  __sanitizer_start_switch_fiber(&keep, s.memory, STACK);
#endif
  swap(g.scheduler, s);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(keep, nullptr, nullptr);
#endif
}

// What a thread did wrong: the launch fails, and the thread never goes on.
[[noreturn]] static void stop(const std::string& message) {
  fail(message + ", " + where(*g.cur));
  to_scheduler(g.stacks[g.cur->stack]);
  abort();
}

// Runs fresh threads one after another on its own stack. It goes back to the scheduler when a thread waits (the stack
// then belongs to that thread until it ends) or when none is left.
static void run_threads() {
  for (;;) {
    Thread* t = g.cur;
    const int mine = t->stack;
    g.body(g.arguments);
    const bool has_waited = t->site != nullptr;
    t->state = DONE;
    t->stack = -1;
    g.live--;
    if (!has_waited && !g.failed && g.next < g.nthreads) {
      g.cur = &g.threads[g.order[g.next++]];
      g.cur->stack = mine;
      continue;
    }
    g.free_stacks.push_back(mine);
    to_scheduler(g.stacks[mine]);
  }
}
static void enter_fiber() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &g.scheduler_bottom, &g.scheduler_size);
#endif
  run_threads();
  abort();
}

static int new_stack() {
  g.stacks.emplace_back();
  Stack& s = g.stacks.back();
  void* all = mmap(nullptr, STACK + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) abort();
  s.memory = static_cast<char*>(all) + GUARD;  // the page below traps an overflow
  if (mprotect(s.memory, STACK, PROT_READ | PROT_WRITE)) abort();
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(s.memory + STACK) - 2;
  *--top = nullptr;  // enter_fiber must find its stack aligned as after a call
  *--top = reinterpret_cast<void*>(enter_fiber);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  s.pointer = top;
#else
  getcontext(&s.context);
  s.context.uc_stack.ss_sp = s.memory;
  s.context.uc_stack.ss_size = STACK;
  s.context.uc_link = nullptr;
  makecontext(&s.context, enter_fiber, 0);
#endif
  return int(g.stacks.size()) - 1;
}
static void drop_stacks() {  // those of threads that were left waiting cannot be used again
  for (auto& s : g.stacks) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(s.memory, STACK);
#endif
    munmap(s.memory - GUARD, STACK + GUARD);
  }
  g.stacks.clear();
  g.free_stacks.clear();
}

// ---- barriers -------------------------------------------------------------------------------------------------------
static void wait(unsigned state, const void* site, unsigned mask) {
  Thread* t = g.cur;
  if (state == AT_WARP && !(mask >> (t->flat & 31) & 1)) stop("warp operation whose mask leaves out its own lane");
  t->state = state;
  t->site = site;
  t->mask = mask;
  to_scheduler(g.stacks[t->stack]);
  g.cur = t;
}

// Lets go the lanes of a warp that have met: all that a mask names, at one place, with one mask.
static bool release_lanes(unsigned first) {
  const unsigned lanes = std::min(32u, g.nthreads - first), present = lanes < 32 ? (1u << lanes) - 1 : ~0u;
  Thread* warp = &g.threads[first];
  unsigned alive = 0;
  for (unsigned i = 0; i < lanes; i++) alive |= unsigned(warp[i].state != DONE) << i;
  for (unsigned i = 0; i < lanes; i++) {
    if (warp[i].state != AT_WARP) continue;
    const unsigned named = warp[i].mask, wanted = named & present;
    if (named != ~0u && named != wanted) return fail("warp mask names lanes that the block does not have"), false;
    if (wanted & ~alive) return fail("warp operation names a lane that has exited, " + where(warp[i])), false;
    bool met = true;
    for (unsigned k = 0; k < lanes; k++)
      if (wanted >> k & 1) met &= warp[k].state == AT_WARP && warp[k].site == warp[i].site && warp[k].mask == named;
    if (!met) continue;
    for (unsigned k = 0; k < lanes; k++)
      if (wanted >> k & 1) warp[k].state = READY, warp[k].warp_epoch += wanted == alive;
    return true;
  }
  return false;
}
// Every live thread waits: let go whom the rules let go.
static void release() {
  bool any = false;
  for (unsigned first = 0; first < g.nthreads && !g.failed; first += 32) any |= release_lanes(first);
  if (any || g.failed) return;
  const void* site = nullptr;
  for (auto& t : g.threads) {
    if (t.state == DONE) continue;
    if (t.state != AT_BLOCK) return fail("deadlock: a warp operation that cannot complete, " + where(t));
    if (site && t.site != site) return fail("__syncthreads at different places in one block, " + where(t));
    site = t.site;
  }
  for (auto& t : g.threads)
    if (t.state == AT_BLOCK) t.state = READY;
  g.epoch++;
}

// ---- blocks ---------------------------------------------------------------------------------------------------------
static void start_block() {
  g.block_serial++;
  g.epoch = 0;
  g.next = 0;
  g.live = g.nthreads;
  unsigned i = 0;
  for (unsigned z = 0; z < g.block.z; z++)
    for (unsigned y = 0; y < g.block.y; y++)
      for (unsigned x = 0; x < g.block.x; x++, i++) {
        Thread& t = g.threads[i] = Thread();
        t.tid = {x, y, z};
        t.flat = i;
      }
}
static void run_block() {
  start_block();
  while (g.next < g.nthreads && !g.failed) {
    if (g.free_stacks.empty()) g.free_stacks.push_back(new_stack());
    g.cur = &g.threads[g.order[g.next++]];
    g.cur->stack = g.free_stacks.back();
    g.free_stacks.pop_back();
    to_fiber(g.stacks[g.cur->stack]);
  }
  while (g.live && !g.failed) {
    release();
    for (unsigned k : g.order) {
      Thread* t = &g.threads[k];
      if (t->state != READY || g.failed) continue;
      g.cur = t;
      to_fiber(g.stacks[t->stack]);
    }
  }
}
static bool fits(const unsigned* grid, const unsigned* block) {
  const unsigned long threads = 1ul * block[0] * block[1] * block[2];
  if (!threads || threads > 1024 || block[2] > 64) return fail("invalid block size"), false;
  const bool empty = !grid[0] || !grid[1] || !grid[2];
  if (empty || grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535) return fail("invalid grid size"), false;
  return true;
}
static void run_blocks() {
  const dim3 n = g.grid;
  const unsigned long blocks = 1ul * n.x * n.y * n.z, first = std::min(g.only_first, blocks);
  std::vector<unsigned> places;
  permute(places, unsigned(std::min(g.only_count, blocks - first)), 77);
  permute(g.order, g.nthreads, 5);
  for (unsigned k : places) {
    const unsigned long b = first + k;
    g.bid = {unsigned(b % n.x), unsigned(b / n.x % n.y), unsigned(b / n.x / n.y)};
    if (g.order_seed > 1) permute(g.order, g.nthreads, k);
    run_block();
    if (g.failed) return;
  }
}
static int launch(const unsigned* grid, const unsigned* block, void** arguments, void (*body)(void**)) {
  g.failed = false;
  g.error.clear();
  g.launch_serial++;
  if (!fits(grid, block)) return 1;
  g.grid = {grid[0], grid[1], grid[2]};
  g.block = {block[0], block[1], block[2]};
  g.nthreads = block[0] * block[1] * block[2];
  g.body = body;
  g.arguments = arguments;
  g.threads.assign(g.nthreads, Thread());
  g.cur = &g.threads[0];
  g.stacks.reserve(2048);  // so that a Stack stays where it is
  const Guard guard(g.limit_s);
  if (const int signal = sigsetjmp(escape, 1)) {
    fail(std::string(fault_name(signal)) + ", " + where(*g.cur));
  } else {
    run_blocks();
  }
  if (g.failed) drop_stacks();
  return g.failed;
}

// ---- exchange between lanes and between threads -----------------------------------------------------------------------
static unsigned lane() { return g.cur->flat & 31; }

// `site` and the byte behind it stand for the two barriers of an operation: values offered, values taken.
static const void* second(const void* site) { return static_cast<const char*>(site) + 1; }

template <class T> static T shfl(unsigned mask, T v, int source, bool in_range, const void* site) {
  static_assert(sizeof(T) <= 8, "shuffle of more than 8 bytes");
  Thread* t = g.cur;
  t->offer = 0;
  memcpy(&t->offer, &v, sizeof v);
  wait(AT_WARP, site, mask);
  if (in_range) {
    const unsigned from = (t->flat & ~31u) + unsigned(source);
    if (from >= g.nthreads) stop("shuffle reads a lane that the block does not have");
    if (!(mask >> source & 1)) stop("shuffle reads a lane that its mask leaves out");
    memcpy(&v, &g.threads[from].offer, sizeof v);
  }
  wait(AT_WARP, second(site), mask);
  return v;
}
static unsigned ballot(unsigned mask, bool p, const void* site) {
  Thread* t = g.cur;
  t->offer = p;
  wait(AT_WARP, site, mask);
  const unsigned first = t->flat & ~31u;
  unsigned r = 0;
  for (unsigned i = 0; i < 32 && first + i < g.nthreads; i++)
    if (mask >> i & 1) r |= unsigned(g.threads[first + i].offer & 1) << i;
  wait(AT_WARP, second(site), mask);
  return r;
}
static unsigned block_count(bool p, const void* site) {  // live threads of the block for which p holds
  g.cur->offer = p;
  wait(AT_BLOCK, site, 0);
  unsigned n = 0;
  for (auto& each : g.threads) n += each.state != DONE && each.offer;
  wait(AT_BLOCK, second(site), 0);
  return n;
}
static void sync_warp(const void* site, unsigned mask = ~0u) { wait(AT_WARP, site, mask); }
}  // namespace cuhost
