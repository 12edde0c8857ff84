/* Other users of a GPU that the driver need not list: how busy they keep it, and their memory.
 *
 * Their power is part of the power of the GPU. A neighbour is scripted by a line of the trace,
 * `neighbour PERCENT BYTES T0 T1`, or set by a program while the fake runs. */

#include "fake_nvml.h"

typedef struct { _Atomic uint32_t pid, percent; _Atomic uint64_t bytes; } Live;
static Live live[MAX_GPUS];

/* A test hook: from now on, a process with this id, and what it does, is on GPU `index`, in this
 * process only. An id of 0 is a neighbour that the driver does not list. */
EXPORT int fake_nvml_set_neighbour(unsigned index, uint32_t pid, uint32_t percent, uint64_t bytes)
{
    if (!is_loaded || index >= (unsigned)n_gpus || percent > 100)
        return 0;
    live[index].pid = pid;
    live[index].percent = percent;
    live[index].bytes = bytes;
    return 1;
}

uint32_t live_neighbour_pid(const Gpu *gpu) { return live[gpu - gpus].pid; }

double neighbour_percent(const Gpu *gpu, double t_s)
{
    double percent = live[gpu - gpus].percent;
    EACH_EVENT(event, gpu, NEIGHBOUR)
        if (covers(event, t_s))
            percent = fmax(percent, event->pid);
    return percent;
}

uint64_t neighbour_bytes(const Gpu *gpu, double t_s)
{
    uint64_t bytes = live[gpu - gpus].bytes;
    EACH_EVENT(event, gpu, NEIGHBOUR)
        if (covers(event, t_s))
            bytes += (uint64_t)event->value;
    return bytes;
}
