/* A stand-in for NVIDIA's driver library, libnvidia-ml.so.1, played from a power trace.
 *
 * What it is for: tests of the energy code on machines without a GPU. The unmodified binding
 * (nvidia-ml-py) loads this library by name, so the tests cross the same ctypes edge as a real
 * run. Power is a known function of time; the true energy between any two instants is therefore
 * a closed form, and a test can say how wrong a measurement was. Sensors sit on top of that
 * truth with the flaws of real ones: they step, they average, they fail.
 *
 * Trace file, named by LLEM_FAKE_NVML. One statement a line, `#` starts a comment line, times are
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
 *   power PERIOD AVERAGE INSTANT       both powers update at k PERIOD; their averaging windows in
 *                                      seconds (0: no averaging). nvmlDeviceGetPowerUsage is the
 *                                      average, as on Hopper
 *   limit_w WATTS      temperature_c C      mig 0|1
 *   throttle T0 T1 BITS                bits of the clock event reasons. Bits 0x84 also count into
 *                                      field 74 (power), bits 0x60 into field 75 (thermal); time
 *                                      that two lines of one kind share counts twice
 *   stall T0 T1                        the energy counter misses its updates in this interval
 *   reset T                            the energy counter starts again from 0
 *   fault FUNCTION CODE T0 T1          FUNCTION returns this NVML code. `field:83` faults one
 *                                      value of nvmlDeviceGetFieldValues; `*` faults every call on
 *                                      this GPU (a lost device). A function that takes no GPU is
 *                                      faulted by a line under any GPU
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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define ROUNDING 1e-7 /* 0.3 / 0.1 is 2.9999999999999996: a grid instant must not be missed for that */
#define MAX_GPUS 16
#define MAX_FUNCTIONS 64
#define TEXT_BYTES 96 /* NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE */

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, VERSION_MISMATCH = 25, UNKNOWN = 999
};
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };
enum { POWER_REASONS = 0x4 | 0x80, THERMAL_REASONS = 0x20 | 0x40 };

typedef struct { double t_s, w, joules; } Point; /* joules: from the first point to this one */
typedef enum { THROTTLE, STALL, RESET, FAULT, LATENCY } Kind;
typedef struct { Kind kind; double t0_s, t1_s, value; char function[64]; } Event;
typedef struct {
    char name[TEXT_BYTES], uuid[TEXT_BYTES];
    Point *points;
    int n_points, linear;
    double repeat_s;
    double counter_period_s, counter_phase_s, counter_initial_mj, counter_gain;
    double power_period_s, average_window_s, instant_window_s;
    double limit_w, temperature_c, mig;
    Event *events;
    int n_events;
} Gpu;
typedef struct { /* nvmlFieldValue_t */
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    uint32_t type, code;
    union { double d; uint32_t ui; uint64_t ull; } value;
} FieldValue;
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

/* ---- Time ------------------------------------------------------------------------------------ */

static double clock_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds since the epoch of the fake. */
EXPORT double fake_nvml_now(void)
{
    double t_s = virtual_s;
    return isnan(t_s) ? clock_s(CLOCK_MONOTONIC) - epoch_s : t_s;
}

EXPORT void fake_nvml_set_time(double t_s) { virtual_s = t_s; }

/* ---- Truth: the power trace and its integral ------------------------------------------------- */

static int last_point(const Gpu *gpu, double t_s) /* -1: before the first */
{
    int low = -1, high = gpu->n_points;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        *(gpu->points[middle].t_s <= t_s ? &low : &high) = middle;
    }
    return low;
}

static double slope_w_per_s(const Gpu *gpu, int i)
{
    if (!gpu->linear || i < 0 || i + 1 >= gpu->n_points)
        return 0;
    return (gpu->points[i + 1].w - gpu->points[i].w) / (gpu->points[i + 1].t_s - gpu->points[i].t_s);
}

/* Joules from the first point to `t_s`, without repeats; negative before the first point. */
static double pass_joules(const Gpu *gpu, double t_s)
{
    int i = last_point(gpu, t_s);
    const Point *from = &gpu->points[i < 0 ? 0 : i];
    double elapsed_s = t_s - from->t_s;
    return from->joules + elapsed_s * (from->w + 0.5 * elapsed_s * slope_w_per_s(gpu, i));
}

