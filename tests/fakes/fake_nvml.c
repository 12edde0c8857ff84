/* A stand-in for NVIDIA's driver library, libnvidia-ml.so.1, played from a power trace.
 *
 * What it is for: tests of the energy code on machines without a GPU. The unmodified binding
 * (nvidia-ml-py) loads this library by name, so the tests cross the same ctypes edge as a real
 * run. Power is a known function of time; the true energy between any two instants is therefore
 * a closed form, and a test can say how wrong a measurement was. Sensors sit on top of that
 * truth with the flaws of real ones: they step, they average, they fail.
 *
 * Trace file, named by LLEM_FAKE_NVML. One statement a line, `#` begins a comment line, times are
 * seconds since the epoch of the fake, intervals are [T0, T1) and T1 may be `inf`.
 *
 *   gpu                                begins the next GPU; what follows belongs to it
 *   name TEXT          uuid TEXT
 *   point T WATTS                      at least one, in time order; the first and the last power
 *                                      hold before and after (with `repeat`: inside each period)
 *   shape step|linear                  what happens between points; step holds the earlier power
 *   repeat SECONDS                     play the points again and again; 0: once
 *   counter PERIOD PHASE MJ GAIN       updates at PHASE + k PERIOD; an ideal counter would show MJ
 *                                      millijoules at time 0; GAIN 1.05 overstates by 5 %
 *   counter_jitter SECONDS             each update comes up to this much early or late; how much
 *                                      looks random and is the same in every process
 *   counter_quantum MJ                 the counter shows whole multiples of MJ (1)
 *   power PERIOD AVERAGE INSTANT       both powers update at k PERIOD; their averaging windows in
 *                                      seconds (0: no averaging). nvmlDeviceGetPowerUsage is the
 *                                      average, as on Hopper
 *   module_w WATTS                     what the rest of a Grace Hopper module draws: both powers
 *                                      then have a scope 1, the GPU and this; 0: no such scope
 *   memory_share SHARE                 the part of the power that is the memory's: both powers
 *                                      then have a scope 2, this part; 0: no such scope
 *   samples PERIOD                     spacing of the ring of the last 120 power samples; each is
 *                                      the mean since the one before
 *   temperature T C                    a point of the temperature, linear in between; 45 C if none
 *   limit_w WATTS      mig 0|1         persistence 0|1      virtualization MODE
 *   memory BYTES                       of the board: 1 GiB is reserved, and 1 GiB used
 *   process PID BYTES [T0 T1]          computes on this GPU
 *   graphics_process PID BYTES [T0 T1]
 *   throttle T0 T1 BITS                bits of the clock event reasons. Bits 0x84 also count into
 *                                      field 74 (power), bits 0x60 into field 75 (thermal); time
 *                                      that two lines of one kind share counts twice
 *   stall T0 T1                        the energy counter misses its updates in this interval
 *   reset T                            the energy counter starts again from 0
 *   fault FUNCTION CODE T0 T1          FUNCTION returns this NVML code. `field:83` faults one
 *                                      value of nvmlDeviceGetFieldValues; `*` faults every call on
 *                                      this GPU (a lost device). A function that takes no GPU is
 *                                      faulted by a line under any GPU
 *   fault_call FUNCTION CODE N0 N1     the same for calls N0 to N1, the last one included. Each
 *                                      process counts its calls of one function from 1, whatever
 *                                      the GPU
 *   missing FUNCTION                   returns NVML_ERROR_FUNCTION_NOT_FOUND, always
 *   latency_us N [T0 T1]               every call on this GPU takes this much longer
 *
 * Time is CLOCK_MONOTONIC minus LLEM_FAKE_NVML_EPOCH (seconds; the first init if unset), so helper
 * processes agree; or the virtual clock, once fake_nvml_set_time was called. On the virtual clock
 * latency moves the clock instead of sleeping.
 *
 * A mistake in the trace must not become a GPU that behaves oddly: init then returns
 * NVML_ERROR_UNKNOWN and one line on stderr names the place.
 *
 * Source: NVML API reference; symbol names and struct layouts as nvidia-ml-py 13.615 loads them.
 */

