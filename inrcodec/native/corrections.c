/* What makes a bound hold at every voxel: section 9 of docs/format.md. */
#include <string.h>

#include "decoder.h"

#define DENSE 0 /* in the place of a bit code */
#define LARGEST_CELL 6 /* log2 of its side */
#define MULTIPLES 8 /* scale index of the sparse ones */

typedef struct {
    inr_context *context;
    double *density;
    const uint8_t *occupied;
    const uint32_t *shape;
    uint64_t count; /* of voxels */
    double step;
} box;

static bool is_occupied(const box *b, uint64_t voxel)
{
    return !b->occupied || b->occupied[voxel];
}

static void correct_sparse(const box *b, unsigned code, const inr_reader *reader)
{
    inr_symbols symbols;
    uint64_t found = 0;
    if (code >= inr_bit_codes)
        inr_fail(b->context, "unknown bit frequency code %u", code);
    inr_symbols_open(&symbols, b->context, reader->at, reader->left);
    uint8_t *missed = inr_take(b->context, b->count, 1);
    for (uint64_t i = 0; i < b->count; i++) {
        if (is_occupied(b, i))
            found += missed[i] = (uint8_t)inr_bit(&symbols, inr_bit_frequency[code]);
    }
    uint8_t *negative = inr_take(b->context, found, 1), *indices = inr_take(b->context, found, 1);
    int32_t *multiples = inr_take(b->context, found, sizeof *multiples);
    inr_scratch scratch = inr_scratch_for(b->context, found);
    for (uint64_t i = 0; i < found; i++)
        negative[i] = (uint8_t)inr_uniform(&symbols, 1);
    memset(indices, MULTIPLES, (size_t)found);
    inr_step(&symbols, indices, multiples, (size_t)found, scratch);
    inr_symbols_end(&symbols);
    for (uint64_t i = 0, next = 0; i < b->count; i++) {
        if (missed[i]) {
            double multiple = multiples[next] + 1.0;
            b->density[i] += (negative[next++] ? -multiple : multiple) * b->step;
        }
    }
}

/* Sets the scale indices of cells that hold an occupied voxel; the rest of the grid is not touched. */
static void read_scales(const box *b, inr_symbols *symbols, unsigned first, unsigned table, uint8_t *scales,
                        const uint8_t *present, uint64_t cells)
{
    uint64_t count = 0;
    int64_t code = first;
    for (uint64_t i = 0; i < cells; i++)
        count += present[i];
    uint8_t *indices = inr_take(b->context, count, 1);
    int32_t *moves = inr_take(b->context, count, sizeof *moves);
    inr_scratch scratch = inr_scratch_for(b->context, count);
    memset(indices, (int)table, (size_t)count);
    inr_step(symbols, indices, moves, (size_t)count, scratch);
    for (uint64_t i = 0, next = 0; i < cells; i++) {
        if (!present[i])
            continue;
        code += moves[next++];
        if (code < 0 || 2 * code >= INR_SCALES)
            inr_fail(b->context, "corrections with a scale of %lld", (long long)code);
        scales[i] = (uint8_t)(2 * code);
    }
    inr_scratch_release(b->context, scratch);
    inr_release(b->context, moves);
    inr_release(b->context, indices);
}

static void correct_dense(const box *b, inr_reader *reader)
{
    inr_symbols symbols;
    unsigned side = inr_u8(reader), first = inr_u8(reader), table = inr_u8(reader);
    uint64_t found = 0, voxel = 0, grid[3];
    if (side > LARGEST_CELL || table >= INR_SCALES)
        inr_fail(b->context, "corrections in cells of 2^%u voxels with scale index %u", side, table);
    inr_symbols_open(&symbols, b->context, reader->at, reader->left);
    for (int a = 0; a < 3; a++)
        grid[a] = ((b->shape[a] - 1) >> side) + 1;
    uint64_t cells = grid[0] * grid[1] * grid[2];
    uint8_t *present = inr_take(b->context, cells, 1), *scales = inr_take(b->context, cells, 1);
    uint32_t *cell_of = inr_take(b->context, b->count, sizeof *cell_of);
    for (uint64_t z = 0; z < b->shape[0]; z++) {
        for (uint64_t y = 0; y < b->shape[1]; y++) {
            for (uint64_t x = 0; x < b->shape[2]; x++, voxel++) {
                uint64_t cell = ((z >> side) * grid[1] + (y >> side)) * grid[2] + (x >> side);
                cell_of[voxel] = (uint32_t)cell;
                if (is_occupied(b, voxel)) {
                    present[cell] = 1;
                    found++;
                }
            }
        }
    }
    read_scales(b, &symbols, first, table, scales, present, cells);
    uint8_t *indices = inr_take(b->context, found, 1);
    int32_t *multiples = inr_take(b->context, found, sizeof *multiples);
    inr_scratch scratch = inr_scratch_for(b->context, found);
    for (uint64_t i = 0, next = 0; i < b->count; i++) {
        if (is_occupied(b, i))
            indices[next++] = scales[cell_of[i]];
    }
    inr_step(&symbols, indices, multiples, (size_t)found, scratch);
    inr_symbols_end(&symbols);
    for (uint64_t i = 0, next = 0; i < b->count; i++) {
        if (is_occupied(b, i))
            b->density[i] += multiples[next++] * b->step;
    }
}

void inr_correct(inr_context *context, const uint8_t *bytes, size_t size, double *density, const uint8_t *occupied,
                 const uint32_t shape[3])
{
    inr_reader reader = {context, bytes, size};
    box b = {context, density, occupied, shape, (uint64_t)shape[0] * shape[1] * shape[2], inr_f64(&reader)};
    unsigned code = inr_u8(&reader);
    inr_check_density(context, b.step, 0, "correction step");
    if (code == DENSE)
        correct_dense(&b, &reader);
    else
        correct_sparse(&b, code, &reader);
}