static double joules_since_zero(const Gpu *gpu, double t_s)
{
    double passes = gpu->repeat_s > 0 ? floor(t_s / gpu->repeat_s) : 0;
    double before = pass_joules(gpu, 0);
    return passes * (pass_joules(gpu, gpu->repeat_s) - before)
           + pass_joules(gpu, t_s - passes * gpu->repeat_s) - before;
}

static double power_w(const Gpu *gpu, double t_s)
{
    if (gpu->repeat_s > 0)
        t_s -= gpu->repeat_s * floor(t_s / gpu->repeat_s + ROUNDING);
    int i = last_point(gpu, t_s + ROUNDING);
    const Point *from = &gpu->points[i < 0 ? 0 : i];
    return from->w + (t_s - from->t_s) * slope_w_per_s(gpu, i);
}

/* ---- Sensors: what the driver would show ----------------------------------------------------- */

static int covers(const Event *event, double t_s) { return event->t0_s <= t_s && t_s < event->t1_s; }

/* The last instant phase + k period that is not after `t_s`. */
static double last_update_s(double t_s, double period_s, double phase_s)
{
    return phase_s + period_s * floor((t_s - phase_s) / period_s + ROUNDING);
}

static uint64_t counter_mj(const Gpu *gpu, double t_s)
{
    double period_s = gpu->counter_period_s, phase_s = gpu->counter_phase_s;
    double shown_s = last_update_s(t_s, period_s, phase_s);
    double reset_s = -INFINITY;
    for (int i = 0; i < gpu->n_events; i++) {
        const Event *event = &gpu->events[i];
        if (event->kind == RESET && event->t0_s <= t_s)
            reset_s = fmax(reset_s, event->t0_s);
        if (event->kind == STALL && covers(event, shown_s + ROUNDING * period_s)) {
            /* Back to the last update before the stall; that one may lie in another stall. */
            shown_s = last_update_s(event->t0_s - 2 * ROUNDING * period_s, period_s, phase_s);
            i = -1;
            reset_s = -INFINITY;
        }
    }
    double mj = 1000 * gpu->counter_gain * joules_since_zero(gpu, shown_s) + gpu->counter_initial_mj;
    if (isfinite(reset_s)) /* until its first update after the reset the counter shows 0 */
        mj = 1000 * gpu->counter_gain
             * (joules_since_zero(gpu, fmax(shown_s, reset_s)) - joules_since_zero(gpu, reset_s));
    return mj > 0 ? (uint64_t)llround(mj) : 0;
}

static uint32_t power_mw(const Gpu *gpu, double t_s, double window_s)
{
    double shown_s = last_update_s(t_s, gpu->power_period_s, 0);
    if (window_s == 0)
        return (uint32_t)lround(1000 * power_w(gpu, shown_s));
    double joules = joules_since_zero(gpu, shown_s) - joules_since_zero(gpu, shown_s - window_s);
    return (uint32_t)lround(1000 * joules / window_s);
}

static uint64_t throttle_reasons(const Gpu *gpu, double t_s)
{
    uint64_t reasons = 0;
    for (int i = 0; i < gpu->n_events; i++)
        if (gpu->events[i].kind == THROTTLE && covers(&gpu->events[i], t_s))
            reasons |= (uint64_t)gpu->events[i].value;
    return reasons;
}

/* Nanoseconds, up to `t_s`, in which one of `reasons` slowed the GPU. */
static uint64_t violation_ns(const Gpu *gpu, double t_s, unsigned reasons)
{
    double total_s = 0;
    for (int i = 0; i < gpu->n_events; i++)
        if (gpu->events[i].kind == THROTTLE && ((unsigned)gpu->events[i].value & reasons))
            total_s += fmax(0, fmin(t_s, gpu->events[i].t1_s) - gpu->events[i].t0_s);
    return (uint64_t)llround(1e9 * total_s);
}

/* ---- Trace file ------------------------------------------------------------------------------ */

/* A misspelt function would be a fault that never happens, and a test that cannot fail. */
static int is_exported(const char *function)
{
    Dl_info self;
    if (strncmp(function, "nvml", 4) || !dladdr((void *)&gpus, &self))
        return 0;
    void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    int found = library && dlsym(library, function);
    if (library)
        dlclose(library);
    return found;
}

