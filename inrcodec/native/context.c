/* Latents and their order, and the context network: sections 4, 5 and 7a of docs/format.md. */
#include "decoder.h"

#include <math.h>
#include <string.h>

#define FEATURES 16
#define WIDTH 32
#define LOG_CLAMP 255
#define MIN(a, b) ((a) < (b) ? (a) : (b))

static const int part_sizes[6] = {WIDTH * FEATURES, WIDTH, WIDTH * WIDTH, WIDTH, WIDTH, 1};

/* The parameters of a network: a prior, and the differences to it where there are any. */
void inr_network(inr_context *context, uint64_t prior, const uint8_t *weights, size_t size, int32_t *parameters)
{
    unsigned known = 0;
    while (known < inr_prior_count && inr_priors[known].number != prior)
        known++;
    if (known == inr_prior_count)
        inr_fail(context, "payload was coded with prior %llu, which this build does not have",
                 (unsigned long long)prior);
    memcpy(parameters, inr_priors[known].parameters, sizeof inr_priors[known].parameters);
    if (!weights)
        return;
    if (size < 6)
        inr_fail(context, "weights of %zu bytes are too short", size);
    inr_symbols symbols;
    inr_symbols_open(&symbols, context, weights + 6, size - 6);
    inr_scratch scratch = inr_scratch_for(context, WIDTH * WIDTH);
    for (int part = 0, at = 0; part < 6; at += part_sizes[part++]) {
        uint8_t indices[WIDTH * WIDTH];
        int32_t change[WIDTH * WIDTH];
        int32_t limit = part % 2 ? 32767 : 127;
        if (weights[part] >= INR_SCALES)
            inr_fail(context, "weights have an unknown scale index %u", weights[part]);
        memset(indices, weights[part], sizeof indices);
        inr_step(&symbols, indices, change, (size_t)part_sizes[part], scratch);
        for (int i = 0; i < part_sizes[part]; i++) {
            parameters[at + i] += change[i];
            if (parameters[at + i] > limit || parameters[at + i] < -limit)
                inr_fail(context, "network weights are out of range");
        }
    }
    inr_symbols_end(&symbols);
    inr_scratch_release(context, scratch);
}

/* Weights as the network uses them: 16 bits, which compilers turn into fast sums of products. */
typedef struct {
    int16_t first[WIDTH][FEATURES], second[WIDTH][WIDTH], third[WIDTH];
    int32_t first_bias[WIDTH], second_bias[WIDTH], third_bias;
} network;

static void unpack(network *net, const int32_t *parameters)
{
    for (int i = 0; i < WIDTH; i++) {
        for (int j = 0; j < FEATURES; j++)
            net->first[i][j] = (int16_t)*parameters++;
    }
    for (int i = 0; i < WIDTH; i++)
        net->first_bias[i] = *parameters++;
    for (int i = 0; i < WIDTH; i++) {
        for (int j = 0; j < WIDTH; j++)
            net->second[i][j] = (int16_t)*parameters++;
    }
    for (int i = 0; i < WIDTH; i++)
        net->second_bias[i] = *parameters++;
    for (int i = 0; i < WIDTH; i++)
        net->third[i] = (int16_t)*parameters++;
    net->third_bias = *parameters;
}

/* value / 2^bits, rounded with ties to even, within 0 and top */
static int16_t rounded(int32_t value, int bits, int32_t top)
{
    if (value <= 0)
        return 0;
    int32_t whole = value >> bits, rest = value & ((1 << bits) - 1), half = 1 << (bits - 1);
    whole += rest > half || (rest == half && whole % 2);
    return (int16_t)MIN(whole, top);
}

static uint8_t scale_index(const network *net, const int16_t features[FEATURES])
{
    int16_t first[WIDTH], second[WIDTH];
    int32_t sum;
    for (int i = 0; i < WIDTH; i++) {
        sum = net->first_bias[i];
        for (int j = 0; j < FEATURES; j++)
            sum += net->first[i][j] * features[j];
        first[i] = rounded(sum, 5, 255);
    }
    for (int i = 0; i < WIDTH; i++) {
        sum = net->second_bias[i];
        for (int j = 0; j < WIDTH; j++)
            sum += net->second[i][j] * first[j];
        second[i] = rounded(sum, 6, 255);
    }
    sum = net->third_bias;
    for (int j = 0; j < WIDTH; j++)
        sum += net->third[j] * second[j];
    return (uint8_t)rounded(sum, 7, INR_SCALES - 1);
}

