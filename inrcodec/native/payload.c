/* The bytes of a payload: sections 1, 2, 7 (steps 3, 6 and 7) and 10 of docs/format.md. */
#include "decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libraries.h"

#define FORMAT_VERSION 5
#define SHORTEST 13 /* bytes of a payload */
#define MAX_VOXELS (1ull << 30)
#define MAX_SIDE 4096
#define ZLIB_MOST 1040 /* zlib shrinks nothing by more than this */
#define MORE_SECTIONS 0x40 /* of the byte that says the field: a second byte of sections follows */

enum { FIELD_CONSTANT, FIELD_LOSSLESS, FIELD_LOCAL_FOURIER };
enum { CONSTANT = 1, LOSSLESS, FIELD, WEIGHTS, LATENTS, OCCUPANCY, CORRECTIONS, VERBATIM, SYMMETRY, PREDICTION,
       LEVELS, SECTIONS };

typedef struct {
    inr_context *context;
    inr_chunk chunk;
    int field;
    bool volume_scope;
    const uint8_t *section[SECTIONS]; /* NULL where there is none */
    size_t size[SECTIONS];
    uint64_t voxels;
    unsigned width; /* bytes of a voxel */
    uint32_t shape[3]; /* seen as a volume */
} payload;

uint64_t inr_chunk_size(const inr_chunk *chunk)
{
    uint64_t voxels = 1;
    if (chunk->axes < 1 || chunk->axes > INR_MAX_AXES)
        return 0;
    for (int a = 0; a < chunk->axes; a++) {
        if (chunk->shape[a] < 1 || chunk->shape[a] > MAX_VOXELS / voxels)
            return 0;
        voxels *= chunk->shape[a];
    }
    return voxels * inr_width(chunk->dtype);
}

static void parse_frame(payload *p, const uint8_t *bytes, size_t size)
{
    inr_context *context = p->context;
    if (size < SHORTEST || memcmp(bytes, "INR", 3))
        inr_fail(context, "not an inrcodec payload: %zu bytes", size);
    if (bytes[3] != FORMAT_VERSION)
        inr_fail(context, "payload format version %u, this build reads version %u", bytes[3], FORMAT_VERSION);
    const uint8_t *end = bytes + size - 4;
    uint32_t sum = (uint32_t)end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
    if (inr_crc32(0, bytes, size - 4) != sum)
        inr_fail(context, "checksum mismatch: the payload is damaged or cut short");
    inr_reader reader = {context, bytes + 4, size - 8};
    unsigned code = inr_u8(&reader), dtype = inr_u8(&reader);
    p->field = code & 0x7f & ~MORE_SECTIONS;
    p->volume_scope = code >> 7;
    p->chunk.dtype = dtype & 0x3f;
    p->chunk.big_endian = dtype >> 7;
    if (p->field > FIELD_LOCAL_FOURIER)
        inr_fail(context, "unknown field code %d", p->field);
    unsigned target = inr_u8(&reader);
    p->chunk.axes = (int)(target >> 4);
    if (target % 16 > 4)
        inr_fail(context, "unknown target code %u", target % 16);
    if (target % 16)
        inr_f64(&reader);
    if (p->chunk.axes < 1 || p->chunk.axes > INR_MAX_AXES)
        inr_fail(context, "%d dimensions, the format holds 1 to %d", p->chunk.axes, INR_MAX_AXES);
    for (int a = 0; a < p->chunk.axes; a++)
        p->chunk.shape[a] = inr_varint(&reader);
    unsigned held = inr_u8(&reader);
    if (code & MORE_SECTIONS)
        held |= inr_u8(&reader) << 8;
    if (held >> (SYMMETRY - 1) & 1 || held >> (PREDICTION - 1) & 1)
        inr_fail(context, "a payload with symmetry or prediction: the decoder in Python reads it");
    if (held >> (SECTIONS - 1))
        inr_fail(context, "unknown sections in %#x", held);
    uint64_t lengths[SECTIONS] = {0};
    for (int i = CONSTANT; i < SECTIONS; i++) {
        if (held >> (i - 1) > 1 && held >> (i - 1) & 1) /* the last one's length follows from the payload's */
            lengths[i] = inr_varint(&reader);
    }
    for (int i = CONSTANT; i < SECTIONS; i++) {
        if (held >> (i - 1) & 1) {
            p->size[i] = (size_t)(held >> (i - 1) > 1 ? lengths[i] : reader.left);
            p->section[i] = inr_bytes(&reader, held >> (i - 1) > 1 ? lengths[i] : reader.left);
        }
    }
    inr_end(&reader);
}

