// A stand-in for the NVIDIA driver's library, so that the real CuPy can be shown broken drivers on any machine:
//   gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o FOLDER/libcuda.so.1 fake_libcuda.c, then LD_LIBRARY_PATH=FOLDER.
// By environment variable: FAKE_DRIVER the CUDA version it is for (13000); FAKE_INIT what cuInit returns (100);
// FAKE_COUNT devices (0); FAKE_ERROR what every call returns that is not implemented here (999).
#include <stdlib.h>
#include <string.h>

static int setting(const char *name, int otherwise) {
  const char *value = getenv(name);
  return value ? atoi(value) : otherwise;
}

static int unimplemented(void) { return setting("FAKE_ERROR", 999); }

int cuDriverGetVersion(int *version) {
  *version = setting("FAKE_DRIVER", 13000);
  return 0;
}

int cuInit(unsigned flags) {
  (void)flags;
  return setting("FAKE_INIT", 100);
}

int cuDeviceGetCount(int *count) {
  *count = setting("FAKE_COUNT", 0);
  return 0;
}

int cuDeviceGet(int *device, int ordinal) {
  *device = ordinal;
  return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;
  return 0;
}

int cuDeviceGetName(char *name, int length, int device) {
  (void)device;
  strncpy(name, "stand-in", length);
  return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  (void)device;
  *bytes = (size_t)1 << 34;
  return 0;
}

int cuDeviceGetUuid_v2(char *uuid, int device) {
  memset(uuid, device, 16);
  return 0;
}

int cuGetErrorString(int error, const char **text) {
  (void)error;
  *text = "error of the stand-in";
  return 0;
}

int cuGetErrorName(int error, const char **text) {
  (void)error;
  *text = "STAND_IN";
  return 0;
}

int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status);

#define ENTRY(name) {#name, (void *)name}
static const struct {
  const char *name;
  void *function;
} table[] = {
    ENTRY(cuDriverGetVersion),
    ENTRY(cuInit),
    ENTRY(cuDeviceGetCount),
    ENTRY(cuDeviceGet),
    ENTRY(cuDeviceGetAttribute),
    ENTRY(cuDeviceGetName),
    ENTRY(cuGetErrorString),
    ENTRY(cuGetErrorName),
    {"cuDeviceTotalMem", (void *)cuDeviceTotalMem_v2},
    {"cuDeviceGetUuid", (void *)cuDeviceGetUuid_v2},
    {"cuGetProcAddress", (void *)cuGetProcAddress_v2},
};

int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status) {
  (void)version;
  (void)flags;
  *function = (void *)unimplemented;
  for (unsigned i = 0; i < sizeof table / sizeof *table; i++)
    if (!strcmp(name, table[i].name)) *function = table[i].function;
  if (status) *status = 0;
  return 0;
}
