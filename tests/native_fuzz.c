/* Damages payloads and client data and decodes them: built with the sanitizers, a wrong access ends it.
   Usage: native_fuzz CLIENT_DATA PAYLOAD ROUNDS SEED. Prints how many payloads were decoded and refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "libraries.h"

static uint64_t state;

static uint32_t random_below(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % limit);
}

static uint8_t *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 24);
    if (!file || !bytes)
        exit(3);
    *size = fread(bytes, 1, 1 << 24, file);
    fclose(file);
    return bytes;
}

static size_t damage(uint8_t *bytes, size_t size)
{
    for (uint32_t n = 1 + random_below(3); n > 0 && size > 8; n--) {
        size_t at = random_below((uint32_t)size);
        switch (random_below(5)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << random_below(8));
            break;
        case 1:
            bytes[at] = (uint8_t)random_below(256);
            break;
        case 2:
            bytes[at] = random_below(2) ? 0xff : 0;
            break;
        case 3:
            bytes[random_below(40) % size] = (uint8_t)random_below(256); /* most lengths are here */
            break;
        default:
            size -= random_below((uint32_t)size / 2 + 1);
        }
    }
    return size;
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static void words_of(const uint8_t *bytes, size_t count, unsigned *words)
{
    for (size_t i = 0; i < count; i++)
        words[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | (unsigned)bytes[4 * i + 3] << 24;
}

int main(int count, char **arguments)
{
    size_t client_size, payload_size;
    unsigned long decoded = 0, refused = 0;
    char error[INR_ERROR_SIZE];
    if (count != 5)
        return 3;
    uint8_t *client = load(arguments[1], &client_size), *payload = load(arguments[2], &payload_size);
    long rounds = atol(arguments[3]);
    state = (uint64_t)atol(arguments[4]);
    for (long round = 0; round < rounds; round++) {
        /* copies of their own length, so that reading past the end is noticed */
        size_t words = client_size / 4, size = payload_size;
        uint8_t *bytes = malloc(client_size), *damaged = malloc(payload_size);
        inr_client_data data = {0};
        memcpy(bytes, client, client_size);
        memcpy(damaged, payload, payload_size);
        if (round % 8 == 7) {
            words = damage(bytes, client_size) / 4;
            if (words > 5) {
                put_u32(bytes + 12, (uint32_t)words);
                put_u32(bytes + 16, inr_crc32(0, bytes + 20, 4 * words - 20));
            }
        } else if (round > 0) {
            size = damage(damaged, payload_size);
            if (size > 8)
                put_u32(damaged + size - 4, inr_crc32(0, damaged, size - 4));
        }
        uint8_t *exact = malloc(size);
        unsigned *values = malloc(words * sizeof *values + 1);
        memcpy(exact, damaged, size);
        words_of(bytes, words, values);
        bool done = inr_parse_client_data(values, words, &data, error);
        uint64_t room = done ? inr_chunk_size(&data.chunk) : 0;
        if (room && room < 1 << 26) {
            uint8_t *out = malloc(room);
            done = inr_decode(exact, size, &data.chunk, &data.volume, out, error);
            free(out);
        }
        if (done)
            decoded++;
        else if (memchr(error, 0, sizeof error) && *error)
            refused++;
        free(data.bytes);
        free(values);
        free(exact);
        free(damaged);
        free(bytes);
    }
    free(payload);
    free(client);
    printf("%lu %lu\n", decoded, refused);
    return 0;
}