static inr_reader section(const payload *p, int number)
{
    if (!p->section[number])
        inr_fail(p->context, "payload has no section %d", number);
    return (inr_reader){p->context, p->section[number], p->size[number]};
}

static void check_chunk(payload *p, const inr_chunk *wanted)
{
    bool same = p->chunk.dtype == wanted->dtype && p->chunk.axes == wanted->axes;
    for (int a = 0; same && a < wanted->axes; a++)
        same = p->chunk.shape[a] == wanted->shape[a];
    if (!same)
        inr_fail(p->context, "payload holds another chunk than its container has: dtype %u, %d axes, first of %llu",
                 p->chunk.dtype, p->chunk.axes, (unsigned long long)p->chunk.shape[0]);
    uint64_t size = inr_chunk_size(&p->chunk);
    if (!size)
        inr_fail(p->context, "shape or dtype %u are none that the format holds", p->chunk.dtype);
    p->width = inr_width(p->chunk.dtype);
    p->voxels = size / p->width;
    const uint64_t *shape = p->chunk.shape;
    int lead = p->chunk.axes == 4 ? 1 : 0;
    for (int a = 0; a < 3; a++) {
        int from = a - 3 + p->chunk.axes;
        p->shape[a] = from < lead ? 1 : (uint32_t)shape[from];
    }
    if (lead)
        p->shape[0] = (uint32_t)(shape[0] * shape[1]);
}

/* The coarse spectrum: differences in nibbles, the upper half of a byte first. */
static void parse_envelope(inr_reader *reader, uint8_t *envelope)
{
    unsigned used = inr_u8(reader), spare = 0, entry = 48;
    bool half = false;
    if (used > INR_BINS)
        inr_fail(reader->context, "spectral envelope of %u bins, at most %d", used, INR_BINS);
    for (unsigned i = 0, wide = 0, nibble; i < used;) {
        if (!half)
            spare = inr_u8(reader);
        nibble = half ? spare & 15 : spare >> 4;
        half = !half;
        if (wide == 2) {
            entry = nibble << 4;
            wide = 1;
            continue;
        }
        if (!wide && nibble == 15) {
            wide = 2;
            continue;
        }
        if (wide || nibble) {
            entry = wide ? entry | nibble : entry + nibble - 8;
            if (entry < 1 || entry > 255) /* below 0 it is large */
                inr_fail(reader->context, "spectral envelope beyond its range");
            envelope[i] = (uint8_t)entry;
        }
        wide = 0;
        i++;
    }
}

/* The part of the field section that in volume scope lies outside: block, step and network. */
static unsigned parse_shared(const payload *p, inr_reader *reader, const inr_volume *volume, inr_field *field)
{
    if (!p->volume_scope) {
        unsigned block = inr_u8(reader) + 1;
        field->step = inr_short(reader);
        field->prior = inr_varint(reader);
        return block;
    }
    const uint8_t *bytes = inr_bytes(reader, 4);
    uint32_t wanted = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if (!volume || !volume->block)
        inr_fail(p->context, "payload is of volume scope, and the container has no networks");
    uint8_t head[9];
    inr_put(head, inr_bits_of(volume->step), 8, false);
    head[8] = (uint8_t)(volume->block - 1);
    uint32_t digest = inr_crc32(volume->prior, head, sizeof head);
    digest = inr_crc32(digest, volume->weights, volume->weights_size);
    digest = inr_crc32(digest, volume->shells, volume->shells_size);
    digest = inr_crc32(digest, volume->ends, volume->ends_size);
    if (digest != wanted)
        inr_fail(p->context, "payload needs the networks %08lx, the container's are %08lx", (unsigned long)wanted,
                 (unsigned long)digest);
    field->shells = volume->shells;
    field->shells_size = volume->shells_size;
    field->ends = volume->ends;
    field->ends_size = volume->ends_size;
    field->step = volume->step;
    return volume->block;
}