/* How many numbers `text` holds (at most 4, written to `out`); -1 if it holds anything else. */
static int read_numbers(const char *text, double out[4])
{
    for (int n = 0;; n++) {
        text += strspn(text, " \t");
        if (!*text)
            return n;
        char *end;
        double number = strtod(text, &end);
        if (n == 4 || end == text || isnan(number) || !strchr(" \t", *end))
            return -1;
        out[n] = number;
        text = end;
    }
}

static const char *add_event(Gpu *gpu, Event event)
{
    if (!(event.t0_s < event.t1_s))
        return "an interval must end after it begins";
    gpu->events = realloc(gpu->events, (size_t)(gpu->n_events + 1) * sizeof event);
    gpu->events[gpu->n_events++] = event;
    return NULL;
}

static const char *add_point(Gpu *gpu, double t_s, double w)
{
    Point point = {t_s, w, 0};
    const Point *last = gpu->n_points ? &gpu->points[gpu->n_points - 1] : NULL;
    if (!isfinite(t_s) || !isfinite(w) || w < 0 || (last && t_s <= last->t_s))
        return "points need rising times and powers of 0 W or more";
    gpu->points = realloc(gpu->points, (size_t)(gpu->n_points + 1) * sizeof point);
    gpu->points[gpu->n_points++] = point;
    return NULL;
}

static const char *add_text(char out[TEXT_BYTES], const char *text)
{
    int length = snprintf(out, TEXT_BYTES, "%s", text);
    return length > 0 && length < TEXT_BYTES ? NULL : "expected a text of 1 to 95 characters";
}

static const char *add_fault(Gpu *gpu, int is_missing, char *text)
{
    Event event = {FAULT, -INFINITY, INFINITY, FUNCTION_NOT_FOUND, ""};
    double v[4];
    int used = 0;
    unsigned field;
    if (sscanf(text, "%63s%n", event.function, &used) != 1)
        return "expected the name of a function";
    int tail = 0;
    int is_field = sscanf(event.function, "field:%u%n", &field, &tail) == 1 && !event.function[tail];
    if (!is_field && strcmp(event.function, "*") && !is_exported(event.function))
        return "this fake has no such function";
    int n = read_numbers(text + used, v);
    if (is_missing)
        return n == 0 ? add_event(gpu, event) : "expected: missing FUNCTION";
    if (n != 3 || v[0] != floor(v[0]) || v[0] < 1 || v[0] > UNKNOWN || !isfinite(v[1]))
        return "expected: fault FUNCTION CODE T0 T1, with a code from 1 to 999";
    event.value = v[0], event.t0_s = v[1], event.t1_s = v[2];
    return add_event(gpu, event);
}

