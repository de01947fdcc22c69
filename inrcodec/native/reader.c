/* Errors, memory and untrusted bytes. */
#include "decoder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Leaves a text and goes back to where the decoding began, which frees its memory. */
void inr_fail(inr_context *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context->error, INR_ERROR_SIZE, format, arguments);
    va_end(arguments);
    longjmp(context->failed, 1);
}

/* NaN fails too. */
void inr_check_density(inr_context *context, double value, double above, const char *what)
{
    if (!(value > above && fabs(value) <= 1e290))
        inr_fail(context, "%s %g makes no sense", what, value);
}

void *inr_take(inr_context *context, uint64_t count, size_t size)
{
    unsigned place = 0;
    while (place < context->blocks && context->memory[place])
        place++;
    if (place == sizeof context->memory / sizeof *context->memory)
        inr_fail(context, "the decoder holds too many blocks of memory");
    void *memory = count <= SIZE_MAX / 2 / size ? calloc(count ? (size_t)count : 1, size) : NULL;
    if (!memory)
        inr_fail(context, "no memory for %llu times %zu bytes", (unsigned long long)count, size);
    context->memory[place] = memory;
    if (place == context->blocks)
        context->blocks++;
    return memory;
}

void inr_release(inr_context *context, void *memory)
{
    for (unsigned i = 0; i < context->blocks; i++) {
        if (context->memory[i] == memory)
            context->memory[i] = NULL;
    }
    free(memory);
}

const uint8_t *inr_bytes(inr_reader *reader, uint64_t count)
{
    if (count > reader->left)
        inr_fail(reader->context, "%llu bytes claimed, %zu left", (unsigned long long)count, reader->left);
    const uint8_t *bytes = reader->at;
    reader->at += count;
    reader->left -= (size_t)count;
    return bytes;
}

unsigned inr_u8(inr_reader *reader)
{
    return *inr_bytes(reader, 1);
}

/* The double whose upper bytes are given, the others 0. */
static double upper(inr_reader *reader, unsigned count)
{
    const uint8_t *bytes = inr_bytes(reader, count);
    uint64_t bits = 0;
    double value;
    for (unsigned i = 0; i < count; i++)
        bits |= (uint64_t)bytes[i] << 8 * (8 - count + i);
    memcpy(&value, &bits, sizeof value);
    return value;
}

double inr_f64(inr_reader *reader)
{
    return upper(reader, 8);
}

double inr_short(inr_reader *reader)
{
    return upper(reader, 4);
}

uint64_t inr_varint(inr_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
        unsigned byte = inr_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    inr_fail(reader->context, "a length of more than 63 bits");
}

void inr_end(const inr_reader *reader)
{
    if (reader->left)
        inr_fail(reader->context, "%zu bytes left over", reader->left);
}
