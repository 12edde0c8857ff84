/* NVML functions of energy and power. */

#include "fake_nvml.h"

typedef struct { /* nvmlFieldValue_t */
    uint32_t field, scope;
    int64_t timestamp_us, latency_us;
    uint32_t type, code;
    union { uint32_t ui; uint64_t ull; } value;
} FieldValue;
typedef struct { uint64_t timestamp_us; union { uint32_t ui; uint64_t ull; } value; } Sample;

static int has_scope(const Gpu *gpu, uint32_t scope)
{
    return (scope == MODULE_SCOPE && gpu->module_w > 0)
           || (scope == MEMORY_SCOPE && gpu->memory_share > 0);
}

static uint32_t read_field(const Gpu *gpu, double t_s, FieldValue *out)
{
    char name[32];
    snprintf(name, sizeof name, "field:%u", out->field);
    int code = scripted_error(gpu, name, 0);
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
       (const Gpu *gpu, unsigned *min_mw, unsigned *max_mw),
       *min_mw = 200000;
       *max_mw = 700000)
/* Only the ring of power samples exists. Without a buffer the call returns the number of entries
 * that a buffer may need. */
DEVICE(nvmlDeviceGetSamples, (const Gpu *gpu, int type, uint64_t last_seen_us, unsigned *value_type,
                              unsigned *n, Sample *samples),
       REQUIRE(type == TOTAL_POWER_SAMPLES, NOT_SUPPORTED);
       unsigned n_max = *n, n_copied = 0;
       *value_type = TYPE_UNSIGNED_INT;
       *n = RING_ENTRIES;
       REQUIRE(samples, SUCCESS);
       double newest_s = last_update_s(t_s, gpu->sample_period_s);
       for (int age = RING_ENTRIES - 1; age >= 0 && n_copied < n_max; age--) {
           double end_s = newest_s - age * gpu->sample_period_s;
           uint64_t stamp_us = (uint64_t)llround(1e6 * (wall_at_epoch_s + end_s));
           if (stamp_us > last_seen_us)
               samples[n_copied++] =
                   (Sample){stamp_us, {mean_mw(gpu, end_s, gpu->sample_period_s)}};
       }
       *n = n_copied;
       REQUIRE(n_copied, NOT_FOUND))
