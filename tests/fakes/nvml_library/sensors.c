/* The sensors: what the driver reports of the true power at an instant. */

#include "fake_nvml.h"

enum { SLICES_PER_TAU = 50, N_SLICES = 15 * SLICES_PER_TAU };

int covers(const Event *event, double t_s)
{
    return event->t0_s <= t_s && t_s < event->t1_s;
}

/* The last multiple of the period that is not after `t_s`. */
double last_update_s(double t_s, double period_s)
{
    return period_s * floor(t_s / period_s + ROUNDING);
}

/* Power behind a first-order filter: a mean over the past with exponentially falling weights, in
 * slices whose mean power is exact. */
double filtered_w(const Gpu *gpu, double t_s, double tau_s)
{
    double slice_s = tau_s / SLICES_PER_TAU, w = 0, weights = 0;
    for (int i = 0; i < N_SLICES; i++) {
        double weight = exp(-(i + 0.5) / SLICES_PER_TAU);
        w += weight * joules_between(gpu, t_s - (i + 1) * slice_s, t_s - i * slice_s) / slice_s;
        weights += weight;
    }
    return w / weights;
}

uint32_t mean_mw(const Gpu *gpu, double end_s, double window_s)
{
    double w = window_s == 0 ? value_at(&gpu->watts, end_s)
                             : joules_between(gpu, end_s - window_s, end_s) / window_s;
    return (uint32_t)lround(1000 * w);
}

/* Mean power over `window_s` up to the last update, which may be late; or behind a filter. */
uint32_t power_mw(const Gpu *gpu, double t_s, double window_s)
{
    static _Thread_local struct { const Gpu *gpu; double shown_s; uint32_t mw; } last;
    double shown_s = last_update_s(t_s, gpu->power.period_s) - gpu->power_delay_s;
    if (gpu->power_filter_s == 0)
        return mean_mw(gpu, shown_s, window_s);
    if (last.gpu != gpu || last.shown_s != shown_s) /* a filter is slow to compute */
        last.gpu = gpu, last.shown_s = shown_s,
        last.mw = (uint32_t)lround(1000 * filtered_w(gpu, shown_s, gpu->power_filter_s));
    return last.mw;
}

uint64_t throttle_reasons(const Gpu *gpu, double t_s)
{
    uint64_t reasons = 0;
    EACH_EVENT(event, gpu, THROTTLE)
        if (covers(event, t_s))
            reasons |= (uint64_t)event->value;
    return reasons;
}

/* Nanoseconds up to `t_s` in which the GPU was slowed down for one of `reasons`. */
uint64_t violation_ns(const Gpu *gpu, double t_s, unsigned reasons)
{
    double total_s = 0;
    EACH_EVENT(event, gpu, THROTTLE)
        if ((unsigned)event->value & reasons)
            total_s += fmax(0, fmin(t_s, event->t1_s) - event->t0_s);
    return (uint64_t)llround(1e9 * total_s);
}

int64_t latency_us(const Gpu *gpu, double t_s)
{
    double total_us = 0;
    EACH_EVENT(event, gpu, LATENCY)
        if (covers(event, t_s))
            total_us += event->value;
    return (int64_t)total_us;
}
