/* The trace file: it describes the GPUs and what happens to them.
 *
 * The environment variable LLEM_FAKE_NVML names the file. It has one statement per line; a line
 * that begins with `#` is a comment. Times are seconds since the epoch of the fake; intervals are
 * [T0, T1), and T1 may be `inf`.
 *
 *   gpu                                begins a GPU; the next lines describe it
 *   name TEXT          uuid TEXT
 *   point T WATTS                      at least one, in time order; the first power also holds
 *                                      before, the last one after (with `repeat`: in each period)
 *   shape step|linear                  between two points; step keeps the earlier power
 *   repeat SECONDS                     repeat the points with this period; 0: play them once
 *   counter PERIOD PHASE MJ GAIN       updates at PHASE + k PERIOD; an ideal counter would show MJ
 *                                      millijoules at time 0; GAIN 1.05 overstates by 5 %
 *   counter_jitter SECONDS             each update is early or late by up to this much; the shift
 *                                      looks random and is the same in every process
 *   counter_quantum MJ                 the counter shows multiples of MJ (default 1)
 *   counter_filter TAU                 the counter counts power behind a first-order filter
 *   counter_delay SECONDS              the counter shows the energy of this long ago
 *   counter_seen SECONDS               each period adds its length times the mean power of its last
 *                                      SECONDS only; 0: all of it is seen
 *   counter_threshold WATTS            a period with less mean power than this adds nothing
 *   counter_burst SECONDS              every second update is early by this much
 *   counter_every N LOW HIGH           while power is in [LOW, HIGH), one of N updates is made
 *   counter_bits N     counter_float32 0|1     the counter wraps at N bits; is a 32-bit float
 *   power PERIOD AVERAGE INSTANT       both powers update at k PERIOD; their averaging windows in
 *                                      seconds (0: no averaging). nvmlDeviceGetPowerUsage is the
 *                                      average, as on Hopper
 *   power_filter TAU                   both powers are those behind a first-order filter, not averages
 *   power_delay SECONDS                both powers are those of this long ago
 *   module_w WATTS                     power of the rest of a Grace Hopper module: both powers then
 *                                      have scope 1, the GPU plus this; 0: no such scope
 *   memory_share SHARE                 share of the power that the memory draws: both powers then
 *                                      have scope 2, this share; 0: no such scope
 *   samples PERIOD                     spacing of the ring of the last 120 power samples; each is
 *                                      the mean since the one before
 *   temperature T C                    the temperature, linear between points; 45 C if none
 *   limit_w WATTS      mig 0|1         persistence 0|1      virtualization MODE
 *   application_mhz SM MEM SM0 MEM0    application clocks now and by default; 1980 and 3201 if none
 *   locked_mhz SM                      the clock that is locked, which no function returns; 0: none
 *   minor NUMBER                       number of the device file; the index if none
 *   memory BYTES                       total memory of the board; 1 GiB is reserved, 1 GiB used
 *   process PID BYTES [T0 T1]          a compute process on this GPU
 *   graphics_process PID BYTES [T0 T1]
 *   mps_process PID BYTES [T0 T1]      a client of the Multi-Process Service
 *   throttle T0 T1 BITS                bits of the clock event reasons. Bits 0x84 also count into
 *                                      field 74 (power), bits 0x60 into field 75 (thermal). Where
 *                                      two lines of one kind overlap, the time counts twice
 *   stall T0 T1                        the energy counter is not updated in this interval
 *   reset T                            the energy counter restarts from 0
 *   fault FUNCTION CODE T0 T1          FUNCTION returns this NVML code. `field:83` is one
 *                                      value of nvmlDeviceGetFieldValues; `*` is every call on
 *                                      this GPU (a lost device). For a function that takes no GPU
 *                                      the line may be under any GPU
 *   fault_call FUNCTION CODE N0 N1     the same for calls N0 to N1, both included. Each process
 *                                      counts the calls of a function from 1, over all GPUs
 *   missing FUNCTION                   always returns NVML_ERROR_FUNCTION_NOT_FOUND
 *   latency_us N [T0 T1]               every call on this GPU takes N microseconds longer
 */

#define _GNU_SOURCE /* dladdr */
#include <ctype.h>
#include <dlfcn.h>

#include "fake_nvml.h"

Gpu gpus[MAX_GPUS];
int n_gpus;

/* Without this check a misspelt function would be a fault that never occurs. */
static int is_faultable(const char *function)
{
    unsigned field;
    char rest;
    Dl_info self;
    if (!strcmp(function, "*") || sscanf(function, "field:%u%c", &field, &rest) == 1)
        return 1;
    dladdr((void *)gpus, &self);
    void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    int is_exported = !strncmp(function, "nvml", 4) || !strncmp(function, "amdsmi", 6);
    return is_exported && library && dlsym(library, function);
}

