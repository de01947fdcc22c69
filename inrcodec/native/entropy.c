/* Coded symbols: section 6 of docs/format.md. */
#include "decoder.h"

#define QUANTILES (1u << INR_PRECISION)
#define ESCAPE_BITS 13

static void refill(inr_symbols *symbols)
{
    if (symbols->left && symbols->state < (1ull << 32)) {
        size_t at = 4 * --symbols->left;
        uint32_t word = 0;
        for (size_t i = at; i < at + 4 && i < symbols->size; i++) /* the last word is without its zeros */
            word |= (uint32_t)symbols->bytes[i] << 8 * (i - at);
        symbols->state = symbols->state << 32 | word;
    }
}

static void pop(inr_symbols *symbols, uint32_t start, uint32_t frequency)
{
    uint64_t quantile = symbols->state % QUANTILES;
    symbols->state = (symbols->state >> INR_PRECISION) * frequency + quantile - start;
    refill(symbols);
}

void inr_symbols_open(inr_symbols *symbols, inr_context *context, const uint8_t *bytes, size_t size)
{
    symbols->context = context;
    symbols->bytes = bytes;
    symbols->size = size;
    symbols->left = size / 4 + (size % 4 > 0);
    symbols->state = 0;
    if (size && !bytes[size - 1])
        inr_fail(context, "coded symbols end in a byte of 0");
    while (symbols->left && symbols->state < (1ull << 32))
        refill(symbols);
}

void inr_symbols_end(const inr_symbols *symbols)
{
    if (symbols->left || symbols->state)
        inr_fail(symbols->context, "coded symbols are left over");
}

/* A symbol of a cumulated table of some entries: the last one that is not above the quantile. */
static unsigned table_symbol(inr_symbols *symbols, const uint32_t *cumulative, unsigned entries)
{
    uint32_t quantile = (uint32_t)(symbols->state % QUANTILES);
    unsigned low = 0, high = entries;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (cumulative[middle] <= quantile)
            low = middle;
        else
            high = middle;
    }
    pop(symbols, cumulative[low], cumulative[low + 1] - cumulative[low]);
    return low;
}

unsigned inr_uniform(inr_symbols *symbols, unsigned bits)
{
    uint32_t width = QUANTILES >> bits;
    uint32_t symbol = (uint32_t)(symbols->state % QUANTILES) / width;
    pop(symbols, symbol * width, width);
    return symbol;
}

unsigned inr_bit(inr_symbols *symbols, uint32_t set_frequency)
{
    uint32_t unset = QUANTILES - set_frequency;
    bool set = symbols->state % QUANTILES >= unset;
    pop(symbols, set ? unset : 0, set ? set_frequency : unset);
    return set;
}

unsigned inr_flag(inr_symbols *symbols, int logit)
{
    return inr_bit(symbols, inr_flag_frequency[logit + INR_FLAG_LOGITS]);
}

inr_scratch inr_scratch_for(inr_context *context, uint64_t count)
{
    inr_scratch scratch;
    scratch.order = inr_take(context, count, sizeof *scratch.order);
    scratch.escaped = inr_take(context, count, sizeof *scratch.escaped);
    return scratch;
}

void inr_scratch_release(inr_context *context, inr_scratch scratch)
{
    inr_release(context, scratch.escaped);
    inr_release(context, scratch.order);
}

void inr_step(inr_symbols *symbols, const uint8_t *indices, int32_t *values, size_t count, inr_scratch scratch)
{
    size_t next[INR_SCALES + 1] = {0}, escapes = 0, split;
    for (size_t i = 0; i < count; i++)
        next[indices[i] + 1]++;
    for (unsigned i = 0; i < INR_SCALES; i++)
        next[i + 1] += next[i];
    split = next[INR_SPLIT];
    for (size_t i = 0; i < count; i++)
        scratch.order[next[indices[i]]++] = (uint32_t)i;
    for (size_t n = 0; n < count; n++) {
        uint32_t i = scratch.order[n];
        unsigned index = indices[i], table = index < INR_SPLIT ? index : INR_SPLIT + (index - INR_SPLIT) % 8;
        uint32_t start = inr_table_start[table], entries = inr_table_start[table + 1] - start - 1;
        unsigned symbol = table_symbol(symbols, inr_cumulative + start, entries);
        values[i] = (int32_t)symbol - inr_limit[index];
        if (symbol == entries - 1)
            scratch.escaped[escapes++] = i;
    }
    for (size_t n = split; n < count; n++) {
        uint32_t i = scratch.order[n];
        unsigned low = (indices[i] - INR_SPLIT) / 8u + 1;
        values[i] = values[i] * (int32_t)(1u << low) + (int32_t)inr_uniform(symbols, low);
    }
    for (size_t n = 0; n < escapes; n++)
        values[scratch.escaped[n]] = (int32_t)(inr_uniform(symbols, ESCAPE_BITS) << ESCAPE_BITS);
    for (size_t n = 0; n < escapes; n++) {
        int32_t zigzag = values[scratch.escaped[n]] + (int32_t)inr_uniform(symbols, ESCAPE_BITS);
        values[scratch.escaped[n]] = zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
    }
}