/* Take in one statement; returns what is wrong with it, or NULL. */
static const char *read_statement(const char *word, char *text)
{
    if (!strcmp(word, "gpu")) {
        if (n_gpus == MAX_GPUS || *text)
            return n_gpus == MAX_GPUS ? "too many GPUs" : "expected `gpu` alone";
        gpus[n_gpus++] = (Gpu){
            .name = "Fake GPU", .uuid = "GPU-fake", .counter_period_s = 0.1, .counter_gain = 1,
            .power_period_s = 0.1, .average_window_s = 1, .limit_w = 700, .temperature_c = 45};
        return NULL;
    }
    if (n_gpus == 0)
        return "expected `gpu` before anything else";
    Gpu *gpu = &gpus[n_gpus - 1];
    if (!strcmp(word, "name") || !strcmp(word, "uuid"))
        return add_text(*word == 'n' ? gpu->name : gpu->uuid, text);
    if (!strcmp(word, "fault") || !strcmp(word, "missing"))
        return add_fault(gpu, *word == 'm', text);
    if (!strcmp(word, "shape")) {
        gpu->linear = !strcmp(text, "linear");
        return gpu->linear || !strcmp(text, "step") ? NULL : "expected step or linear";
    }
    double v[4] = {0};
    int n = read_numbers(text, v);
    if (n > 0 && !isfinite(v[0]))
        return "expected a finite number first";
    if (!strcmp(word, "point") && n == 2)
        return add_point(gpu, v[0], v[1]);
    if (!strcmp(word, "repeat") && n == 1)
        gpu->repeat_s = v[0];
    else if (!strcmp(word, "counter") && n == 4)
        gpu->counter_period_s = v[0], gpu->counter_phase_s = v[1],
        gpu->counter_initial_mj = v[2], gpu->counter_gain = v[3];
    else if (!strcmp(word, "power") && n == 3)
        gpu->power_period_s = v[0], gpu->average_window_s = v[1], gpu->instant_window_s = v[2];
    else if (!strcmp(word, "limit_w") && n == 1)
        gpu->limit_w = v[0];
    else if (!strcmp(word, "temperature_c") && n == 1)
        gpu->temperature_c = v[0];
    else if (!strcmp(word, "mig") && n == 1 && (v[0] == 0 || v[0] == 1))
        gpu->mig = v[0];
    else if (!strcmp(word, "throttle") && n == 3)
        return add_event(gpu, (Event){THROTTLE, v[0], v[1], v[2], ""});
    else if (!strcmp(word, "stall") && n == 2)
        return add_event(gpu, (Event){STALL, v[0], v[1], 0, ""});
    else if (!strcmp(word, "reset") && n == 1)
        return add_event(gpu, (Event){RESET, v[0], INFINITY, 0, ""});
    else if (!strcmp(word, "latency_us") && n == 1)
        return add_event(gpu, (Event){LATENCY, -INFINITY, INFINITY, v[0], ""});
    else if (!strcmp(word, "latency_us") && n == 3)
        return add_event(gpu, (Event){LATENCY, v[1], v[2], v[0], ""});
    else
        return "unknown statement, or not the numbers that it needs";
    return NULL;
}

