/* A replacement for NVIDIA's driver library, libnvidia-ml.so.1, that plays a power trace.
 *
 * Tests of the energy code use it on machines without a GPU. The unmodified binding (nvidia-ml-py)
 * loads this library by name, so the tests cross the same ctypes boundary as a real run. Power is a
 * known function of time; the true energy between any two instants is therefore a closed form, and
 * a test can compute the error of a measurement. The sensors read that true power with the flaws of
 * real sensors: they update in steps, they average, they fail.
 *
 *   power_curve.c   the clock; power over time and its integral (the truth)
 *   live_power.c    power that a program sets while the fake runs
 *   counter.c       the energy counter, with its flaws
 *   sensors.c       power, throttling: what the driver would report
 *   neighbours.c    work and memory of others on a GPU, scripted or set while the fake runs
 *   trace_file.c    the trace file and its format
 *   calls.c         counts every call, adds latency, returns scripted errors
 *   nvml_system.c, nvml_energy.c, nvml_state.c    the exported functions of NVML
 *
 * Time is CLOCK_MONOTONIC minus LLEM_FAKE_NVML_EPOCH (seconds; if it is not set, the time of the
 * first init), so several processes share one time. After a call of fake_nvml_set_time it is the
 * virtual clock. On the virtual clock, latency moves the clock instead of sleeping. After a call of
 * fake_nvml_begin it is real again and starts at 0.
 *
 * A mistake in the trace must not become a GPU that behaves oddly: init then returns
 * NVML_ERROR_UNKNOWN and prints one line to stderr with the place of the mistake.
 *
 * Source: NVML API reference; symbol names and struct layouts as nvidia-ml-py 13.615 loads them.
 */

#ifndef FAKE_NVML_H
#define FAKE_NVML_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_GPUS 32
#define TEXT_BYTES 96   /* NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE */
#define ROUNDING 1e-7   /* of a period: 0.3 / 0.1 is 2.9999999999999996, but 0.3 is an update */

enum { /* nvmlReturn_t */
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, VERSION_MISMATCH = 25, UNKNOWN = 999
};
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 }; /* nvmlValueType_t */
enum { POWER_REASONS = 0x4 | 0x80, THERMAL_REASONS = 0x20 | 0x40 };
enum { GPU_SCOPE, MODULE_SCOPE, MEMORY_SCOPE }; /* of fields 185 and 186 */
enum { TOTAL_POWER_SAMPLES = 0, RING_ENTRIES = 120 };

typedef struct { double t_s, value, area; } Point; /* area: from the first point to this one */
typedef struct { Point *points; int n_points, linear; double repeat_s; } Curve;
typedef enum {
    THROTTLE, STALL, RESET, FAULT, FAULT_CALL, LATENCY, COMPUTE_PROCESS, GRAPHICS_PROCESS,
    MPS_PROCESS, NEIGHBOUR
} Kind;
typedef struct { /* one timed line of the trace file */
    Kind kind;
    double t0_s, t1_s; /* [t0_s, t1_s); for FAULT_CALL these are call numbers */
    double value;      /* bits, code, microseconds or bytes */
    uint32_t pid;      /* for a NEIGHBOUR the percentage of time in which it is busy */
    char function[64];
} Event;
typedef struct {
    char name[TEXT_BYTES], uuid[TEXT_BYTES];
    Curve watts, celsius;
    Event *events;
    int n_events;
    struct {
        double period_s, phase_s, initial_mj, gain, jitter_s, quantum_mj;
        double filter_s, delay_s, seen_s, burst_s, threshold_w, bits, is_float32;
    } counter;
    struct { double n, low_w, high_w; } every; /* of n updates, one is made in this range of power */
    struct { double period_s, average_window_s, instant_window_s; } power;
    double power_filter_s, power_delay_s;
    double module_w, memory_share, sample_period_s;
    double limit_w, idle_w, mig, persistence, virtualization, memory;
    struct { double sm, memory, default_sm, default_memory; } application_mhz;
    double locked_mhz; /* 0: not locked */
    double minor;      /* of the device file; below 0: the index */
} Gpu;

/* ---- State: gpus in trace_file.c, clock in power_curve.c, references in calls.c --------------- */

extern Gpu gpus[MAX_GPUS]; /* written by the first init only; a handle is a pointer into it */
extern int n_gpus, is_loaded;
extern double epoch_s, wall_at_epoch_s;
extern _Atomic double virtual_s; /* NAN: the real clock runs */
extern atomic_uint references; /* inits minus shutdowns */

/* ---- power_curve.c --------------------------------------------------------------------------- */

double clock_s(clockid_t clock);
EXPORT void fake_nvml_set_time(double t_s);
EXPORT void fake_nvml_begin(void);
EXPORT double fake_nvml_now(void);
/* The value of a curve at one instant; the true energy of a GPU between two. */
double value_at(const Curve *curve, double t_s);
double joules_between(const Gpu *gpu, double t0_s, double t1_s);

/* ---- neighbours.c ---------------------------------------------------------------------------- */

double neighbour_percent(const Gpu *gpu, double t_s);
uint64_t neighbour_bytes(const Gpu *gpu, double t_s);
uint32_t live_neighbour_pid(const Gpu *gpu); /* 0: none */

/* ---- sensors.c ------------------------------------------------------------------------------- */

#define EACH_EVENT(event, gpu, KIND) \
    for (const Event *event = gpu->events; event < gpu->events + gpu->n_events; event++) \
        if (event->kind == KIND)

/* Whether `t_s` lies in the interval of an event. */
int covers(const Event *event, double t_s);
/* The last multiple of the period that is not after `t_s`. */
double last_update_s(double t_s, double period_s);
/* What the driver reports at `t_s`; the counter is in counter.c. */
uint64_t counter_mj(const Gpu *gpu, double t_s);
uint32_t mean_mw(const Gpu *gpu, double end_s, double window_s);
uint32_t power_mw(const Gpu *gpu, double t_s, double window_s);
double filtered_w(const Gpu *gpu, double t_s, double tau_s);
uint64_t throttle_reasons(const Gpu *gpu, double t_s);
uint64_t violation_ns(const Gpu *gpu, double t_s, unsigned reasons);
int64_t latency_us(const Gpu *gpu, double t_s);

/* ---- trace_file.c ---------------------------------------------------------------------------- */

int load_trace(void); /* 0 if the trace has a mistake, which is printed */

/* ---- calls.c: what every exported function does first ---------------------------------------- */

void count_call(const char *function);
/* These return the NVML code with which the call must fail, or SUCCESS. */
int scripted_error(const Gpu *gpu, const char *function, int takes_gpu);
int enter_system(const char *function);
int enter_device(const char *function, const Gpu *gpu);
int init_library(const char *function);
int copy_text(const char *text, char *out, unsigned size);

/* An exported function: its name, its parameters in brackets, the statements that answer.
 * Pointers are not checked: the binding never passes a null pointer that is written to. */
#define REQUIRE(condition, code) if (!(condition)) return code
#define SYSTEM(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        int error_code = enter_system(__func__); \
        REQUIRE(error_code == SUCCESS, error_code); \
        __VA_ARGS__; \
        return SUCCESS; \
    }
#define DEVICE(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        int error_code = enter_device(__func__, gpu); \
        REQUIRE(error_code == SUCCESS, error_code); \
        double t_s = fake_nvml_now(); /* once: all values of a call belong to one instant */ \
        (void)t_s; \
        __VA_ARGS__; \
        return SUCCESS; \
    }

#endif
