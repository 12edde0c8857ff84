/* The clock of the fake, and the true power over time with its integral. */

#include "fake_nvml.h"

double epoch_s, wall_at_epoch_s;
_Atomic double virtual_s = NAN;

double clock_s(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A test hook: from now on the clock is virtual and stays at `t_s` until the next call. */
EXPORT void fake_nvml_set_time(double t_s) { virtual_s = t_s; }

/* A test hook: the epoch is now, and the clock is real again. */
EXPORT void fake_nvml_begin(void)
{
    epoch_s = clock_s(CLOCK_MONOTONIC);
    wall_at_epoch_s = clock_s(CLOCK_REALTIME);
    virtual_s = NAN;
}

/* Seconds since the epoch of the fake. */
EXPORT double fake_nvml_now(void)
{
    double t_s = virtual_s;
    return isnan(t_s) ? clock_s(CLOCK_MONOTONIC) - epoch_s : t_s;
}

/* The last point that is not after `t_s`; the first point if there is none. */
static const Point *point_before(const Curve *curve, double t_s)
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

/* The area from the first point to `t_s`, without repeats; negative before the first point. */
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

double value_at(const Curve *curve, double t_s)
{
    if (curve->repeat_s > 0)
        t_s -= curve->repeat_s * floor(t_s / curve->repeat_s + ROUNDING);
    const Point *from = point_before(curve, t_s + ROUNDING);
    return from->value + (t_s - from->t_s) * slope_per_s(curve, from, t_s);
}

double joules_between(const Gpu *gpu, double t0_s, double t1_s)
{
    return area_since_zero(&gpu->watts, t1_s) - area_since_zero(&gpu->watts, t0_s);
}

/* A test hook: the true joules of GPU `index` between two instants; NAN before init or if there is
 * no such GPU. */
EXPORT double fake_nvml_true_energy(unsigned index, double t0_s, double t1_s)
{
    if (!is_loaded || index >= (unsigned)n_gpus)
        return NAN;
    return joules_between(&gpus[index], t0_s, t1_s);
}