/* Check a whole GPU and sum up its energy; returns what is wrong with it, or NULL. */
static const char *finish(Gpu *gpu)
{
    if (gpu->n_points == 0)
        return "a GPU has no point";
    if (!(gpu->counter_period_s > 0 && gpu->power_period_s > 0))
        return "an update period must be above 0";
    if (gpu->average_window_s < 0 || gpu->instant_window_s < 0)
        return "an averaging window must be 0 or more";
    if (gpu->repeat_s != 0
        && (gpu->points[0].t_s < 0 || gpu->repeat_s < gpu->points[gpu->n_points - 1].t_s))
        return "with repeat, every point must lie between 0 and the repeat period";
    for (int i = 1; i < gpu->n_points; i++) {
        Point *now = &gpu->points[i], *last = now - 1;
        double mean_w = gpu->linear ? (last->w + now->w) / 2 : last->w;
        now->joules = last->joules + mean_w * (now->t_s - last->t_s);
    }
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
    const char *path = getenv("LLEM_FAKE_NVML");
    const char *wrong = read_epoch();
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int number = 0;
    n_gpus = 0; /* a failed load before this one may have left some */
    if (!file && !wrong)
        wrong = path ? "cannot open the trace" : "LLEM_FAKE_NVML does not name a trace";
    while (!wrong && fgets(line, sizeof line, file)) {
        number++;
        char *word = line + strspn(line, " \t");
        for (size_t end = strlen(word); end > 0 && isspace((unsigned char)word[end - 1]);)
            word[--end] = '\0';
        if (!*word || *word == '#')
            continue;
        char *text = word + strcspn(word, " \t");
        if (*text)
            *text++ = '\0';
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

/* ---- What every exported function does first ------------------------------------------------- */

static void count(const char *function)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_FUNCTIONS; i++) {
        if (!counted[i].function)
            counted[i].function = function;
        if (counted[i].function == function) { /* __func__: one address per function */
            counted[i].calls++;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

static int fault(const Gpu *gpu, const char *function, int is_device_call)
{
    double t_s = fake_nvml_now();
    for (int i = 0; i < gpu->n_events; i++) {
        const Event *event = &gpu->events[i];
        if (event->kind == FAULT && covers(event, t_s)
            && (!strcmp(event->function, function)
                || (is_device_call && !strcmp(event->function, "*"))))
            return (int)event->value;
    }
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

static int64_t latency_us(const Gpu *gpu)
{
    double total_us = 0, t_s = fake_nvml_now();
    for (int i = 0; i < gpu->n_events; i++)
        if (gpu->events[i].kind == LATENCY && covers(&gpu->events[i], t_s))
            total_us += gpu->events[i].value;
    return (int64_t)total_us;
}

static int enter_device(const char *function, const Gpu *gpu)
{
    count(function);
    if (references == 0)
        return UNINITIALIZED;
    if (gpu < gpus || gpu >= gpus + n_gpus)
        return INVALID_ARGUMENT;
    int64_t wait_us = latency_us(gpu);
    if (wait_us > 0 && !isnan(virtual_s))
        virtual_s = virtual_s + 1e-6 * (double)wait_us;
    else if (wait_us > 0)
        nanosleep(&(struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000}, NULL);
    return fault(gpu, function, 1);
}

#define ENTER_SYSTEM() do { int code_ = enter_system(__func__); if (code_) return code_; } while (0)
#define ENTER_DEVICE(gpu) \
    do { int code_ = enter_device(__func__, gpu); if (code_) return code_; } while (0)
#define REQUIRE(condition, code) do { if (!(condition)) return code; } while (0)

static int give_text(const char *text, char *out, unsigned size)
{
    REQUIRE(out, INVALID_ARGUMENT);
    REQUIRE(strlen(text) < size, INSUFFICIENT_SIZE);
    strcpy(out, text);
    return SUCCESS;
}

/* ---- The library itself, its system and its devices ------------------------------------------ */

static int start(const char *function)
{
    count(function);
    pthread_mutex_lock(&lock);
    loaded = loaded || load();
    pthread_mutex_unlock(&lock);
    REQUIRE(loaded, UNKNOWN);
    int code = system_fault(function);
    if (code == SUCCESS)
        references++;
    return code;
}

EXPORT int nvmlInitWithFlags(unsigned flags) { (void)flags; return start(__func__); }
EXPORT int nvmlInit_v2(void) { return start(__func__); }
EXPORT int nvmlShutdown(void) { ENTER_SYSTEM(); references--; return SUCCESS; }

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

/* A number every caller may have: `value` may use `gpu` and `t_s`. */
#define DEVICE_NUMBER(function, type, value_expression) \
    EXPORT int function(const Gpu *gpu, type *out) \
    { \
        ENTER_DEVICE(gpu); \
        REQUIRE(out, INVALID_ARGUMENT); \
        double t_s = fake_nvml_now(); \
        (void)t_s; \
        *out = (type)(value_expression); \
        return SUCCESS; \
    }
#define DEVICE_TEXT(function, text) \
    EXPORT int function(const Gpu *gpu, char *out, unsigned size) \
    { \
        ENTER_DEVICE(gpu); \
        return give_text(text, out, size); \
    }
#define SYSTEM_TEXT(function, text) \
    EXPORT int function(char *out, unsigned size) { ENTER_SYSTEM(); return give_text(text, out, size); }
#define SYSTEM_NUMBER(function, type, number) \
    EXPORT int function(type *out) \
    { \
        ENTER_SYSTEM(); \
        REQUIRE(out, INVALID_ARGUMENT); \
        *out = (type)(number); \
        return SUCCESS; \
    }

SYSTEM_TEXT(nvmlSystemGetDriverVersion, "580.00.01")
SYSTEM_TEXT(nvmlSystemGetNVMLVersion, "13.580.00.01")
SYSTEM_NUMBER(nvmlSystemGetCudaDriverVersion, int, 13000)
SYSTEM_NUMBER(nvmlSystemGetCudaDriverVersion_v2, int, 13000)
SYSTEM_NUMBER(nvmlDeviceGetCount_v2, unsigned, n_gpus)

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **out)
{
    ENTER_SYSTEM();
    REQUIRE(out && index < (unsigned)n_gpus, INVALID_ARGUMENT);
    *out = &gpus[index];
    return fault(*out, __func__, 1);
}

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **out)
{
    ENTER_SYSTEM();
    REQUIRE(uuid && out, INVALID_ARGUMENT);
    for (*out = gpus; *out < gpus + n_gpus; ++*out)
        if (!strcmp((*out)->uuid, uuid))
            return fault(*out, __func__, 1);
    return NOT_FOUND;
}

DEVICE_NUMBER(nvmlDeviceGetIndex, unsigned, gpu - gpus)
DEVICE_TEXT(nvmlDeviceGetName, gpu->name)
DEVICE_TEXT(nvmlDeviceGetUUID, gpu->uuid)
DEVICE_TEXT(nvmlDeviceGetVbiosVersion, "96.00.00.00.01")
DEVICE_NUMBER(nvmlDeviceGetArchitecture, unsigned, 9) /* Hopper */

/* ---- Energy and power ------------------------------------------------------------------------ */

DEVICE_NUMBER(nvmlDeviceGetTotalEnergyConsumption, uint64_t, counter_mj(gpu, t_s))
DEVICE_NUMBER(nvmlDeviceGetPowerUsage, unsigned, power_mw(gpu, t_s, gpu->average_window_s))
DEVICE_NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, lround(1000 * gpu->limit_w))
DEVICE_NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, lround(1000 * gpu->limit_w))
DEVICE_NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, 700000)