#define _GNU_SOURCE /* dladdr */
#include <ctype.h>
#include <dlfcn.h>
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
#define MAX_FUNCTIONS 64
#define TEXT_BYTES 96   /* NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE */
#define ROUNDING 1e-7   /* of a period: 0.3 / 0.1 is 2.9999999999999996, yet 0.3 is an update */

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
    THROTTLE, STALL, RESET, FAULT, FAULT_CALL, LATENCY, COMPUTE_PROCESS, GRAPHICS_PROCESS
} Kind;
typedef struct {
    Kind kind;
    double t0_s, t1_s; /* of a FAULT_CALL: numbers of calls */
    double value;      /* bits, code, microseconds or bytes */
    uint32_t pid;
    char function[64];
} Event;
typedef struct {
    char name[TEXT_BYTES], uuid[TEXT_BYTES];
    Curve watts, celsius;
    Event *events;
    int n_events;
    struct { double period_s, phase_s, initial_mj, gain, jitter_s, quantum_mj; } counter;
    struct { double period_s, average_window_s, instant_window_s; } power;
    double module_w, memory_share, sample_period_s;
    double limit_w, mig, persistence, virtualization, memory;
} Gpu;
typedef struct { /* nvmlFieldValue_t */
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    uint32_t type, code;
    union { uint32_t ui; uint64_t ull; } value;
} FieldValue;
typedef struct { uint64_t timestamp_us; union { uint32_t ui; uint64_t ull; } value; } Sample;
typedef struct { uint32_t pid; uint64_t used; uint32_t gpu_instance, compute_instance; } Process;
typedef struct { uint32_t version, sensor; int32_t temperature; } Temperature;
typedef struct { uint32_t gpu, memory; } Utilization;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { uint32_t version; uint64_t total, reserved, free, used; } MemoryV2;

static Gpu gpus[MAX_GPUS]; /* written by the first init only; a handle is a pointer into it */
static int n_gpus, loaded;
static double epoch_s, wall_at_epoch_s;
static _Atomic double virtual_s = NAN; /* NAN: the real clock runs */
static atomic_uint references;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards loading and the call counts */
static struct { const char *function; unsigned long calls; } counted[MAX_FUNCTIONS];
static _Thread_local unsigned long call_number; /* of the call that this thread is in */

/* ---- Time ------------------------------------------------------------------------------------ */

static double clock_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

EXPORT void fake_nvml_set_time(double t_s) { virtual_s = t_s; }

/* Seconds since the epoch of the fake. */
EXPORT double fake_nvml_now(void)
{
    double t_s = virtual_s;
    return isnan(t_s) ? clock_s(CLOCK_MONOTONIC) - epoch_s : t_s;
}

/* ---- Truth: curves over time and their integrals --------------------------------------------- */

static const Point *point_before(const Curve *curve, double t_s) /* the first if there is none */
{
    int low = 0, high = curve->n_points;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        *(curve->points[middle].t_s <= t_s ? &low : &high) = middle;
    }
    return &curve->points[low];
}

static double slope_per_s(const Curve *curve, const Point *from, double t_s)
{
    const Point *last = &curve->points[curve->n_points - 1];
    int holds = !curve->linear || t_s < from->t_s || from == last;
    return holds ? 0 : (from[1].value - from->value) / (from[1].t_s - from->t_s);
}

/* Area from the first point to `t_s` without repeats; negative before the first point. */
static double pass_area(const Curve *curve, double t_s)
{
    const Point *from = point_before(curve, t_s);
    double elapsed_s = t_s - from->t_s, slope = slope_per_s(curve, from, t_s);
    return from->area + elapsed_s * (from->value + elapsed_s * slope / 2);
}

static double area_since_zero(const Curve *curve, double t_s)
{
    double passes = curve->repeat_s > 0 ? floor(t_s / curve->repeat_s) : 0;
    double at_zero = pass_area(curve, 0);
    return passes * (pass_area(curve, curve->repeat_s) - at_zero)
           + pass_area(curve, t_s - passes * curve->repeat_s) - at_zero;
}

static double value_at(const Curve *curve, double t_s)
{
    if (curve->repeat_s > 0)
        t_s -= curve->repeat_s * floor(t_s / curve->repeat_s + ROUNDING);
    const Point *from = point_before(curve, t_s + ROUNDING);
    return from->value + (t_s - from->t_s) * slope_per_s(curve, from, t_s);
}

static double joules_between(const Gpu *gpu, double t0_s, double t1_s)
{
    return area_since_zero(&gpu->watts, t1_s) - area_since_zero(&gpu->watts, t0_s);
}

/* ---- Sensors: what the driver would show ----------------------------------------------------- */

#define EACH_EVENT(event, gpu, KIND) \
    for (const Event *event = gpu->events; event < gpu->events + gpu->n_events; event++) \
        if (event->kind == KIND)

static int covers(const Event *event, double t_s)
{
    return event->t0_s <= t_s && t_s < event->t1_s;
}

/* The last multiple of the period that is not after `t_s`. */
static double last_update_s(double t_s, double period_s)
{
    return period_s * floor(t_s / period_s + ROUNDING);
}

/* -1 to 1, the same for the same `k`. Source: the finaliser of splitmix64 (public domain). */
static double noise(int64_t k)
{
    uint64_t bits = (uint64_t)k * 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return (double)(bits >> 11) / (double)(1ull << 52) - 1;
}

static double counter_update_s(const Gpu *gpu, double k)
{
    return gpu->counter.phase_s + gpu->counter.period_s * k
           + gpu->counter.jitter_s * noise((int64_t)k);
}