void inr_frequency(const inr_field *field, uint32_t band, uint32_t k[3])
{
    k[2] = band % field->axis[2].latents;
    band /= field->axis[2].latents;
    k[1] = band % field->axis[1].latents;
    k[0] = band / field->axis[1].latents;
}

static double radius(const inr_field *field, uint32_t band)
{
    uint32_t k[3];
    inr_frequency(field, band, k);
    double z = (double)k[0] / field->axis[0].latents, y = (double)k[1] / field->axis[1].latents,
           x = (double)k[2] / field->axis[2].latents;
    return sqrt(z * z + y * y + x * x);
}

static unsigned bin(const inr_field *field, uint32_t band)
{
    return (unsigned)(radius(field, band) * (INR_BINS / 1.75));
}

/* Of a band of blocks that lie at the ends of so many axes: 2^16 for the field's step; 0 where the table of shells
   leaves the band out */
uint64_t inr_multiplier(const inr_field *field, uint32_t band, unsigned ends)
{
    if (!field->shells_size)
        return 1u << 16;
    unsigned position = (unsigned)(512 * radius(field, band)), node = position / 8, part = position % 8;
    if (node + 1 >= field->shells_size)
        return 0;
    unsigned exponent = field->shells[node] * (8 - part) + field->shells[node + 1] * part;
    if (field->ends_size && ends) {
        const uint8_t *limit = field->ends + (ends - 1) * (field->ends_size / 3) + position / 64;
        unsigned most = (limit[0] * (64 - position % 64) + limit[1] * (position % 64)) / 8;
        exponent = most < exponent ? most : exponent;
    }
    return (uint64_t)inr_shell_fraction[exponent % 128] << (exponent / 128);
}

/* What is known of the latents while they are decoded: a row of all blocks, in C order, for each band. */
typedef struct {
    inr_field *field;
    uint8_t *logs; /* log magnitudes; 0 where unknown */
    uint8_t *means; /* over the neighbouring blocks */
    uint8_t *zeros; /* the row of bands that there are not */
    uint32_t *even, *odd; /* blocks by colour */
    uint32_t even_count, odd_count;
} state;

static const uint8_t *row(const state *s, const uint8_t *rows, const uint32_t k[3], int z, int y, int x)
{
    const inr_axis *axis = s->field->axis;
    int64_t at[3] = {(int64_t)k[0] - z, (int64_t)k[1] - y, (int64_t)k[2] - x};
    for (int a = 0; a < 3; a++) {
        if (at[a] < 0 || at[a] >= axis[a].latents)
            return s->zeros;
    }
    return rows + (size_t)((at[0] * axis[1].latents + at[1]) * axis[2].latents + at[2]) * s->field->blocks;
}

static void update_means(const state *s, uint32_t band)
{
    const inr_axis *axis = s->field->axis;
    size_t blocks = s->field->blocks, plane = (size_t)axis[1].blocks * axis[2].blocks, line = axis[2].blocks;
    const uint8_t *logs = s->logs + band * blocks;
    uint8_t *means = s->means + band * blocks;
    if (blocks == 1)
        return;
    for (size_t z = 0, at = 0; z < axis[0].blocks; z++) {
        for (size_t y = 0; y < axis[1].blocks; y++) {
            for (size_t x = 0; x < line; x++, at++) {
                unsigned sum = 0, count = 0;
                if (z > 0)
                    sum += logs[at - plane], count++;
                if (z + 1 < axis[0].blocks)
                    sum += logs[at + plane], count++;
                if (y > 0)
                    sum += logs[at - line], count++;
                if (y + 1 < axis[1].blocks)
                    sum += logs[at + line], count++;
                if (x > 0)
                    sum += logs[at - 1], count++;
                if (x + 1 < line)
                    sum += logs[at + 1], count++;
                means[at] = (uint8_t)(sum * (256 / count) >> 8);
            }
        }
    }
}