static uint32_t read_field(const Gpu *gpu, double t_s, FieldValue *out)
{
    char name[32];
    snprintf(name, sizeof name, "field:%u", out->field);
    int code = fault(gpu, name, 0);
    if (code)
        return (uint32_t)code;
    REQUIRE(out->scope == 0, NOT_SUPPORTED); /* module and memory scopes: not on a plain board */
    out->type = TYPE_UNSIGNED_LONG_LONG;
    switch (out->field) {
    case 74: out->value.ull = violation_ns(gpu, t_s, POWER_REASONS); return SUCCESS;
    case 75: out->value.ull = violation_ns(gpu, t_s, THERMAL_REASONS); return SUCCESS;
    case 83: /* fall through: the older and the newer id of one counter */
    case 191: out->value.ull = counter_mj(gpu, t_s); return SUCCESS;
    case 185: out->value.ui = power_mw(gpu, t_s, gpu->average_window_s); break;
    case 186: out->value.ui = power_mw(gpu, t_s, gpu->instant_window_s); break;
    default: return NOT_SUPPORTED;
    }
    out->type = TYPE_UNSIGNED_INT;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetFieldValues(const Gpu *gpu, int n, FieldValue *values)
{
    ENTER_DEVICE(gpu);
    REQUIRE(n > 0 && values, INVALID_ARGUMENT);
    double t_s = fake_nvml_now(); /* read once: the values of one call belong together */
    for (int i = 0; i < n; i++) {
        values[i].timestamp_us = llround(1e6 * (wall_at_epoch_s + t_s));
        values[i].latency_us = latency_us(gpu);
        values[i].code = read_field(gpu, t_s, &values[i]);
    }
    return SUCCESS;
}

/* ---- State of a device ----------------------------------------------------------------------- */

DEVICE_NUMBER(nvmlDeviceGetCurrentClocksEventReasons, uint64_t, throttle_reasons(gpu, t_s))
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, uint64_t, throttle_reasons(gpu, t_s))
DEVICE_NUMBER(nvmlDeviceGetPerformanceState, unsigned, 0)
DEVICE_NUMBER(nvmlDeviceGetPersistenceMode, unsigned, 1)
DEVICE_NUMBER(nvmlDeviceGetComputeMode, unsigned, 0)

#define DEVICE_PAIR(function, type, first, second) \
    EXPORT int function(const Gpu *gpu, type *a, type *b) \
    { \
        ENTER_DEVICE(gpu); \
        REQUIRE(a && b, INVALID_ARGUMENT); \
        *a = (type)(first), *b = (type)(second); \
        return SUCCESS; \
    }
DEVICE_PAIR(nvmlDeviceGetMigMode, unsigned, gpu->mig, gpu->mig)
DEVICE_PAIR(nvmlDeviceGetEccMode, unsigned, 1, 1)
DEVICE_PAIR(nvmlDeviceGetCudaComputeCapability, int, 9, 0)

static const unsigned max_clocks_mhz[] = {1980, 1980, 3201, 1545}; /* graphics, SM, memory, video */
static int is_throttled_clock(const Gpu *gpu, unsigned type)
{
    return type != 2 && throttle_reasons(gpu, fake_nvml_now()) != 0; /* memory keeps its clock */
}