static double last_counter_update_s(const Gpu *gpu, double t_s)
{
    double period_s = gpu->counter.period_s;
    double k = floor((t_s - gpu->counter.phase_s) / period_s + ROUNDING) + 1; /* one may be early */
    while (counter_update_s(gpu, k) > t_s + ROUNDING * period_s)
        k--;
    return counter_update_s(gpu, k);
}

static uint64_t counter_mj(const Gpu *gpu, double t_s)
{
    double rounding_s = ROUNDING * gpu->counter.period_s, reset_s = -INFINITY;
    double shown_s = last_counter_update_s(gpu, t_s);
    for (int is_lost = 1; is_lost;) {
        is_lost = 0; /* the update before one stall may be lost to another: look again */
        EACH_EVENT(event, gpu, STALL)
            if (covers(event, shown_s + rounding_s)) {
                shown_s = last_counter_update_s(gpu, event->t0_s - 2 * rounding_s);
                is_lost = 1;
            }
    }
    EACH_EVENT(event, gpu, RESET)
        if (event->t0_s <= t_s)
            reset_s = fmax(reset_s, event->t0_s);
    int is_reset = isfinite(reset_s);
    double mj = 1000 * gpu->counter.gain * joules_between(gpu, is_reset ? reset_s : 0, shown_s);
    mj += is_reset ? 0 : gpu->counter.initial_mj;
    double steps = round(mj / gpu->counter.quantum_mj);
    return steps > 0 ? (uint64_t)steps * (uint64_t)gpu->counter.quantum_mj
                     : 0; /* below 0 until the first update after a reset */
}

static uint32_t mean_mw(const Gpu *gpu, double end_s, double window_s)
{
    double w = window_s == 0 ? value_at(&gpu->watts, end_s)
                             : joules_between(gpu, end_s - window_s, end_s) / window_s;
    return (uint32_t)lround(1000 * w);
}

static uint32_t power_mw(const Gpu *gpu, double t_s, double window_s)
{
    return mean_mw(gpu, last_update_s(t_s, gpu->power.period_s), window_s);
}

static uint64_t throttle_reasons(const Gpu *gpu, double t_s)
{
    uint64_t reasons = 0;
    EACH_EVENT(event, gpu, THROTTLE)
        if (covers(event, t_s))
            reasons |= (uint64_t)event->value;
    return reasons;
}

/* Nanoseconds, up to `t_s`, in which one of `reasons` slowed the GPU. */
static uint64_t violation_ns(const Gpu *gpu, double t_s, unsigned reasons)
{
    double total_s = 0;
    EACH_EVENT(event, gpu, THROTTLE)
        if ((unsigned)event->value & reasons)
            total_s += fmax(0, fmin(t_s, event->t1_s) - event->t0_s);
    return (uint64_t)llround(1e9 * total_s);
}

static int64_t latency_us(const Gpu *gpu, double t_s)
{
    double total_us = 0;
    EACH_EVENT(event, gpu, LATENCY)
        if (covers(event, t_s))
            total_us += event->value;
    return (int64_t)total_us;
}

/* ---- Trace file ------------------------------------------------------------------------------ */

/* A misspelt function would be a fault that never happens, and a test that cannot fail. */
static int is_faultable(const char *function)
{
    unsigned field;
    char rest;
    Dl_info self;
    if (!strcmp(function, "*") || sscanf(function, "field:%u%c", &field, &rest) == 1)
        return 1;
    dladdr((void *)gpus, &self);
    void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    return !strncmp(function, "nvml", 4) && library && dlsym(library, function);
}

/* How many numbers `text` holds (at most 4, written to `out`); -1 if it holds anything else. */
static int read_numbers(const char *text, double out[4])
{
    for (int n = 0;; n++) {
        char *end;
        text += strspn(text, " \t");
        if (!*text)
            return n;
        double number = strtod(text, &end);
        if (n == 4 || isnan(number) || end == text || !strchr(" \t", *end))
            return -1;
        out[n] = number;
        text = end;
    }
}

static const char *add_event(Gpu *gpu, Event event)
{
    if (!(event.t0_s < event.t1_s) || !isfinite(event.value))
        return "an interval must end after it begins, and only its end may be inf";
    gpu->events = realloc(gpu->events, (size_t)(gpu->n_events + 1) * sizeof event);
    gpu->events[gpu->n_events++] = event;
    return NULL;
}

