/* From latents to voxels: sections 7 (steps 1 and 2) and 7a of docs/format.md. */
#include "decoder.h"

#include <math.h>

#define LIMIT 536870912.0 /* 2^29: below it every sum of a stage is exact in a double */
#define TABLE 1048576.0 /* 2^20 */

static bool all_zero(const double *values, size_t count)
{
    while (count > 0 && values[count - 1] == 0)
        count--;
    return count == 0;
}

/* Synthesis along one axis: (outer, blocks, latents, inner) values become (outer, length, inner). Of the
   latents only the lowest `used` are there. Releases the values. */
static double *along(inr_context *context, const inr_axis *axis, double *values, uint64_t outer, uint32_t used,
                     size_t inner, bool last)
{
    uint64_t count = outer * axis->blocks * used * inner, size = outer * axis->length * inner;
    for (uint64_t i = 0; i < count; i++) {
        if (!(fabs(values[i]) < LIMIT))
            inr_fail(context, "latents are out of the range that exact arithmetic holds");
    }
    double *out = inr_take(context, size, sizeof *out);
    for (uint32_t b = 0; b < axis->blocks; b++) {
        inr_basis block = inr_make_basis(context, axis, b);
        for (uint64_t o = 0; o < outer; o++) {
            for (uint32_t k = 0; k < used; k++) {
                const double *from = values + ((o * axis->blocks + b) * used + k) * inner;
                const double *table = block.table + (size_t)k * block.samples;
                double *to = out + (o * axis->length + block.low) * inner;
                if (all_zero(from, inner))
                    continue;
                for (uint32_t i = 0; i < block.samples; i++, to += inner) {
                    for (size_t j = 0; j < inner; j++)
                        to[j] += table[i] * from[j];
                }
            }
        }
        inr_release(context, block.table);
    }
    inr_release(context, values);
    if (!last) {
        for (uint64_t i = 0; i < size; i++)
            out[i] = rint(out[i] / TABLE);
    }
    return out;
}

static unsigned at_end(const inr_axis *axis, uint32_t block)
{
    return block == 0 || block == axis->blocks - 1;
}

static double dequantised(const inr_field *field, int32_t latent, double multiplier)
{
    double magnitude = fabs((double)latent);
    if (latent == 0)
        return 0;
    double value = 64 * magnitude + field->offsets[magnitude > 2 ? 2 : (int)magnitude - 1];
    value = latent < 0 ? -value : value;
    if (!field->shells_size)
        return value;
    value *= multiplier;
    if (!(fabs(value) < 35184372088832.0)) /* 2^45 */
        inr_fail(field->context, "latents are out of the range that exact arithmetic holds");
    return rint(value / 65536);
}

double *inr_synthesise(inr_field *field)
{
    inr_context *context = field->context;
    const inr_axis *axis = field->axis;
    uint32_t used[3] = {1, 1, 1}, k[3];
    for (uint32_t i = 0; i < field->active_count; i++) {
        inr_frequency(field, field->active[i], k);
        for (int a = 0; a < 3; a++)
            used[a] = k[a] + 1 > used[a] ? k[a] + 1 : used[a];
    }
    uint64_t rows[2] = {(uint64_t)axis[0].blocks * used[0], (uint64_t)axis[1].blocks * used[1]};
    double *values = inr_take(context, rows[0] * rows[1] * axis[2].blocks * used[2], sizeof *values);
    for (uint32_t i = 0; i < field->active_count; i++) {
        const int32_t *latent = field->latents + (size_t)i * field->blocks;
        double multiplier[4];
        for (unsigned ends = 0; ends < 4; ends++)
            multiplier[ends] = (double)inr_multiplier(field, field->active[i], ends);
        inr_frequency(field, field->active[i], k);
        for (uint32_t z = 0; z < axis[0].blocks; z++) {
            for (uint32_t y = 0; y < axis[1].blocks; y++) {
                size_t at = ((size_t)z * used[0] + k[0]) * rows[1] + (size_t)y * used[1] + k[1];
                double *to = values + at * axis[2].blocks * used[2] + k[2];
                unsigned ends = at_end(&axis[0], z) + at_end(&axis[1], y);
                for (uint32_t x = 0; x < axis[2].blocks; x++, to += used[2])
                    *to = dequantised(field, *latent++, multiplier[ends + at_end(&axis[2], x)]);
            }
        }
    }
    inr_release(context, field->latents);
    values = along(context, &axis[2], values, rows[0] * rows[1], used[2], 1, false);
    values = along(context, &axis[1], values, rows[0], used[1], axis[2].length, false);
    return along(context, &axis[0], values, 1, used[0], (size_t)axis[1].length * axis[2].length, true);
}
