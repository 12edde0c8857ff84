/* NVML functions of the library and the system, and those that identify a device. */

#include "fake_nvml.h"

EXPORT int nvmlInitWithFlags(unsigned flags) { (void)flags; return init_library(__func__); }
EXPORT int nvmlInit_v2(void) { return init_library(__func__); }
SYSTEM(nvmlShutdown, (void), references--)

EXPORT const char *nvmlErrorString(int code)
{
    static const char *const texts[] = {
        [SUCCESS] = "Success", [UNINITIALIZED] = "Uninitialized",
        [INVALID_ARGUMENT] = "Invalid Argument", [NOT_SUPPORTED] = "Not Supported",
        [NOT_FOUND] = "Not Found", [INSUFFICIENT_SIZE] = "Insufficient Size",
        [FUNCTION_NOT_FOUND] = "Function Not Found", [15] = "GPU is lost",
        [VERSION_MISMATCH] = "Argument Version Mismatch"};
    count_call(__func__);
    int is_known = code >= 0 && code < (int)(sizeof texts / sizeof *texts) && texts[code];
    return is_known ? texts[code] : "Unknown Error";
}

SYSTEM(nvmlSystemGetDriverVersion, (char *out, unsigned n), return copy_text("580.00.01", out, n))
SYSTEM(nvmlSystemGetNVMLVersion, (char *out, unsigned n), return copy_text("13.580.00.01", out, n))
SYSTEM(nvmlSystemGetCudaDriverVersion, (int *out), *out = 13000)
SYSTEM(nvmlSystemGetCudaDriverVersion_v2, (int *out), *out = 13000)
SYSTEM(nvmlDeviceGetCount_v2, (unsigned *out), *out = (unsigned)n_gpus)

SYSTEM(nvmlDeviceGetHandleByIndex_v2, (unsigned index, const Gpu **out),
       REQUIRE(index < (unsigned)n_gpus, INVALID_ARGUMENT);
       *out = &gpus[index];
       return scripted_error(*out, __func__, 1))
SYSTEM(nvmlDeviceGetHandleByUUID, (const char *uuid, const Gpu **out),
       for (*out = gpus; *out < gpus + n_gpus; ++*out)
           if (!strcmp((*out)->uuid, uuid))
               return scripted_error(*out, __func__, 1);
       return NOT_FOUND)

DEVICE(nvmlDeviceGetIndex, (const Gpu *gpu, unsigned *out), *out = (unsigned)(gpu - gpus))
DEVICE(nvmlDeviceGetMinorNumber, (const Gpu *gpu, unsigned *out),
       *out = gpu->minor < 0 ? (unsigned)(gpu - gpus) : (unsigned)gpu->minor)
DEVICE(nvmlDeviceGetName, (const Gpu *gpu, char *out, unsigned n),
       return copy_text(gpu->name, out, n))
DEVICE(nvmlDeviceGetUUID, (const Gpu *gpu, char *out, unsigned n),
       return copy_text(gpu->uuid, out, n))
DEVICE(nvmlDeviceGetVbiosVersion, (const Gpu *gpu, char *out, unsigned n),
       return copy_text("96.00.00.00.01", out, n))
DEVICE(nvmlDeviceGetArchitecture, (const Gpu *gpu, unsigned *out), *out = 9 /* Hopper */)
DEVICE(nvmlDeviceGetCudaComputeCapability, (const Gpu *gpu, int *major, int *minor),
       *major = 9, *minor = 0)