#define DEVICE_CLOCK(function, mhz) \
    EXPORT int function(const Gpu *gpu, unsigned type, unsigned *out) \
    { \
        ENTER_DEVICE(gpu); \
        REQUIRE(type < 4 && out, INVALID_ARGUMENT); \
        *out = (mhz); \
        return SUCCESS; \
    }
DEVICE_CLOCK(nvmlDeviceGetClockInfo, max_clocks_mhz[type] / (is_throttled_clock(gpu, type) ? 2 : 1))
DEVICE_CLOCK(nvmlDeviceGetMaxClockInfo, max_clocks_mhz[type])
DEVICE_CLOCK(nvmlDeviceGetApplicationsClock, max_clocks_mhz[type])

EXPORT int nvmlDeviceGetTemperature(const Gpu *gpu, unsigned sensor, unsigned *out)
{
    ENTER_DEVICE(gpu);
    REQUIRE(sensor == 0 && out, INVALID_ARGUMENT);
    *out = (unsigned)lround(gpu->temperature_c);
    return SUCCESS;
}

/* A version is the size of the caller's struct, with the struct's number in the top byte. */
EXPORT int nvmlDeviceGetTemperatureV(const Gpu *gpu, Temperature *out)
{
    ENTER_DEVICE(gpu);
    REQUIRE(out && out->version == (sizeof *out | 1u << 24), VERSION_MISMATCH);
    REQUIRE(out->sensor == 0, INVALID_ARGUMENT);
    out->temperature = (int32_t)lround(gpu->temperature_c);
    return SUCCESS;
}

EXPORT int nvmlDeviceGetUtilizationRates(const Gpu *gpu, Utilization *out)
{
    ENTER_DEVICE(gpu);
    REQUIRE(out, INVALID_ARGUMENT);
    REQUIRE(!gpu->mig, NOT_SUPPORTED); /* as documented for GPUs in MIG mode */
    double share = gpu->limit_w > 0 ? power_w(gpu, fake_nvml_now()) / gpu->limit_w : 0;
    *out = (Utilization){(uint32_t)lround(100 * fmin(share, 1)), (uint32_t)lround(50 * fmin(share, 1))};
    return SUCCESS;
}

#define TOTAL_BYTES (141ull << 30)
#define USED_BYTES (1ull << 30)
#define RESERVED_BYTES (512ull << 20)

EXPORT int nvmlDeviceGetMemoryInfo(const Gpu *gpu, Memory *out)
{
    ENTER_DEVICE(gpu);
    REQUIRE(out, INVALID_ARGUMENT);
    /* The first version counts what the driver reserves as used. */
    uint64_t used = USED_BYTES + RESERVED_BYTES;
    *out = (Memory){TOTAL_BYTES, TOTAL_BYTES - used, used};
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(const Gpu *gpu, MemoryV2 *out)
{
    ENTER_DEVICE(gpu);
    REQUIRE(out && out->version == (sizeof *out | 2u << 24), VERSION_MISMATCH);
    uint64_t free_bytes = TOTAL_BYTES - USED_BYTES - RESERVED_BYTES;
    *out = (MemoryV2){out->version, TOTAL_BYTES, RESERVED_BYTES, free_bytes, USED_BYTES};
    return SUCCESS;
}

EXPORT int nvmlDeviceGetComputeRunningProcesses_v3(const Gpu *gpu, unsigned *n, void *processes)
{
    (void)processes; /* no process ever runs on a fake GPU */
    ENTER_DEVICE(gpu);
    REQUIRE(n, INVALID_ARGUMENT);
    *n = 0;
    return SUCCESS;
}

/* ---- The other test hooks -------------------------------------------------------------------- */

/* Joules that GPU `index` really used between two instants; NAN before init or without that GPU. */
EXPORT double fake_nvml_true_energy(unsigned index, double t0_s, double t1_s)
{
    if (!loaded || index >= (unsigned)n_gpus)
        return NAN;
    return joules_since_zero(&gpus[index], t1_s) - joules_since_zero(&gpus[index], t0_s);
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
