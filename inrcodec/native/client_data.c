/* The client data of the HDF5 filter: docs/hdf5.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "libraries.h"

enum { MAGIC0, MAGIC1, VERSION, TOTAL, CHECKSUM, TEXT, WEIGHTS, SHELLS, PRIOR, BLOCK, STEP, DTYPE = STEP + 2, AXES, SHAPE,
       HEADER = SHAPE + 4 };
#define MOST 16384 /* words that HDF5 stores */
#define MAX_SHELLS 113

static bool wrong(char *error, const char *text)
{
    snprintf(error, INR_ERROR_SIZE, "client data of the filter: %s", text);
    return false;
}

bool inr_parse_client_data(const unsigned *words, size_t count, inr_client_data *data, char error[INR_ERROR_SIZE])
{
    data->bytes = NULL;
    if (count < HEADER || count > MOST || words[MAGIC0] != 0x43524e49 || words[MAGIC1] != 0x4345444f)
        return wrong(error, "they are not those of the inrcodec filter");
    if (words[VERSION] != 1)
        return wrong(error, "of another version than this build reads");
    uint64_t room = 4 * (uint64_t)(count - HEADER);
    unsigned nodes = words[SHELLS] % 256, limits = words[SHELLS] / 256;
    if (words[TOTAL] != count || (uint64_t)words[TEXT] + words[WEIGHTS] + nodes + limits > room)
        return wrong(error, "lengths do not add up");
    uint8_t *bytes = malloc(4 * count);
    if (!bytes)
        return wrong(error, "no memory");
    for (size_t i = 0; i < 4 * count; i++)
        bytes[i] = (uint8_t)(words[i / 4] >> 8 * (i % 4));
    inr_volume *volume = &data->volume;
    uint64_t step = words[STEP] | (uint64_t)words[STEP + 1] << 32;
    memcpy(&volume->step, &step, sizeof volume->step);
    volume->prior = words[PRIOR];
    volume->block = words[BLOCK];
    volume->weights_size = words[WEIGHTS];
    volume->weights = bytes + 4 * HEADER + words[TEXT];
    volume->shells_size = nodes;
    volume->shells = bytes + 4 * HEADER + words[TEXT] + words[WEIGHTS];
    volume->ends_size = limits;
    volume->ends = volume->shells + nodes;
    data->chunk.dtype = words[DTYPE] & 0x3f;
    data->chunk.big_endian = words[DTYPE] >> 7 & 1;
    data->chunk.axes = words[AXES] > INR_MAX_AXES ? 0 : (int)words[AXES];
    for (int a = 0; a < INR_MAX_AXES; a++)
        data->chunk.shape[a] = words[SHAPE + a];
    bool whole = inr_crc32(0, bytes + 4 * TEXT, 4 * (count - TEXT)) == words[CHECKSUM];
    bool shells = nodes != 1 && nodes <= MAX_SHELLS && (!limits || (nodes && limits == 3 * ((nodes - 2) / 8 + 2)));
    if (whole && shells && volume->block <= INR_EDGES * INR_MAX_BLOCK && inr_chunk_size(&data->chunk)) {
        data->bytes = bytes;
        return true;
    }
    free(bytes);
    return wrong(error, whole ? "shape, dtype, block or table of shells make no sense" : "damaged");
}
