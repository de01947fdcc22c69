/* zlib, and Blosc where it was found when the plugin was built (INRCODEC_BLOSC).
   The few functions needed are declared here, so that both are needed without their headers. */
#include "libraries.h"

#include <limits.h>

unsigned long crc32(unsigned long start, const unsigned char *bytes, unsigned size);
int uncompress2(unsigned char *out, unsigned long *out_size, const unsigned char *bytes, unsigned long *size);

#define PIECE (1u << 30) /* zlib counts bytes in 32 bits */

uint32_t inr_crc32(uint32_t start, const uint8_t *bytes, size_t size)
{
    unsigned long sum = start;
    while (size) {
        unsigned piece = size < PIECE ? (unsigned)size : PIECE;
        sum = crc32(sum, bytes, piece);
        bytes += piece;
        size -= piece;
    }
    return (uint32_t)sum;
}

bool inr_inflate(const uint8_t *bytes, size_t size, uint8_t *out, uint64_t expected)
{
    unsigned long wanted = (unsigned long)expected, used = (unsigned long)size;
    if (wanted != expected || used != size)
        return false;
    return uncompress2(out, &wanted, bytes, &used) == 0 && wanted == expected && used == size;
}

#ifdef INRCODEC_BLOSC

int blosc_decompress_ctx(const void *frame, void *out, size_t size, int threads);
int blosc_cbuffer_validate(const void *frame, size_t size, size_t *decoded);

const char *inr_unblosc(const uint8_t *frame, size_t size, uint8_t *out, uint64_t expected)
{
    size_t decoded = 0;
    if (size < 16 || expected > INT_MAX)
        return "too short, or too long for Blosc";
    if (blosc_cbuffer_validate(frame, size, &decoded) < 0 || decoded != expected)
        return "holds another number of bytes than the chunk has";
    return blosc_decompress_ctx(frame, out, (size_t)expected, 1) == (int)expected ? NULL : "does not decompress";
}

#else

const char *inr_unblosc(const uint8_t *frame, size_t size, uint8_t *out, uint64_t expected)
{
    (void)frame, (void)size, (void)out, (void)expected;
    return "this plugin was built without Blosc; install libblosc and build it again";
}

#endif