/* Scale indices of one band's latents in the blocks of one colour. */
static void band_indices(const state *s, const network *net, uint32_t band, bool odd, uint8_t *indices)
{
    const inr_field *field = s->field;
    const inr_axis *axis = field->axis;
    static const int second[6][3] = {{2, 0, 0}, {0, 2, 0}, {0, 0, 2}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}};
    static const int beside[9][3] = {{-1, 2, 0}, {-1, 1, 1}, {-1, 0, 2}, {2, -1, 0}, {1, -1, 1},
                                     {0, -1, 2}, {2, 0, -1}, {1, 1, -1}, {0, 2, -1}};
    const uint32_t *blocks = odd ? s->odd : s->even;
    uint32_t count = odd ? s->odd_count : s->even_count, k[3];
    const uint8_t *lower[3], *lower_means[3], *two[6], *side[9], *same = s->means + (size_t)band * field->blocks;
    int quiet = -1; /* the index where all neighbours are zero: it is the band's alone */
    inr_frequency(field, band, k);
    for (int a = 0; a < 3; a++) {
        lower[a] = row(s, s->logs, k, a == 0, a == 1, a == 2);
        lower_means[a] = row(s, s->means, k, a == 0, a == 1, a == 2);
    }
    for (int i = 0; i < 6; i++)
        two[i] = row(s, s->logs, k, second[i][0], second[i][1], second[i][2]);
    for (int i = 0; i < 9; i++)
        side[i] = row(s, s->logs, k, beside[i][0], beside[i][1], beside[i][2]);
    int16_t f[FEATURES] = {0};
    f[6] = odd ? 32 : 0;
    f[7] = field->envelope[bin(field, band)];
    for (int a = 0; a < 3; a++) {
        f[8 + a] = (int16_t)(64 * k[a] / axis[a].latents);
        f[13] = (int16_t)(f[13] + (axis[a].blocks == 1 ? 8 : 0));
    }
    f[11] = (int16_t)(64 * radius(field, band));
    f[12] = (int16_t)rint(8 * log2((double)field->bands));
    f[14] = 16;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t b = blocks[n];
        int sum = 0, loud;
        for (int a = 0; a < 3; a++)
            f[a] = lower[a][b];
        for (int i = 0; i < 6; i++)
            sum += two[i][b];
        f[3] = (int16_t)(sum >> 2);
        f[4] = (int16_t)(lower_means[0][b] + lower_means[1][b] + lower_means[2][b]);
        f[5] = odd ? same[b] : 0;
        sum = 0;
        for (int i = 0; i < 9; i++)
            sum += side[i][b];
        f[15] = (int16_t)(sum >> 3);
        loud = f[0] | f[1] | f[2] | f[3] | f[4] | f[5] | f[15];
        if (loud)
            indices[n] = scale_index(net, f);
        else
            indices[n] = (uint8_t)(quiet = quiet < 0 ? scale_index(net, f) : quiet);
    }
}

static void find_active(inr_field *field)
{
    field->active = inr_take(field->context, field->bands, sizeof *field->active);
    field->active_count = 0;
    for (uint32_t band = 0; band < field->bands; band++) {
        if (field->envelope[bin(field, band)] && inr_multiplier(field, band, 0))
            field->active[field->active_count++] = band;
    }
}

static void find_colours(state *s)
{
    const inr_axis *axis = s->field->axis;
    s->even = inr_take(s->field->context, s->field->blocks / 2 + 1, sizeof *s->even);
    s->odd = inr_take(s->field->context, s->field->blocks / 2 + 1, sizeof *s->odd);
    for (uint32_t z = 0, at = 0; z < axis[0].blocks; z++) {
        for (uint32_t y = 0; y < axis[1].blocks; y++) {
            for (uint32_t x = 0; x < axis[2].blocks; x++, at++) {
                if ((z + y + x) % 2)
                    s->odd[s->odd_count++] = at;
                else
                    s->even[s->even_count++] = at;
            }
        }
    }
}

static uint32_t shell(const inr_field *field, uint32_t band)
{
    uint32_t k[3];
    inr_frequency(field, band, k);
    return k[0] + k[1] + k[2];
}