/* Write the numbers in `text` to `out` and return how many there are (max. 4); -1 if `text` holds
 * anything else. */
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
        {"counter_filter", offsetof(Gpu, counter.filter_s), 1},
        {"counter_delay", offsetof(Gpu, counter.delay_s), 1},
        {"counter_seen", offsetof(Gpu, counter.seen_s), 1},
        {"counter_threshold", offsetof(Gpu, counter.threshold_w), 1},
        {"counter_burst", offsetof(Gpu, counter.burst_s), 1},
        {"counter_every", offsetof(Gpu, every), 3},
        {"counter_bits", offsetof(Gpu, counter.bits), 1},
        {"counter_float32", offsetof(Gpu, counter.is_float32), 1},
        {"power_filter", offsetof(Gpu, power_filter_s), 1},
        {"power_delay", offsetof(Gpu, power_delay_s), 1},
        {"module_w", offsetof(Gpu, module_w), 1}, {"memory_share", offsetof(Gpu, memory_share), 1},
        {"samples", offsetof(Gpu, sample_period_s), 1}, {"limit_w", offsetof(Gpu, limit_w), 1},
        {"idle_w", offsetof(Gpu, idle_w), 1},
        {"repeat", offsetof(Gpu, watts.repeat_s), 1}, {"mig", offsetof(Gpu, mig), 1},
        {"persistence", offsetof(Gpu, persistence), 1},
        {"virtualization", offsetof(Gpu, virtualization), 1},
        {"application_mhz", offsetof(Gpu, application_mhz), 4},
        {"locked_mhz", offsetof(Gpu, locked_mhz), 1}, {"minor", offsetof(Gpu, minor), 1},
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
    int is_graphics = !strcmp(word, "graphics_process"), is_mps = !strcmp(word, "mps_process");
    Kind process = is_graphics ? GRAPHICS_PROCESS : is_mps ? MPS_PROCESS : COMPUTE_PROCESS;
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
    if (!strcmp(word, "neighbour") && n == 4 && v[0] >= 0 && v[0] <= 100)
        return add_event(gpu, (Event){NEIGHBOUR, v[2], v[3], v[1], (uint32_t)v[0], ""});
    if ((is_graphics || is_mps || !strcmp(word, "process")) && (n == 2 || n == 4) && v[0] >= 1)
        return add_event(gpu, (Event){process, n == 4 ? v[2] : -INFINITY, n == 4 ? v[3] : INFINITY,
                                      v[1], (uint32_t)v[0], ""});
    return set_numbers(gpu, word, v, n);
}

/* Apply one statement to the GPUs; return what is wrong with it, or NULL. */
static const char *read_statement(const char *word, const char *text)
{
    if (!strcmp(word, "gpu")) {
        if (n_gpus == MAX_GPUS || *text)
            return "expected `gpu` alone, at most 32 times";
        gpus[n_gpus++] = (Gpu){"Fake GPU", "GPU-fake", .celsius = {.linear = 1},
                               .counter = {0.1, 0, 0, 1, 0, 1, .bits = 64},
                               .every = {1, 0, INFINITY}, .power = {0.1, 1, 0},
                               .sample_period_s = 0.02, .limit_w = 700, .minor = -1, .persistence = 1,
                               .memory = 141.0 * (1ull << 30),
                               .application_mhz = {1980, 3201, 1980, 3201}};
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

static void fill_areas(Curve *curve)
{
    for (Point *from = curve->points; from < curve->points + curve->n_points - 1; from++) {
        double mean = curve->linear ? (from[0].value + from[1].value) / 2 : from->value;
        from[1].area = from->area + mean * (from[1].t_s - from->t_s);
    }
}

/* Check a complete GPU and integrate its power; return what is wrong with it, or NULL. */
static const char *check_gpu(Gpu *gpu)
{
    if (gpu->watts.n_points == 0)
        return "a GPU has no point";
    if (gpu->celsius.n_points == 0)
        add_point(&gpu->celsius, 0, 45);
    if (!(gpu->counter.period_s > 0 && gpu->power.period_s > 0 && gpu->sample_period_s > 0
          && gpu->power.average_window_s >= 0 && gpu->power.instant_window_s >= 0
          && gpu->power_filter_s >= 0 && gpu->power_delay_s >= 0))
        return "periods must be above 0, averaging windows, filter and delay of power 0 or more";
    if (!(gpu->counter.jitter_s >= 0 && gpu->counter.jitter_s < gpu->counter.period_s / 2))
        return "the jitter of a counter must be less than half its period";
    if (!(gpu->counter.filter_s >= 0 && gpu->counter.delay_s >= 0 && gpu->counter.burst_s >= 0
          && gpu->counter.seen_s >= 0 && gpu->counter.seen_s <= gpu->counter.period_s))
        return "the flaws of a counter last 0 or more, and it sees at most its whole period";
    if (!(gpu->counter.jitter_s + gpu->counter.burst_s < gpu->counter.period_s))
        return "bursts of a counter must be shorter than its period";
    if (gpu->every.n < 1 || gpu->every.n != floor(gpu->every.n) || gpu->counter.bits < 1)
        return "expected a whole number of updates and of bits, at least 1";
    if (gpu->counter.filter_s > 0 && (gpu->counter.seen_s > 0 || gpu->counter.threshold_w > 0))
        return "a counter with a filter cannot have seen or threshold too";
    if (gpu->counter.quantum_mj < 1 || gpu->counter.quantum_mj != floor(gpu->counter.quantum_mj))
        return "the quantum of a counter must be whole millijoules";
    if (gpu->watts.repeat_s != 0
        && (gpu->watts.points[0].t_s < 0
            || gpu->watts.repeat_s < gpu->watts.points[gpu->watts.n_points - 1].t_s))
        return "with repeat, every point must lie between 0 and the repeat period";
    fill_areas(&gpu->watts);
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

/* Read the trace file; return 0 if it has a mistake, which is printed. */
int load_trace(void)
{
    const char *path = getenv("LLEM_FAKE_NVML"), *wrong = read_epoch();
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int number = 0;
    n_gpus = 0; /* an earlier load that failed may have left some */
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
        wrong = check_gpu(&gpus[i]);
    if (file)
        fclose(file);
    if (wrong)
        fprintf(stderr, "fake_nvml: %s:%d: %s\n", path ? path : "-", number, wrong);
    return !wrong;
}