static const char *add_fault(Gpu *gpu, const char *word, const char *text)
{
    Event event = {FAULT, -INFINITY, INFINITY, FUNCTION_NOT_FOUND, 0, ""};
    double v[4];
    int length = 0;
    if (sscanf(text, "%63s%n", event.function, &length) != 1 || !is_faultable(event.function))
        return "this fake has no such function";
    int n = read_numbers(text + length, v);
    if (!strcmp(word, "missing"))
        return n == 0 ? add_event(gpu, event) : "expected: missing FUNCTION";
    if (n != 3 || !isfinite(v[1]) || v[0] != floor(v[0]) || v[0] < 1 || v[0] > UNKNOWN)
        return "expected: fault FUNCTION CODE and two times or calls, with a code from 1 to 999";
    event.value = v[0], event.t0_s = v[1], event.t1_s = v[2];
    if (!strcmp(word, "fault_call"))
        event.kind = FAULT_CALL, event.t1_s += 1; /* the last call is included */
    return add_event(gpu, event);
}

static const char *add_point(Curve *curve, double t_s, double value)
{
    const Point *last = curve->n_points ? &curve->points[curve->n_points - 1] : NULL;
    if (!isfinite(value) || value < 0 || (last && t_s <= last->t_s))
        return "points need rising times and values of 0 or more";
    curve->points = realloc(curve->points, (size_t)(curve->n_points + 1) * sizeof *last);
    curve->points[curve->n_points++] = (Point){t_s, value, 0};
    return NULL;
}

static const char *set_numbers(Gpu *gpu, const char *word, const double *v, int n)
{
    static const struct { const char *word; size_t offset; int n; } settings[] = {
        {"counter", offsetof(Gpu, counter), 4}, {"power", offsetof(Gpu, power), 3},
        {"counter_jitter", offsetof(Gpu, counter.jitter_s), 1},
        {"counter_quantum", offsetof(Gpu, counter.quantum_mj), 1},
        {"module_w", offsetof(Gpu, module_w), 1}, {"memory_share", offsetof(Gpu, memory_share), 1},
        {"samples", offsetof(Gpu, sample_period_s), 1}, {"limit_w", offsetof(Gpu, limit_w), 1},
        {"repeat", offsetof(Gpu, watts.repeat_s), 1}, {"mig", offsetof(Gpu, mig), 1},
        {"persistence", offsetof(Gpu, persistence), 1},
        {"virtualization", offsetof(Gpu, virtualization), 1},
        {"memory", offsetof(Gpu, memory), 1}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!strcmp(word, settings[i].word) && n == settings[i].n) {
            memcpy((char *)gpu + settings[i].offset, v, (size_t)n * sizeof *v);
            return NULL;
        }
    return "unknown statement, or not the numbers that it needs";
}

static const char *read_numeric(Gpu *gpu, const char *word, const char *text)
{
    double v[4] = {0};
    int n = read_numbers(text, v);
    int is_graphics = !strcmp(word, "graphics_process");
    if (n > 0 && !isfinite(v[0]))
        return "expected a finite number first";
    if (!strcmp(word, "point") && n == 2)
        return add_point(&gpu->watts, v[0], v[1]);
    if (!strcmp(word, "temperature") && n == 2)
        return add_point(&gpu->celsius, v[0], v[1]);
    if (!strcmp(word, "throttle") && n == 3)
        return add_event(gpu, (Event){THROTTLE, v[0], v[1], v[2], 0, ""});
    if (!strcmp(word, "stall") && n == 2)
        return add_event(gpu, (Event){STALL, v[0], v[1], 0, 0, ""});
    if (!strcmp(word, "reset") && n == 1)
        return add_event(gpu, (Event){RESET, v[0], INFINITY, 0, 0, ""});
    if (!strcmp(word, "latency_us") && n == 1)
        return add_event(gpu, (Event){LATENCY, -INFINITY, INFINITY, v[0], 0, ""});
    if (!strcmp(word, "latency_us") && n == 3)
        return add_event(gpu, (Event){LATENCY, v[1], v[2], v[0], 0, ""});
    if ((is_graphics || !strcmp(word, "process")) && (n == 2 || n == 4) && v[0] >= 1)
        return add_event(gpu, (Event){is_graphics ? GRAPHICS_PROCESS : COMPUTE_PROCESS,
                                      n == 4 ? v[2] : -INFINITY, n == 4 ? v[3] : INFINITY, v[1],
                                      (uint32_t)v[0], ""});
    return set_numbers(gpu, word, v, n);
}