static void parse_field(const payload *p, const inr_volume *volume, inr_field *field)
{
    enum { SHORT = 2, DOUBLE, OFFSET, BOX = 8 };
    inr_reader reader = section(p, FIELD);
    unsigned flags = inr_u8(&reader), background = flags % 4;
    uint32_t size[3];
    if (flags >= 2 * BOX)
        inr_fail(p->context, "unknown field flags %u", flags);
    unsigned block = parse_shared(p, &reader, volume, field);
    for (int i = 0; i < 3; i++)
        field->offsets[i] = (int8_t)inr_u8(&reader);
    parse_envelope(&reader, field->envelope);
    if (background >= SHORT)
        field->background = background == SHORT ? inr_short(&reader) : inr_f64(&reader);
    if (!(flags & OFFSET) && !background)
        inr_fail(p->context, "a field without background needs an offset");
    field->offset = flags & OFFSET ? inr_short(&reader) : field->background;
    inr_check_density(p->context, field->step, 0, "step");
    inr_check_density(p->context, field->offset, -INFINITY, "offset");
    inr_check_density(p->context, field->background, -INFINITY, "background");
    memcpy(size, p->shape, sizeof size);
    for (int a = 0; a < 3 && flags & BOX; a++) {
        uint64_t start = inr_varint(&reader), length = inr_varint(&reader);
        if (!length || length > p->shape[a] || start > p->shape[a] - length)
            inr_fail(p->context, "field box does not lie in the chunk");
        field->start[a] = (uint32_t)start;
        size[a] = (uint32_t)length;
    }
    inr_end(&reader);
    field->bands = field->blocks = 1;
    for (int a = 0; a < 3; a++) {
        if (size[a] > MAX_SIDE)
            inr_fail(p->context, "field box is longer than %d voxels", MAX_SIDE);
        field->axis[a] = inr_split(size[a], block);
        field->bands *= field->axis[a].latents;
        field->blocks *= field->axis[a].blocks;
    }
}

static void read_network(const payload *p, const inr_volume *volume, const inr_field *field, int32_t *parameters)
{
    if (p->volume_scope)
        inr_network(p->context, volume->prior, volume->weights_size ? volume->weights : NULL, volume->weights_size,
                    parameters);
    else
        inr_network(p->context, field->prior, p->section[WEIGHTS], p->size[WEIGHTS], parameters);
}

static void put_verbatim(const payload *p, uint8_t *out)
{
    inr_reader reader = section(p, VERBATIM);
    uint64_t count = inr_varint(&reader), expected, position = 0;
    if (count > p->voxels || (expected = count * (4 + p->width)) > (uint64_t)ZLIB_MOST * reader.left)
        inr_fail(p->context, "%llu verbatim voxels claimed in %zu bytes", (unsigned long long)count, reader.left);
    uint8_t *raw = inr_take(p->context, expected + 1, 1);
    if (!inr_inflate(reader.at, reader.left, raw, expected))
        inr_fail(p->context, "verbatim voxels do not decompress to %llu bytes", (unsigned long long)expected);
    const uint8_t *values = raw + 4 * count;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *gap = raw + 4 * i;
        position += (uint32_t)gap[0] | (uint32_t)gap[1] << 8 | (uint32_t)gap[2] << 16 | (uint32_t)gap[3] << 24;
        if (position >= p->voxels)
            inr_fail(p->context, "verbatim voxel %llu lies outside the chunk", (unsigned long long)position);
        memcpy(out + position * p->width, values + i * p->width, p->width);
    }
    inr_release(p->context, raw);
}

/* What densities are multiples of, or a spacing of 0 where they are on no levels. */
typedef struct {
    double spacing, offset;
} levels;

static levels read_levels(const payload *p)
{
    if (!p->section[LEVELS])
        return (levels){0, 0};
    inr_reader reader = section(p, LEVELS);
    double spacing = inr_f64(&reader), offset = inr_f64(&reader);
    inr_end(&reader);
    if (p->chunk.dtype < 1 || p->chunk.dtype > 3)
        inr_fail(p->context, "levels of densities of dtype %u", p->chunk.dtype);
    if (!(spacing > 0 && spacing <= 1e290 && fabs(offset) <= 1e290))
        inr_fail(p->context, "levels %g apart from %g on make no sense", spacing, offset);
    return (levels){spacing, offset};
}

static double leveled(levels on, double value)
{
    double most = 0x1p53, number = rint(value);
    number = number > most ? most : number < -most ? -most : number;
    return on.spacing > 0 ? number * on.spacing + on.offset : value;
}

