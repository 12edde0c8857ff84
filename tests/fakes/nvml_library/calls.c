/* Every exported function begins here: the call is counted, delayed, and may fail. */

#include "fake_nvml.h"

#define MAX_FUNCTIONS 64

atomic_uint references;
int is_loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards loading and the call counts */
static struct { const char *function; unsigned long calls; } counted[MAX_FUNCTIONS];
static _Thread_local unsigned long call_number; /* of the call that this thread is executing */

void count_call(const char *function)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < MAX_FUNCTIONS - 1 && counted[i].function && counted[i].function != function)
        i++; /* pointers can be compared: a function has one __func__ */
    counted[i].function = function;
    call_number = ++counted[i].calls;
    pthread_mutex_unlock(&lock);
}

static int concerns(const Event *event, double when, const char *function, int takes_gpu)
{
    return covers(event, when)
           && (!strcmp(event->function, function) || (takes_gpu && *event->function == '*'));
}

/* Return the NVML code that the trace gives this call, or SUCCESS. */
int scripted_error(const Gpu *gpu, const char *function, int takes_gpu)
{
    double t_s = fake_nvml_now();
    EACH_EVENT(event, gpu, FAULT)
        if (concerns(event, t_s, function, takes_gpu))
            return (int)event->value;
    EACH_EVENT(event, gpu, FAULT_CALL)
        if (concerns(event, (double)call_number, function, takes_gpu))
            return (int)event->value;
    return SUCCESS;
}

static int scripted_system_error(const char *function)
{
    int code = SUCCESS;
    for (int i = 0; i < n_gpus && code == SUCCESS; i++)
        code = scripted_error(&gpus[i], function, 0);
    return code;
}

int enter_system(const char *function)
{
    count_call(function);
    return references == 0 ? UNINITIALIZED : scripted_system_error(function);
}

int enter_device(const char *function, const Gpu *gpu)
{
    count_call(function);
    if (references == 0)
        return UNINITIALIZED;
    if (gpu < gpus || gpu >= gpus + n_gpus)
        return INVALID_ARGUMENT;
    int64_t wait_us = latency_us(gpu, fake_nvml_now());
    if (!isnan(virtual_s))
        virtual_s = virtual_s + 1e-6 * (double)wait_us;
    else if (wait_us > 0)
        nanosleep(&(struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000}, NULL);
    return scripted_error(gpu, function, 1);
}

int init_library(const char *function)
{
    count_call(function);
    pthread_mutex_lock(&lock);
    int ready = is_loaded = is_loaded || load_trace();
    pthread_mutex_unlock(&lock);
    int code = ready ? scripted_system_error(function) : UNKNOWN;
    references += code == SUCCESS;
    return code;
}

int copy_text(const char *text, char *out, unsigned size)
{
    return snprintf(out, size, "%s", text) < (int)size ? SUCCESS : INSUFFICIENT_SIZE;
}

/* A test hook: how often this process called `function`, failed calls included. */
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
