/* Voxels as bytes of a dtype: section 7 (step 5) of docs/format.md. */
#include <math.h>
#include <string.h>

#include "decoder.h"

enum { FLOAT16 = 1, FLOAT32, FLOAT64, INT8, UINT8, INT16, UINT16 };

unsigned inr_width(unsigned dtype)
{
    static const unsigned widths[] = {0, 2, 4, 8, 1, 1, 2, 2};
    return dtype < sizeof widths / sizeof *widths ? widths[dtype] : 0;
}

uint64_t inr_bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void inr_put(uint8_t *to, uint64_t bits, unsigned width, bool big_endian)
{
    for (unsigned i = 0; i < width; i++, bits >>= 8)
        to[big_endian ? width - 1 - i : i] = (uint8_t)bits;
}

static double within(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* IEEE half precision, rounded once, of a value within its range */
static uint64_t half_bits(double value)
{
    int exponent;
    uint64_t sign = inr_bits_of(value) >> 63 << 15;
    double magnitude = fabs(value);
    frexp(magnitude, &exponent);
    if (magnitude < 0x1p-14)
        return sign | (uint64_t)rint(magnitude * 0x1p24);
    return sign | (((uint64_t)(exponent + 14) << 10) + (uint64_t)rint(ldexp(magnitude, 11 - exponent)) - 1024);
}

/* A density as the bits of a dtype: integers rounded, all clipped to the dtype's finite range. */
uint64_t inr_cast(double value, unsigned dtype)
{
    static const double low[] = {-128, 0, -32768, 0}, high[] = {127, 255, 32767, 65535};
    float single;
    uint32_t bits;
    switch (dtype) {
    case FLOAT16:
        return half_bits(within(value, -65504, 65504));
    case FLOAT32:
        single = (float)within(value, -0x1.fffffep127, 0x1.fffffep127);
        memcpy(&bits, &single, sizeof bits);
        return bits;
    case FLOAT64:
        return inr_bits_of(value);
    default:
        return (uint64_t)(int64_t)within(rint(value), low[dtype - INT8], high[dtype - INT8]);
    }
}