static void decode_field(payload *p, const inr_volume *volume, uint8_t *out)
{
    inr_context *context = p->context;
    inr_field field = {.context = context};
    int32_t parameters[INR_PARAMETERS];
    unsigned width = p->width, dtype = p->chunk.dtype;
    bool big = p->chunk.big_endian;
    parse_field(p, volume, &field);
    read_network(p, volume, &field, parameters);
    inr_reader latents = section(p, LATENTS);
    inr_latents(&field, parameters, latents.at, latents.left);
    double *density = inr_synthesise(&field), unit = ldexp(field.step, -26);
    uint32_t size[3] = {field.axis[0].length, field.axis[1].length, field.axis[2].length};
    uint64_t count = (uint64_t)size[0] * size[1] * size[2];
    for (uint64_t i = 0; i < count; i++) {
        density[i] *= unit;
        density[i] += field.offset;
    }
    uint8_t *occupied = NULL;
    if (p->section[OCCUPANCY])
        occupied = inr_occupied(context, p->section[OCCUPANCY], p->size[OCCUPANCY], size);
    if (p->section[CORRECTIONS])
        inr_correct(context, p->section[CORRECTIONS], p->size[CORRECTIONS], density, occupied, size);
    levels on = read_levels(p);
    uint64_t background = inr_cast(leveled(on, field.background), dtype);
    for (uint64_t i = 0; i < p->voxels; i++)
        inr_put(out + i * width, background, width, big);
    for (uint32_t z = 0, i = 0; z < size[0]; z++) {
        for (uint32_t y = 0; y < size[1]; y++) {
            uint64_t line = (z + field.start[0]) * (uint64_t)p->shape[1] + y + field.start[1];
            uint8_t *to = out + (line * p->shape[2] + field.start[2]) * width;
            for (uint32_t x = 0; x < size[2]; x++, i++) {
                if (!occupied || occupied[i])
                    inr_put(to + (size_t)x * width, inr_cast(leveled(on, density[i]), dtype), width, big);
            }
        }
    }
    if (p->section[VERBATIM])
        put_verbatim(p, out);
}

static void decode(payload *p, const uint8_t *bytes, size_t size, const inr_chunk *wanted, const inr_volume *volume,
                   uint8_t *out)
{
    inr_reader reader;
    parse_frame(p, bytes, size);
    check_chunk(p, wanted);
    uint64_t total = p->voxels * p->width;
    const char *wrong;
    switch (p->field) {
    case FIELD_CONSTANT:
        reader = section(p, CONSTANT);
        if (reader.left != p->width)
            inr_fail(p->context, "constant of %zu bytes for voxels of %u", reader.left, p->width);
        for (uint64_t i = 0; i < p->voxels; i++)
            memcpy(out + i * p->width, reader.at, p->width);
        break;
    case FIELD_LOSSLESS:
        reader = section(p, LOSSLESS);
        if ((wrong = inr_unblosc(reader.at, reader.left, out, total)))
            inr_fail(p->context, "lossless section: %s", wrong);
        break;
    default:
        decode_field(p, volume, out);
    }
    for (uint64_t i = 0; i < total && p->chunk.big_endian != wanted->big_endian; i += p->width) {
        for (unsigned a = 0, b = p->width - 1; a < b; a++, b--) {
            uint8_t byte = out[i + a];
            out[i + a] = out[i + b];
            out[i + b] = byte;
        }
    }
}

/* A function of its own, as what changes between setjmp and longjmp must not be a variable of the same one. */
static bool attempt(payload *p, const uint8_t *bytes, size_t size, const inr_chunk *wanted, const inr_volume *volume,
                    uint8_t *out)
{
    if (setjmp(p->context->failed))
        return false;
    decode(p, bytes, size, wanted, volume, out);
    return true;
}

bool inr_decode(const uint8_t *bytes, size_t size, const inr_chunk *chunk, const inr_volume *volume, uint8_t *out,
                char error[INR_ERROR_SIZE])
{
    inr_context context = {.error = error};
    payload p = {.context = &context};
    bool done = attempt(&p, bytes, size, chunk, volume, out);
    for (unsigned i = 0; i < context.blocks; i++)
        free(context.memory[i]);
    return done;
}
