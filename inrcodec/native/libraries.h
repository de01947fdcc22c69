/* What zlib and Blosc do for the decoder. */
#ifndef INRCODEC_LIBRARIES_H
#define INRCODEC_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t inr_crc32(uint32_t start, const uint8_t *bytes, size_t size);

/* Whether a zlib stream inflates to exactly so many bytes and nothing follows it. */
bool inr_inflate(const uint8_t *bytes, size_t size, uint8_t *out, uint64_t expected);

/* Decompresses a Blosc 1 frame of exactly so many bytes; returns what is wrong, or NULL. */
const char *inr_unblosc(const uint8_t *frame, size_t size, uint8_t *out, uint64_t expected);

#endif
