/* The energy counter: when it is updated, and what it then shows of the true energy. */

#include "fake_nvml.h"

/* A number from -1 to 1 that looks random; the same `k` gives the same number.
 * Source: the finaliser of splitmix64 (public domain). */
static double noise(int64_t k)
{
    uint64_t bits = (uint64_t)k * 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return (double)(bits >> 11) / (double)(1ull << 52) - 1;
}

static double update_s(const Gpu *gpu, double k)
{
    return gpu->counter.phase_s + gpu->counter.period_s * k
           + gpu->counter.jitter_s * noise((int64_t)k)
           - (fmod(k, 2) != 0 ? gpu->counter.burst_s : 0);
}

/* Whether update `k` is left out, because power is in the range with fewer updates. */
static int is_left_out(const Gpu *gpu, double k)
{
    double w = value_at(&gpu->watts, update_s(gpu, k));
    return gpu->every.low_w <= w && w < gpu->every.high_w && fmod(k, gpu->every.n) != 0;
}

/* The search begins one update later, because that one may be early. */
static double last_counter_update_s(const Gpu *gpu, double t_s)
{
    double period_s = gpu->counter.period_s;
    double k = floor((t_s - gpu->counter.phase_s) / period_s + ROUNDING) + 1;
    while (update_s(gpu, k) > t_s + ROUNDING * period_s || is_left_out(gpu, k))
        k--;
    return update_s(gpu, k);
}

/* Joules that periods up to `t_s` have added: each its length times the mean power of the part of
 * it that is seen, and nothing below the threshold. A thread continues from its last result. */
static double added_j(const Gpu *gpu, double t_s)
{
    static _Thread_local struct { const Gpu *gpu; double k, joules; } last;
    double period_s = gpu->counter.period_s, phase_s = gpu->counter.phase_s;
    double seen_s = gpu->counter.seen_s > 0 ? gpu->counter.seen_s : period_s;
    double end_k = floor((t_s - phase_s) / period_s + ROUNDING);
    if (last.gpu != gpu || last.k > end_k)
        last.gpu = gpu, last.k = floor(-phase_s / period_s + ROUNDING), last.joules = 0;
    for (; last.k < end_k; last.k++) {
        double end_s = phase_s + (last.k + 1) * period_s;
        double mean_w = joules_between(gpu, end_s - seen_s, end_s) / seen_s;
        last.joules += mean_w < gpu->counter.threshold_w ? 0 : mean_w * period_s;
    }
    return last.joules;
}

/* Joules since 0 that the counter knows of at `t_s`. */
static double known_j(const Gpu *gpu, double t_s)
{
    t_s -= gpu->counter.delay_s;
    if (gpu->counter.seen_s > 0 || gpu->counter.threshold_w > 0)
        return added_j(gpu, t_s);
    double joules = joules_between(gpu, 0, t_s), tau_s = gpu->counter.filter_s;
    /* What a filter still holds back is its time constant times its output. */
    return tau_s > 0 ? joules - tau_s * (filtered_w(gpu, t_s, tau_s) - filtered_w(gpu, 0, tau_s)) : joules;
}

static double shown_mj(const Gpu *gpu, double mj)
{
    double quantum = gpu->counter.quantum_mj;
    mj = fmax(0, quantum * round(mj / quantum)); /* below 0 until the first update after a reset */
    if (gpu->counter.is_float32)
        mj = (double)(float)mj;
    return gpu->counter.bits < 64 ? fmod(mj, exp2(gpu->counter.bits)) : mj;
}

uint64_t counter_mj(const Gpu *gpu, double t_s)
{
    static _Thread_local struct { const Gpu *gpu; double shown_s, reset_s, mj; } last;
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
    /* Between two updates the value stays. Only the filter is slow enough for this to matter. */
    if (gpu->counter.filter_s > 0 && last.gpu == gpu && last.shown_s == shown_s
        && last.reset_s == reset_s)
        return (uint64_t)last.mj;
    int is_reset = isfinite(reset_s);
    double joules = known_j(gpu, shown_s) - (is_reset ? known_j(gpu, reset_s) : 0);
    double mj = 1000 * gpu->counter.gain * joules + (is_reset ? 0 : gpu->counter.initial_mj);
    last.gpu = gpu, last.shown_s = shown_s, last.reset_s = reset_s, last.mj = shown_mj(gpu, mj);
    return (uint64_t)last.mj;
}
