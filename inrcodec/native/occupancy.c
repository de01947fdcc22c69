/* Which voxels are represented: section 8 of docs/format.md. */
#include "decoder.h"

#include <math.h>
#include <stdlib.h>

#define CHANGED (-3) /* logit of the flag that says a context differs from its default */
#define CHANGE_SCALE 52

typedef struct {
    inr_context *context;
    inr_symbols symbols;
    uint8_t *cells;
    uint32_t shape[3]; /* of the cells */
    int32_t logits[2][INR_SECOND_CONTEXTS];
} mask;

/* A lattice of new cells between planes of known ones, and how to get from one cell to the next. */
typedef struct {
    const uint8_t *known;
    uint8_t *new;
    uint32_t count[3]; /* new planes, rows and columns */
    uint32_t last; /* of the known planes */
    size_t stride[3];
} lattice;

static void read_logits(mask *m, int which)
{
    const int8_t *defaults = which ? inr_second_logits : inr_first_logits;
    int size = which ? INR_SECOND_CONTEXTS : INR_FIRST_CONTEXTS, changes = 0, changed[INR_SECOND_CONTEXTS];
    for (int i = 0; i < size; i++)
        m->logits[which][i] = defaults[i];
    if (!inr_flag(&m->symbols, 0))
        return;
    for (int i = 0; i < size; i++) {
        if (inr_flag(&m->symbols, CHANGED))
            changed[changes++] = i;
    }
    uint8_t indices[INR_SECOND_CONTEXTS];
    int32_t change[INR_SECOND_CONTEXTS];
    for (int i = 0; i < changes; i++)
        indices[i] = CHANGE_SCALE;
    inr_scratch scratch = inr_scratch_for(m->context, INR_SECOND_CONTEXTS);
    inr_step(&m->symbols, indices, change, (size_t)changes, scratch);
    inr_scratch_release(m->context, scratch);
    for (int i = 0; i < changes; i++) {
        int32_t logit = m->logits[which][changed[i]] += change[i];
        if (logit > INR_FLAG_LOGITS || logit < -INR_FLAG_LOGITS)
            inr_fail(m->context, "occupancy has a probability beyond the format's range");
    }
}

static uint32_t clamp(int64_t value, uint32_t last)
{
    return value < 0 ? 0 : value > last ? last : (uint32_t)value;
}

static unsigned known_cell(const lattice *l, int64_t plane, int64_t row, int64_t column)
{
    return l->known[clamp(plane, l->last) * l->stride[0] + clamp(row, l->count[1] - 1) * l->stride[1] +
                    clamp(column, l->count[2] - 1) * l->stride[2]];
}

/* the cells before and behind */
static unsigned both(const lattice *l, int64_t plane, int64_t row, int64_t column)
{
    return known_cell(l, plane, row, column) + known_cell(l, plane + 1, row, column);
}

static unsigned new_cell(const lattice *l, uint32_t plane, int64_t row, int64_t column)
{
    if (row < 0 || column < 0 || row >= l->count[1] || column >= l->count[2])
        return 0;
    return l->new[plane * l->stride[0] + (size_t)row * l->stride[1] + (size_t)column * l->stride[2]];
}

static uint8_t cell_context(const lattice *l, uint32_t plane, uint32_t row, uint32_t column, int colour)
{
    int64_t p = plane, r = row, c = column;
    unsigned middle = both(l, p, r, c);
    unsigned beside = both(l, p, r + 1, c) + both(l, p, r - 1, c) + both(l, p, r, c + 1) + both(l, p, r, c - 1);
    if (colour) {
        unsigned near = new_cell(l, plane, r + 1, c) + new_cell(l, plane, r - 1, c) + new_cell(l, plane, r, c + 1) +
                        new_cell(l, plane, r, c - 1);
        return (uint8_t)((middle * 5 + near) * 9 + beside);
    }
    unsigned corners = both(l, p, r + 1, c + 1) + both(l, p, r + 1, c - 1) + both(l, p, r - 1, c + 1) +
                       both(l, p, r - 1, c - 1);
    unsigned beyond = known_cell(l, p - 1, r, c) + known_cell(l, p + 2, r, c);
    return (uint8_t)((middle * 13 + (2 * beside + corners) / 2) * 3 + beyond);
}