/* Take in one statement; return what is wrong with it, or NULL. */
static const char *read_statement(const char *word, const char *text)
{
    if (!strcmp(word, "gpu")) {
        if (n_gpus == MAX_GPUS || *text)
            return "expected `gpu` alone, at most 32 times";
        gpus[n_gpus++] = (Gpu){"Fake GPU", "GPU-fake", .celsius = {.linear = 1},
                               .counter = {0.1, 0, 0, 1, 0, 1}, .power = {0.1, 1, 0},
                               .sample_period_s = 0.02, .limit_w = 700, .persistence = 1,
                               .memory = 141.0 * (1ull << 30)};
        return NULL;
    }
    if (n_gpus == 0)
        return "expected `gpu` before anything else";
    Gpu *gpu = &gpus[n_gpus - 1];
    if (!strcmp(word, "name") || !strcmp(word, "uuid")) {
        int length = snprintf(*word == 'n' ? gpu->name : gpu->uuid, TEXT_BYTES, "%s", text);
        return length > 0 && length < TEXT_BYTES ? NULL : "expected a text of 1 to 95 bytes";
    }
    if (!strcmp(word, "shape")) {
        gpu->watts.linear = !strcmp(text, "linear");
        return gpu->watts.linear || !strcmp(text, "step") ? NULL : "expected step or linear";
    }
    if (!strcmp(word, "missing") || !strncmp(word, "fault", strlen("fault")))
        return add_fault(gpu, word, text);
    return read_numeric(gpu, word, text);
}

static void sum_up(Curve *curve)
{
    for (Point *from = curve->points; from < curve->points + curve->n_points - 1; from++) {
        double mean = curve->linear ? (from[0].value + from[1].value) / 2 : from->value;
        from[1].area = from->area + mean * (from[1].t_s - from->t_s);
    }
}

/* Check a whole GPU and sum up its energy; return what is wrong with it, or NULL. */
static const char *finish(Gpu *gpu)
{
    if (gpu->watts.n_points == 0)
        return "a GPU has no point";
    if (gpu->celsius.n_points == 0)
        add_point(&gpu->celsius, 0, 45);
    if (!(gpu->counter.period_s > 0 && gpu->power.period_s > 0 && gpu->sample_period_s > 0
          && gpu->power.average_window_s >= 0 && gpu->power.instant_window_s >= 0))
        return "periods must be above 0, averaging windows 0 or more";
    if (!(gpu->counter.jitter_s >= 0 && gpu->counter.jitter_s < gpu->counter.period_s / 2))
        return "the jitter of a counter must be less than half its period";
    if (gpu->counter.quantum_mj < 1 || gpu->counter.quantum_mj != floor(gpu->counter.quantum_mj))
        return "the quantum of a counter must be whole millijoules";
    if (gpu->watts.repeat_s != 0
        && (gpu->watts.points[0].t_s < 0
            || gpu->watts.repeat_s < gpu->watts.points[gpu->watts.n_points - 1].t_s))
        return "with repeat, every point must lie between 0 and the repeat period";
    sum_up(&gpu->watts);
    return NULL;
}

static const char *read_epoch(void)
{
    const char *text = getenv("LLEM_FAKE_NVML_EPOCH");
    double now_s = clock_s(CLOCK_MONOTONIC), v[4];
    if (text && (read_numbers(text, v) != 1 || !isfinite(v[0])))
        return "LLEM_FAKE_NVML_EPOCH is not a number of seconds";
    epoch_s = text ? v[0] : now_s;
    wall_at_epoch_s = clock_s(CLOCK_REALTIME) - (now_s - epoch_s);
    return NULL;
}

static int load(void)
{
    const char *path = getenv("LLEM_FAKE_NVML"), *wrong = read_epoch();
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int number = 0;
    n_gpus = 0; /* a failed load before this one may have left some */
    if (!file && !wrong)
        wrong = path ? "cannot open the trace" : "LLEM_FAKE_NVML does not name a trace";
    while (!wrong && fgets(line, sizeof line, file)) {
        number++;
        for (size_t end = strlen(line); end > 0 && isspace((unsigned char)line[end - 1]);)
            line[--end] = '\0';
        char *word = line + strspn(line, " \t"), *text = word + strcspn(word, " \t");
        if (*text)
            *text++ = '\0';
        if (*word && *word != '#')
            wrong = read_statement(word, text + strspn(text, " \t"));
    }
    for (int i = 0; i < n_gpus && !wrong; i++)
        wrong = finish(&gpus[i]);
    if (file)
        fclose(file);
    if (wrong)
        fprintf(stderr, "fake_nvml: %s:%d: %s\n", path ? path : "-", number, wrong);
    return !wrong;
}

/* ---- What every exported function does first: count, wait, fail ------------------------------ */

static void count(const char *function)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MAX_FUNCTIONS - 1 && counted[i].function && counted[i].function != function)
        i++; /* pointers: a function has one __func__ */
    counted[i].function = function;
    call_number = ++counted[i].calls;
    pthread_mutex_unlock(&lock);
}

static int is_hit(const Event *event, double when, const char *function, int takes_gpu)
{
    return covers(event, when)
           && (!strcmp(event->function, function) || (takes_gpu && *event->function == '*'));
}

static int fault(const Gpu *gpu, const char *function, int takes_gpu)
{
    double t_s = fake_nvml_now();
    EACH_EVENT(event, gpu, FAULT)
        if (is_hit(event, t_s, function, takes_gpu))
            return (int)event->value;
    EACH_EVENT(event, gpu, FAULT_CALL)
        if (is_hit(event, (double)call_number, function, takes_gpu))
            return (int)event->value;
    return SUCCESS;
}

