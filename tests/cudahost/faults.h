// Ends the launch, not the process, when a kernel touches memory that is not there, divides by zero or never ends.
// Only the thread that launches is concerned; what happens elsewhere goes its usual way. With AddressSanitizer nothing
// is changed: it reports such faults itself, and better.
#pragma once
#include <csetjmp>
#include <csignal>
#include <pthread.h>
#include <sys/time.h>

namespace cuhost {

static sigjmp_buf escape;
static pthread_t launching;
static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGVTALRM};

static const char* fault_name(int signal) {
  return signal == SIGFPE ? "integer division by zero" : signal == SIGVTALRM ? "does not end" : "memory fault";
}

#if defined(__SANITIZE_ADDRESS__)
struct Guard {
  explicit Guard(unsigned) {}
};
#else
static void on_fault(int signal) {
  if (pthread_equal(pthread_self(), launching)) siglongjmp(escape, signal);
  if (signal == SIGVTALRM) {
    pthread_kill(launching, signal);
  } else {
    std::signal(signal, SIG_DFL);  // the fault comes again at once
  }
}
// Watches over a launch for as long as it lives; `seconds` are of the processor, 0 for no limit.
class Guard {
  struct sigaction before[4];
  stack_t stack_before;
  static void set_timer(unsigned seconds) {
    const itimerval timer = {{0, 0}, {time_t(seconds), 0}};
    setitimer(ITIMER_VIRTUAL, &timer, nullptr);
  }

 public:
  explicit Guard(unsigned seconds) {
    static char memory[64 * 1024];  // a thread that overflows its stack leaves none to the handler
    const stack_t own = {memory, 0, sizeof memory};
    sigaltstack(&own, &stack_before);
    launching = pthread_self();
    struct sigaction action = {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    for (int i = 0; i < 4; i++) sigaction(FAULTS[i], &action, &before[i]);
    set_timer(seconds);
  }
  ~Guard() {
    set_timer(0);
    for (int i = 0; i < 4; i++) sigaction(FAULTS[i], &before[i], nullptr);
    sigaltstack(&stack_before, nullptr);
  }
};
#endif
}  // namespace cuhost
