/* Power that a program sets while the fake runs, so that it follows what the program does. */

#include "fake_nvml.h"

enum { MAX_LIVE_POINTS = 1 << 18 };

/* A test hook: from `t_s` on, GPU `index` draws `watts`, in this process only. Times must not fall;
 * at an equal time the power is replaced. Other threads may read the GPU meanwhile, so the points
 * never move: room for all of them is made by the first call. Returns 0 if the point is refused. */
EXPORT int fake_nvml_set_power(unsigned index, double t_s, double watts)
{
    static int is_live[MAX_GPUS];
    if (!is_loaded || index >= (unsigned)n_gpus || !(watts >= 0))
        return 0;
    Curve *curve = &gpus[index].watts;
    if (curve->linear || curve->repeat_s > 0)
        return 0;
    if (!is_live[index]) {
        Point *points = calloc(MAX_LIVE_POINTS, sizeof *points);
        if (!points || curve->n_points >= MAX_LIVE_POINTS)
            return 0;
        memcpy(points, curve->points, (size_t)curve->n_points * sizeof *points);
        curve->points = points; /* the old ones stay: a thread may be reading them */
        is_live[index] = 1;
    }
    Point *last = &curve->points[curve->n_points - 1];
    if (t_s < last->t_s || curve->n_points >= MAX_LIVE_POINTS)
        return 0;
    if (t_s == last->t_s) {
        last->value = watts;
        return 1;
    }
    last[1] = (Point){t_s, watts, last->area + (t_s - last->t_s) * last->value};
    __atomic_store_n(&curve->n_points, curve->n_points + 1, __ATOMIC_RELEASE);
    return 1;
}