static int system_fault(const char *function)
{
    int code = SUCCESS;
    for (int i = 0; i < n_gpus && code == SUCCESS; i++)
        code = fault(&gpus[i], function, 0);
    return code;
}

static int enter_system(const char *function)
{
    count(function);
    return references == 0 ? UNINITIALIZED : system_fault(function);
}

static int enter_device(const char *function, const Gpu *gpu)
{
    count(function);
    if (references == 0)
        return UNINITIALIZED;
    if (gpu < gpus || gpu >= gpus + n_gpus)
        return INVALID_ARGUMENT;
    int64_t wait_us = latency_us(gpu, fake_nvml_now());
    if (!isnan(virtual_s))
        virtual_s = virtual_s + 1e-6 * (double)wait_us;
    else if (wait_us > 0)
        nanosleep(&(struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000}, NULL);
    return fault(gpu, function, 1);
}

static int start(const char *function)
{
    count(function);
    pthread_mutex_lock(&lock);
    int ready = loaded = loaded || load();
    pthread_mutex_unlock(&lock);
    int code = ready ? system_fault(function) : UNKNOWN;
    references += code == SUCCESS;
    return code;
}

static int copy_text(const char *text, char *out, unsigned size)
{
    return snprintf(out, size, "%s", text) < (int)size ? SUCCESS : INSUFFICIENT_SIZE;
}

/* The exported functions: FUNCTION, its parameters in brackets, the statements that answer.
 * Pointers are not checked: the binding never hands over a null one that is written to. */
#define REQUIRE(condition, code) if (!(condition)) return code
#define SYSTEM(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        int fault_code = enter_system(__func__); \
        REQUIRE(fault_code == SUCCESS, fault_code); \
        __VA_ARGS__; \
        return SUCCESS; \
    }
#define DEVICE(function, parameters, ...) \
    EXPORT int function parameters \
    { \
        int fault_code = enter_device(__func__, gpu); \
        REQUIRE(fault_code == SUCCESS, fault_code); \
        double t_s = fake_nvml_now(); /* once: what one call returns belongs together */ \
        (void)t_s; \
        __VA_ARGS__; \
        return SUCCESS; \
    }

/* ---- The library, its system, its devices ---------------------------------------------------- */

EXPORT int nvmlInitWithFlags(unsigned flags) { (void)flags; return start(__func__); }
EXPORT int nvmlInit_v2(void) { return start(__func__); }
SYSTEM(nvmlShutdown, (void), references--)

EXPORT const char *nvmlErrorString(int code)
{
    static const char *const texts[] = {
        [SUCCESS] = "Success", [UNINITIALIZED] = "Uninitialized",
        [INVALID_ARGUMENT] = "Invalid Argument", [NOT_SUPPORTED] = "Not Supported",
        [NOT_FOUND] = "Not Found", [INSUFFICIENT_SIZE] = "Insufficient Size",
        [FUNCTION_NOT_FOUND] = "Function Not Found", [15] = "GPU is lost",
        [VERSION_MISMATCH] = "Argument Version Mismatch"};
    count(__func__);
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
       return fault(*out, __func__, 1))
SYSTEM(nvmlDeviceGetHandleByUUID, (const char *uuid, const Gpu **out),
       for (*out = gpus; *out < gpus + n_gpus; ++*out)
           if (!strcmp((*out)->uuid, uuid))
               return fault(*out, __func__, 1);
       return NOT_FOUND)

DEVICE(nvmlDeviceGetIndex, (const Gpu *gpu, unsigned *out), *out = (unsigned)(gpu - gpus))
DEVICE(nvmlDeviceGetName, (const Gpu *gpu, char *out, unsigned n),
       return copy_text(gpu->name, out, n))
DEVICE(nvmlDeviceGetUUID, (const Gpu *gpu, char *out, unsigned n),
       return copy_text(gpu->uuid, out, n))
DEVICE(nvmlDeviceGetVbiosVersion, (const Gpu *gpu, char *out, unsigned n),
       return copy_text("96.00.00.00.01", out, n))
DEVICE(nvmlDeviceGetArchitecture, (const Gpu *gpu, unsigned *out), *out = 9 /* Hopper */)
DEVICE(nvmlDeviceGetCudaComputeCapability, (const Gpu *gpu, int *major, int *minor),
       *major = 9, *minor = 0)

/* ---- Energy and power ------------------------------------------------------------------------ */

static int has_scope(const Gpu *gpu, uint32_t scope)
{
    return (scope == MODULE_SCOPE && gpu->module_w > 0)
           || (scope == MEMORY_SCOPE && gpu->memory_share > 0);
}