/* One colour of the new cells: sorted by context, then in C order. */
static void decode_colour(mask *m, const lattice *l, int colour)
{
    uint64_t most = (uint64_t)l->count[0] * l->count[1] * l->count[2];
    uint8_t **cells = inr_take(m->context, most, sizeof *cells);
    uint8_t *contexts = inr_take(m->context, most, 1);
    uint64_t next[INR_SECOND_CONTEXTS + 1] = {0}, count = 0;
    uint64_t *order = inr_take(m->context, most, sizeof *order);
    for (uint32_t p = 0; p < l->count[0]; p++) {
        for (uint32_t r = 0; r < l->count[1]; r++) {
            for (uint32_t c = (r + (uint32_t)colour) % 2; c < l->count[2]; c += 2, count++) {
                contexts[count] = cell_context(l, p, r, c, colour);
                cells[count] = l->new + p * l->stride[0] + r * l->stride[1] + c * l->stride[2];
                next[contexts[count] + 1]++;
            }
        }
    }
    for (int i = 0; i < INR_SECOND_CONTEXTS; i++)
        next[i + 1] += next[i];
    for (uint64_t i = 0; i < count; i++)
        order[next[contexts[i]]++] = i;
    for (uint64_t i = 0; i < count; i++)
        *cells[order[i]] = (uint8_t)inr_flag(&m->symbols, m->logits[colour][contexts[order[i]]]);
    inr_release(m->context, order);
    inr_release(m->context, contexts);
    inr_release(m->context, cells);
}

/* All planes across an axis that lie half a stride beyond known ones. */
static void decode_planes(mask *m, int axis, uint32_t stride)
{
    const size_t unit[3] = {(size_t)m->shape[1] * m->shape[2], m->shape[2], 1};
    uint32_t half = stride / 2;
    lattice l = {.known = m->cells};
    if (m->shape[axis] <= half)
        return;
    l.last = (m->shape[axis] - 1) / stride;
    l.count[0] = (m->shape[axis] - half - 1) / stride + 1;
    l.stride[0] = stride * unit[axis];
    l.new = m->cells + half * unit[axis];
    for (int a = 0, place = 1; a < 3; a++) {
        uint32_t step = a < axis ? half : stride;
        if (a == axis)
            continue;
        l.count[place] = (m->shape[a] - 1) / step + 1;
        l.stride[place++] = step * unit[a];
    }
    decode_colour(m, &l, 0);
    if (l.count[1] > 1 || l.count[2] > 1)
        decode_colour(m, &l, 1);
}

uint8_t *inr_occupied(inr_context *context, const uint8_t *bytes, size_t size, const uint32_t shape[3])
{
    inr_reader reader = {context, bytes, size};
    uint64_t cell = inr_varint(&reader);
    mask m = {.context = context};
    uint32_t longest = 1, stride = 1;
    uint64_t count = 1;
    if (cell != 1 && cell != 2 && cell != 4 && cell != 8)
        inr_fail(context, "occupancy cells of %llu voxels", (unsigned long long)cell);
    for (int a = 0; a < 3; a++) {
        m.shape[a] = (shape[a] + (uint32_t)cell - 1) / (uint32_t)cell;
        longest = m.shape[a] > longest ? m.shape[a] : longest;
        count *= m.shape[a];
    }
    double cheapest = INR_PRECISION - log2(inr_flag_frequency[2 * INR_FLAG_LOGITS]);
    if (8.0 * (double)reader.left + 64 < (double)count * cheapest)
        inr_fail(context, "occupancy of %zu bytes is too short for %llu cells", reader.left,
                 (unsigned long long)count);
    inr_symbols_open(&m.symbols, context, reader.at, reader.left);
    read_logits(&m, 0);
    read_logits(&m, 1);
    m.cells = inr_take(context, count, 1);
    m.cells[0] = (uint8_t)inr_flag(&m.symbols, 0);
    while (stride < longest)
        stride *= 2;
    for (; stride > 1; stride /= 2) {
        for (int axis = 0; axis < 3; axis++)
            decode_planes(&m, axis, stride);
    }
    inr_symbols_end(&m.symbols);
    uint8_t *voxels = inr_take(context, (uint64_t)shape[0] * shape[1] * shape[2], 1), *to = voxels;
    for (uint32_t z = 0; z < shape[0]; z++) {
        for (uint32_t y = 0; y < shape[1]; y++) {
            const uint8_t *line = m.cells + ((size_t)(z / cell) * m.shape[1] + y / cell) * m.shape[2];
            for (uint32_t x = 0; x < shape[2]; x++)
                *to++ = line[x / cell];
        }
    }
    inr_release(context, m.cells);
    return voxels;
}