/* Places of the active bands, sorted by shell, bands of one shell in order; starts[i] is where shell i begins. */
static uint32_t *by_shell(const inr_field *field, uint32_t *starts, uint32_t shells)
{
    uint32_t *places = inr_take(field->context, field->active_count, sizeof *places);
    uint32_t *next = inr_take(field->context, shells, sizeof *next);
    for (uint32_t i = 0; i < field->active_count; i++)
        starts[shell(field, field->active[i]) + 1]++;
    for (uint32_t i = 0; i < shells; i++)
        next[i] = starts[i + 1] += starts[i];
    for (uint32_t i = field->active_count; i-- > 0;)
        places[--next[shell(field, field->active[i])]] = i;
    inr_release(field->context, next);
    return places;
}

static void decode_step(state *s, const network *net, inr_symbols *symbols, const uint32_t *places, uint32_t members,
                        bool odd, uint8_t *indices, int32_t *values, inr_scratch scratch)
{
    inr_field *field = s->field;
    const uint32_t *blocks = odd ? s->odd : s->even;
    size_t count = odd ? s->odd_count : s->even_count;
    for (uint32_t i = 0; i < members; i++)
        band_indices(s, net, field->active[places[i]], odd, indices + i * count);
    inr_step(symbols, indices, values, members * count, scratch);
    for (uint32_t i = 0; i < members; i++) {
        int32_t *latents = field->latents + (size_t)places[i] * field->blocks;
        uint8_t *logs = s->logs + (size_t)field->active[places[i]] * field->blocks;
        for (size_t n = 0; n < count; n++) {
            int32_t value = *values++;
            latents[blocks[n]] = value;
            logs[blocks[n]] = inr_log_magnitude[MIN(value < 0 ? -value : value, LOG_CLAMP)];
        }
        update_means(s, field->active[places[i]]);
    }
}

void inr_latents(inr_field *field, const int32_t *parameters, const uint8_t *bytes, size_t size)
{
    inr_context *context = field->context;
    const inr_axis *axis = field->axis;
    uint32_t shells = axis[0].latents + axis[1].latents + axis[2].latents - 2, most = 0;
    inr_symbols symbols;
    network net;
    state s = {.field = field};
    find_active(field);
    unpack(&net, parameters);
    inr_symbols_open(&symbols, context, bytes, size);
    field->latents = inr_take(context, (uint64_t)field->active_count * field->blocks, sizeof *field->latents);
    s.logs = inr_take(context, (uint64_t)field->bands * field->blocks, 1);
    s.means = inr_take(context, (uint64_t)field->bands * field->blocks, 1);
    s.zeros = inr_take(context, field->blocks, 1);
    find_colours(&s);
    uint32_t *starts = inr_take(context, (uint64_t)shells + 1, sizeof *starts);
    uint32_t *places = by_shell(field, starts, shells);
    for (uint32_t i = 0; i < shells; i++)
        most = starts[i + 1] - starts[i] > most ? starts[i + 1] - starts[i] : most;
    uint64_t longest = (uint64_t)most * s.even_count; /* never fewer than the odd ones */
    if (longest > UINT32_MAX)
        inr_fail(context, "a step of %llu latents is more than this decoder takes", (unsigned long long)longest);
    uint8_t *indices = inr_take(context, longest, 1);
    int32_t *values = inr_take(context, longest, sizeof *values);
    inr_scratch scratch = inr_scratch_for(context, longest);
    for (uint32_t i = 0; i < shells; i++) {
        for (int odd = 0; odd < 2; odd++) {
            uint32_t members = starts[i + 1] - starts[i];
            if (members && (odd ? s.odd_count : s.even_count))
                decode_step(&s, &net, &symbols, places + starts[i], members, odd, indices, values, scratch);
        }
    }
    inr_symbols_end(&symbols);
    inr_scratch_release(context, scratch);
    void *done[] = {values, indices, places, starts, s.odd, s.even, s.zeros, s.means, s.logs};
    for (size_t i = 0; i < sizeof done / sizeof *done; i++)
        inr_release(context, done[i]);
}