static uint32_t read_field(const Gpu *gpu, double t_s, FieldValue *out)
{
    char name[32];
    snprintf(name, sizeof name, "field:%u", out->field);
    int code = fault(gpu, name, 0);
    REQUIRE(code == SUCCESS, (uint32_t)code);
    int is_power = out->field == 185 || out->field == 186;
    REQUIRE(out->scope == GPU_SCOPE || (is_power && has_scope(gpu, out->scope)), NOT_SUPPORTED);
    out->type = TYPE_UNSIGNED_LONG_LONG;
    switch (out->field) {
    case 74: out->value.ull = violation_ns(gpu, t_s, POWER_REASONS); return SUCCESS;
    case 75: out->value.ull = violation_ns(gpu, t_s, THERMAL_REASONS); return SUCCESS;
    case 83: case 191: out->value.ull = counter_mj(gpu, t_s); return SUCCESS;
    case 185: case 186:
        out->type = TYPE_UNSIGNED_INT;
        out->value.ui = power_mw(gpu, t_s, out->field == 185 ? gpu->power.average_window_s
                                                             : gpu->power.instant_window_s);
        if (out->scope == MODULE_SCOPE)
            out->value.ui += (uint32_t)lround(1000 * gpu->module_w);
        if (out->scope == MEMORY_SCOPE)
            out->value.ui = (uint32_t)lround(gpu->memory_share * out->value.ui);
        return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

DEVICE(nvmlDeviceGetTotalEnergyConsumption, (const Gpu *gpu, uint64_t *out),
       *out = counter_mj(gpu, t_s))
DEVICE(nvmlDeviceGetPowerUsage, (const Gpu *gpu, unsigned *out),
       *out = power_mw(gpu, t_s, gpu->power.average_window_s))
DEVICE(nvmlDeviceGetFieldValues, (const Gpu *gpu, int n, FieldValue *values),
       REQUIRE(n > 0, INVALID_ARGUMENT);
       for (FieldValue *value = values; value < values + n; value++) {
           value->timestamp_us = llround(1e6 * (wall_at_epoch_s + t_s));
           value->latency_us = latency_us(gpu, t_s);
           value->code = read_field(gpu, t_s, value);
       })
DEVICE(nvmlDeviceGetEnforcedPowerLimit, (const Gpu *gpu, unsigned *out),
       *out = (unsigned)lround(1000 * gpu->limit_w))
DEVICE(nvmlDeviceGetPowerManagementLimit, (const Gpu *gpu, unsigned *out),
       *out = (unsigned)lround(1000 * gpu->limit_w))
DEVICE(nvmlDeviceGetPowerManagementDefaultLimit, (const Gpu *gpu, unsigned *out), *out = 700000)
DEVICE(nvmlDeviceGetPowerManagementLimitConstraints,
       (const Gpu *gpu, unsigned *least, unsigned *most),
       *least = 200000;
       *most = 700000)
/* Only the power ring exists. Without a buffer the answer is how many entries it may need. */
DEVICE(nvmlDeviceGetSamples, (const Gpu *gpu, int type, uint64_t last_seen_us, unsigned *value_type,
                              unsigned *n, Sample *samples),
       REQUIRE(type == TOTAL_POWER_SAMPLES, NOT_SUPPORTED);
       unsigned room = *n, found = 0;
       *value_type = TYPE_UNSIGNED_INT;
       *n = RING_ENTRIES;
       REQUIRE(samples, SUCCESS);
       double newest_s = last_update_s(t_s, gpu->sample_period_s);
       for (int age = RING_ENTRIES - 1; age >= 0 && found < room; age--) {
           double end_s = newest_s - age * gpu->sample_period_s;
           uint64_t stamp_us = (uint64_t)llround(1e6 * (wall_at_epoch_s + end_s));
           if (stamp_us > last_seen_us)
               samples[found++] = (Sample){stamp_us, {mean_mw(gpu, end_s, gpu->sample_period_s)}};
       }
       *n = found;
       REQUIRE(found, NOT_FOUND))

/* ---- State of a device ----------------------------------------------------------------------- */

static const unsigned max_mhz[] = {1980, 1980, 3201, 1545}; /* graphics, SM, memory, video */
enum { MEMORY_CLOCK = 2 }; /* the only one that throttling leaves alone here */

DEVICE(nvmlDeviceGetClockInfo, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       *out = max_mhz[type] / (type != MEMORY_CLOCK && throttle_reasons(gpu, t_s) ? 2 : 1))
DEVICE(nvmlDeviceGetMaxClockInfo, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       *out = max_mhz[type])
DEVICE(nvmlDeviceGetApplicationsClock, (const Gpu *gpu, unsigned type, unsigned *out),
       REQUIRE(type < 4, INVALID_ARGUMENT);
       *out = max_mhz[type])
DEVICE(nvmlDeviceGetCurrentClocksEventReasons, (const Gpu *gpu, uint64_t *out),
       *out = throttle_reasons(gpu, t_s))
DEVICE(nvmlDeviceGetCurrentClocksThrottleReasons, (const Gpu *gpu, uint64_t *out),
       *out = throttle_reasons(gpu, t_s))
DEVICE(nvmlDeviceGetSupportedClocksEventReasons, (const Gpu *gpu, uint64_t *out), *out = 0x1ff)
DEVICE(nvmlDeviceGetTemperature, (const Gpu *gpu, unsigned sensor, unsigned *out),
       REQUIRE(sensor == 0, INVALID_ARGUMENT);
       *out = (unsigned)lround(value_at(&gpu->celsius, t_s)))
/* A version is the size of the caller's struct, with the number of its layout in the top byte. */
DEVICE(nvmlDeviceGetTemperatureV, (const Gpu *gpu, Temperature *out),
       REQUIRE(out->version == (sizeof *out | 1u << 24), VERSION_MISMATCH);
       REQUIRE(out->sensor == 0, INVALID_ARGUMENT);
       out->temperature = (int32_t)lround(value_at(&gpu->celsius, t_s)))
DEVICE(nvmlDeviceGetPerformanceState, (const Gpu *gpu, unsigned *out), *out = 0)
DEVICE(nvmlDeviceGetPersistenceMode, (const Gpu *gpu, unsigned *out), *out = gpu->persistence != 0)
DEVICE(nvmlDeviceGetVirtualizationMode, (const Gpu *gpu, unsigned *out),
       *out = (unsigned)gpu->virtualization)
DEVICE(nvmlDeviceGetC2cModeInfoV, (const Gpu *gpu, unsigned *is_enabled),
       *is_enabled = gpu->module_w > 0) /* the link to the processor of its module */
DEVICE(nvmlDeviceGetComputeMode, (const Gpu *gpu, unsigned *out), *out = 0)
DEVICE(nvmlDeviceGetEccMode, (const Gpu *gpu, unsigned *now, unsigned *next), *now = *next = 1)
DEVICE(nvmlDeviceGetMigMode, (const Gpu *gpu, unsigned *now, unsigned *next),
       *now = *next = gpu->mig != 0)
DEVICE(nvmlDeviceGetUtilizationRates, (const Gpu *gpu, Utilization *out),
       REQUIRE(!gpu->mig, NOT_SUPPORTED); /* as documented for a GPU in MIG mode */
       double load = fmin(1, value_at(&gpu->watts, t_s) / gpu->limit_w);
       uint32_t percent = (uint32_t)lround(100 * load);
       *out = (Utilization){percent, percent / 2})
DEVICE(nvmlDeviceGetMemoryInfo, (const Gpu *gpu, Memory *out), /* here `used` has the reserved */
       uint64_t total = (uint64_t)gpu->memory;
       *out = (Memory){total, total - (2ull << 30), 2ull << 30})
DEVICE(nvmlDeviceGetMemoryInfo_v2, (const Gpu *gpu, MemoryV2 *out),
       REQUIRE(out->version == (sizeof *out | 2u << 24), VERSION_MISMATCH);
       uint64_t total = (uint64_t)gpu->memory;
       *out = (MemoryV2){out->version, total, 1ull << 30, total - (2ull << 30), 1ull << 30})

static int list_processes(const Gpu *gpu, double t_s, Kind kind, unsigned *n, Process *out)
{
    unsigned room = *n;
    *n = 0;
    EACH_EVENT(event, gpu, kind)
        if (covers(event, t_s) && (*n)++ < room)
            out[*n - 1] = (Process){event->pid, (uint64_t)event->value, UINT32_MAX, UINT32_MAX};
    return *n <= room ? SUCCESS : INSUFFICIENT_SIZE;
}

DEVICE(nvmlDeviceGetComputeRunningProcesses_v3, (const Gpu *gpu, unsigned *n, Process *out),
       return list_processes(gpu, t_s, COMPUTE_PROCESS, n, out))
DEVICE(nvmlDeviceGetGraphicsRunningProcesses_v3, (const Gpu *gpu, unsigned *n, Process *out),
       return list_processes(gpu, t_s, GRAPHICS_PROCESS, n, out))

/* ---- The other test hooks -------------------------------------------------------------------- */

/* Joules that GPU `index` really used between two instants; NAN before init or without that GPU. */
EXPORT double fake_nvml_true_energy(unsigned index, double t0_s, double t1_s)
{
    if (!loaded || index >= (unsigned)n_gpus)
        return NAN;
    return joules_between(&gpus[index], t0_s, t1_s);
}

/* How often this process called `function`, failed calls included. */
EXPORT unsigned long fake_nvml_calls(const char *function)
{
    unsigned long calls = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FUNCTIONS && counted[i].function; i++)
        if (!strcmp(counted[i].function, function))
            calls = counted[i].calls;
    pthread_mutex_unlock(&lock);
    return calls;
}
