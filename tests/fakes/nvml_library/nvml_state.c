/* NVML functions of the state of a device: clocks, temperature, modes, memory, processes. */

#include "fake_nvml.h"

typedef struct { uint32_t pid; uint64_t used; uint32_t gpu_instance, compute_instance; } Process;
typedef struct { uint32_t version, sensor; int32_t temperature; } Temperature;
typedef struct { uint32_t gpu, memory; } Utilization;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { uint32_t version; uint64_t total, reserved, free, used; } MemoryV2;

static const unsigned max_mhz[] = {1980, 1980, 3201, 1545}; /* graphics, SM, memory, video */
enum { LIMITED_BY_SETTING = 0x2 };
enum { MEMORY_CLOCK = 2 }; /* the only clock that throttling and a lock do not change here */

static unsigned current_mhz(const Gpu *gpu, unsigned type, double t_s)
{
    unsigned mhz = gpu->locked_mhz && type < MEMORY_CLOCK ? (unsigned)gpu->locked_mhz : max_mhz[type];
    return mhz / (type != MEMORY_CLOCK && throttle_reasons(gpu, t_s) & ~LIMITED_BY_SETTING ? 2 : 1);
}

DEVICE(nvmlDeviceGetClockInfo, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       *out = current_mhz(gpu, type, t_s))
DEVICE(nvmlDeviceGetMaxClockInfo, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       *out = max_mhz[type])
DEVICE(nvmlDeviceGetApplicationsClock, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       REQUIRE(type <= MEMORY_CLOCK, NOT_SUPPORTED);
       *out = (unsigned)(type == MEMORY_CLOCK ? gpu->application_mhz.memory : gpu->application_mhz.sm))
DEVICE(nvmlDeviceGetDefaultApplicationsClock, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       REQUIRE(type <= MEMORY_CLOCK, NOT_SUPPORTED);
       *out = (unsigned)(type == MEMORY_CLOCK ? gpu->application_mhz.default_memory
                                              : gpu->application_mhz.default_sm))
DEVICE(nvmlDeviceGetCurrentClocksEventReasons, (const Gpu *gpu, uint64_t *out),
       *out = throttle_reasons(gpu, t_s))
DEVICE(nvmlDeviceGetCurrentClocksThrottleReasons, (const Gpu *gpu, uint64_t *out),
       *out = throttle_reasons(gpu, t_s))
DEVICE(nvmlDeviceGetSupportedClocksEventReasons, (const Gpu *gpu, uint64_t *out), *out = 0x1ff)
DEVICE(nvmlDeviceGetTemperature, (const Gpu *gpu, unsigned sensor, unsigned *out),
       REQUIRE(sensor == 0, INVALID_ARGUMENT);
       *out = (unsigned)lround(value_at(&gpu->celsius, t_s)))
/* A version is the size of the caller's struct with the number of its layout in the top byte. */
DEVICE(nvmlDeviceGetTemperatureV, (const Gpu *gpu, Temperature *out),
       REQUIRE(out->version == (sizeof *out | 1u << 24), VERSION_MISMATCH);
       REQUIRE(out->sensor == 0, INVALID_ARGUMENT);
       out->temperature = (int32_t)lround(value_at(&gpu->celsius, t_s)))
DEVICE(nvmlDeviceGetPerformanceState, (const Gpu *gpu, unsigned *out), *out = 0)
DEVICE(nvmlDeviceGetPersistenceMode, (const Gpu *gpu, unsigned *out), *out = gpu->persistence != 0)
DEVICE(nvmlDeviceGetVirtualizationMode, (const Gpu *gpu, unsigned *out),
       *out = (unsigned)gpu->virtualization)
DEVICE(nvmlDeviceGetC2cModeInfoV, (const Gpu *gpu, unsigned *is_enabled),
       *is_enabled = gpu->module_w > 0) /* the link to the CPU of the module */
DEVICE(nvmlDeviceGetComputeMode, (const Gpu *gpu, unsigned *out), *out = 0)
DEVICE(nvmlDeviceGetEccMode, (const Gpu *gpu, unsigned *now, unsigned *next), *now = *next = 1)
DEVICE(nvmlDeviceGetMigMode, (const Gpu *gpu, unsigned *now, unsigned *next),
       *now = *next = gpu->mig != 0)
DEVICE(nvmlDeviceGetUtilizationRates, (const Gpu *gpu, Utilization *out),
       REQUIRE(!gpu->mig, NOT_SUPPORTED); /* as documented for a GPU in MIG mode */
       double over_w = fmax(0, value_at(&gpu->watts, t_s) - gpu->idle_w);
       double load = fmin(1, over_w / (gpu->limit_w - gpu->idle_w));
       uint32_t percent = (uint32_t)lround(fmax(100 * load, neighbour_percent(gpu, t_s)));
       *out = (Utilization){percent, percent / 2})
enum { RESERVED_GIB = 2 }; /* by the driver for itself */
DEVICE(nvmlDeviceGetMemoryInfo, (const Gpu *gpu, Memory *out), /* `used` includes the reserved */
       uint64_t total = (uint64_t)gpu->memory;
       uint64_t used = ((uint64_t)RESERVED_GIB << 30) + neighbour_bytes(gpu, t_s);
       *out = (Memory){total, total - used, used})
DEVICE(nvmlDeviceGetMemoryInfo_v2, (const Gpu *gpu, MemoryV2 *out),
       REQUIRE(out->version == (sizeof *out | 2u << 24), VERSION_MISMATCH);
       uint64_t total = (uint64_t)gpu->memory, used = neighbour_bytes(gpu, t_s);
       uint64_t reserved = (uint64_t)RESERVED_GIB << 30;
       *out = (MemoryV2){out->version, total, reserved, total - reserved - used, used})

static int list_processes(const Gpu *gpu, double t_s, Kind kind, unsigned *n, Process *out)
{
    unsigned n_max = *n;
    *n = 0;
    EACH_EVENT(event, gpu, kind)
        if (covers(event, t_s) && (*n)++ < n_max)
            out[*n - 1] = (Process){event->pid, (uint64_t)event->value, UINT32_MAX, UINT32_MAX};
    uint32_t live_pid = kind == COMPUTE_PROCESS ? live_neighbour_pid(gpu) : 0;
    if (live_pid && (*n)++ < n_max)
        out[*n - 1] = (Process){live_pid, neighbour_bytes(gpu, t_s), UINT32_MAX, UINT32_MAX};
    return *n <= n_max ? SUCCESS : INSUFFICIENT_SIZE;
}

DEVICE(nvmlDeviceGetComputeRunningProcesses_v3, (const Gpu *gpu, unsigned *n, Process *out),
       return list_processes(gpu, t_s, COMPUTE_PROCESS, n, out))
DEVICE(nvmlDeviceGetGraphicsRunningProcesses_v3, (const Gpu *gpu, unsigned *n, Process *out),
       return list_processes(gpu, t_s, GRAPHICS_PROCESS, n, out))
DEVICE(nvmlDeviceGetMPSComputeRunningProcesses_v3, (const Gpu *gpu, unsigned *n, Process *out),
       return list_processes(gpu, t_s, MPS_PROCESS, n, out))
