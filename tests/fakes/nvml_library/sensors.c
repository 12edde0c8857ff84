/* The sensors: what the driver reports of the true power at an instant. */

#include "fake_nvml.h"

int covers(const Event *event, double t_s)
{
    return event->t0_s <= t_s && t_s < event->t1_s;
}

/* The last multiple of the period that is not after `t_s`. */
double last_update_s(double t_s, double period_s)
{
    return period_s * floor(t_s / period_s + ROUNDING);
}

/* A number from -1 to 1 that looks random; the same `k` gives the same number.
 * Source: the finaliser of splitmix64 (public domain). */
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

/* The search begins one update later, because that one may be early. */
static double last_counter_update_s(const Gpu *gpu, double t_s)
{
    double period_s = gpu->counter.period_s;
    double k = floor((t_s - gpu->counter.phase_s) / period_s + ROUNDING) + 1;
    while (counter_update_s(gpu, k) > t_s + ROUNDING * period_s)
        k--;
    return counter_update_s(gpu, k);
}

uint64_t counter_mj(const Gpu *gpu, double t_s)
{
    double rounding_s = ROUNDING * gpu->counter.period_s, reset_s = -INFINITY;
    double shown_s = last_counter_update_s(gpu, t_s);
    for (int is_stalled = 1; is_stalled;) {
        is_stalled = 0; /* the update before this stall may lie in another stall: check again */
        EACH_EVENT(event, gpu, STALL)
            if (covers(event, shown_s + rounding_s)) {
                shown_s = last_counter_update_s(gpu, event->t0_s - 2 * rounding_s);
                is_stalled = 1;
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

uint32_t mean_mw(const Gpu *gpu, double end_s, double window_s)
{
    double w = window_s == 0 ? value_at(&gpu->watts, end_s)
                             : joules_between(gpu, end_s - window_s, end_s) / window_s;
    return (uint32_t)lround(1000 * w);
}

uint32_t power_mw(const Gpu *gpu, double t_s, double window_s)
{
    return mean_mw(gpu, last_update_s(t_s, gpu->power.period_s), window_s);
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
