/* A replacement for AMD's library, libamd_smi.so, on the traces of the fake NVIDIA driver.
 *
 * It is compiled together with `nvml_library`: the power curve, the counter with its flaws, the
 * faults and the clock are the same code. A handle of a socket and of its processor is a pointer to
 * the GPU. A GPU with `mig` is split in two partitions, as two processors on one socket.
 *
 * As in AMD's library, one count is 2^-16 J, but the resolution that is reported is 15.3 uJ.
 * Source: AMD SMI C API reference.
 */

#include "../nvml_library/fake_nvml.h"

enum { AMD_INVAL = 1, AMD_NOT_SUPPORTED = 2, AMD_API_FAILED = 7, AMD_NOT_INIT = 32 };
enum { TYPE_AMD_GPU = 1, JUNCTION = 1, VRAM = 0, GFX = 0, MEM = 4, AMD_GPUS = 2 };
#define COUNTS_PER_J 65536.0

static int is_gpu(const Gpu *gpu) { return gpu >= gpus && gpu < gpus + n_gpus; }

/* As DEVICE and SYSTEM, but with the status codes of AMD for what is not scripted. */
#define AMD_SYSTEM(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        REQUIRE(references, AMD_NOT_INIT); \
        int error_code = enter_system(__func__); \
        REQUIRE(error_code == SUCCESS, error_code); \
        __VA_ARGS__; \
        return SUCCESS; \
    }
#define AMD_DEVICE(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        REQUIRE(references, AMD_NOT_INIT); \
        REQUIRE(is_gpu(gpu), AMD_INVAL); \
        int error_code = enter_device(__func__, gpu); \
        REQUIRE(error_code == SUCCESS, error_code); \
        double t_s = fake_nvml_now(); \
        (void)t_s; \
        __VA_ARGS__; \
        return SUCCESS; \
    }

EXPORT int amdsmi_init(uint64_t flags)
{
    REQUIRE(flags == AMD_GPUS, AMD_INVAL);
    int code = init_library(__func__);
    return code == UNKNOWN ? AMD_API_FAILED : code;
}

/* Year or major number, and three more. */
AMD_SYSTEM(amdsmi_get_lib_version, (uint32_t out[4]), memcpy(out, (uint32_t[]){26, 0, 2, 0}, 16))
/* Without a buffer the call returns how many handles there are. */
AMD_SYSTEM(amdsmi_get_socket_handles, (uint32_t *n, const Gpu **out),
           if (!out) *n = (uint32_t)n_gpus;
           for (uint32_t i = 0; out && i < *n; i++) out[i] = &gpus[i])
AMD_SYSTEM(amdsmi_get_processor_handles, (const Gpu *gpu, uint32_t *n, const Gpu **out),
           REQUIRE(is_gpu(gpu), AMD_INVAL);
           if (!out) *n = gpu->mig ? 2 : 1;
           for (uint32_t i = 0; out && i < *n; i++) out[i] = gpu)
AMD_SYSTEM(amdsmi_get_processor_type, (const Gpu *gpu, uint32_t *out),
           REQUIRE(is_gpu(gpu), AMD_INVAL);
           *out = TYPE_AMD_GPU)

AMD_DEVICE(amdsmi_get_gpu_device_uuid, (const Gpu *gpu, uint32_t *n, char *out),
           return copy_text(gpu->uuid, out, *n))
/* GPU 0 is on bus c1, GPU 1 on bus c2. */
AMD_DEVICE(amdsmi_get_gpu_bdf_id, (const Gpu *gpu, uint64_t *out),
           *out = (uint64_t)(0xc1 + (gpu - gpus)) << 8)
AMD_DEVICE(amdsmi_get_gpu_asic_info, (const Gpu *gpu, char *out), strcpy(out, gpu->name))

AMD_DEVICE(amdsmi_get_energy_count,
           (const Gpu *gpu, uint64_t *count, float *resolution_uj, uint64_t *stamp_ns),
           *count = (uint64_t)llround(1e-3 * (double)counter_mj(gpu, t_s) * COUNTS_PER_J);
           *resolution_uj = 15.3f;
           *stamp_ns = (uint64_t)llround(1e9 * fmax(0, t_s)))
AMD_DEVICE(amdsmi_get_temp_metric, (const Gpu *gpu, int sensor, int metric, int64_t *out),
           REQUIRE(sensor == JUNCTION && metric == 0, AMD_NOT_SUPPORTED);
           *out = lround(value_at(&gpu->celsius, t_s)))
AMD_DEVICE(amdsmi_get_clock_info, (const Gpu *gpu, int clock, uint32_t *out),
           REQUIRE(clock == GFX || clock == MEM, AMD_NOT_SUPPORTED);
           *out = clock == GFX ? 2100 : 1300)
AMD_DEVICE(amdsmi_get_gpu_activity, (const Gpu *gpu, uint32_t *out),
           *out = (uint32_t)lround(100 * fmin(1, value_at(&gpu->watts, t_s) / gpu->limit_w)))
AMD_DEVICE(amdsmi_get_gpu_memory_usage, (const Gpu *gpu, int kind, uint64_t *out),
           REQUIRE(kind == VRAM, AMD_NOT_SUPPORTED);
           *out = neighbour_bytes(gpu, t_s))
AMD_DEVICE(amdsmi_get_gpu_memory_total, (const Gpu *gpu, int kind, uint64_t *out),
           REQUIRE(kind == VRAM, AMD_NOT_SUPPORTED);
           *out = (uint64_t)gpu->memory)
