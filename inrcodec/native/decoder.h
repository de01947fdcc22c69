/* A decoder of inrcodec payloads without Python. docs/format.md is its specification; names follow it. */
#ifndef INRCODEC_DECODER_H
#define INRCODEC_DECODER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INR_ERROR_SIZE 256
#define INR_MAX_AXES 4
#define INR_PARAMETERS 1633 /* of the context network */
#define INR_SCALES 160
#define INR_SPLIT 68 /* scale indices from here on code their low bits apart */
#define INR_BINS 32
#define INR_MAX_BLOCK 64 /* voxels */
#define INR_EDGES 4 /* kinds */
#define INR_PRECISION 24
#define INR_FLAG_LOGITS 32
#define INR_FIRST_CONTEXTS 117
#define INR_SECOND_CONTEXTS 135

/* What the container says a chunk is. */
typedef struct {
    int axes;
    uint64_t shape[INR_MAX_AXES];
    unsigned dtype; /* code of section 1 of the format, without its flags */
    bool big_endian;
} inr_chunk;

/* What the chunks of a volume share, and payloads of volume scope do not hold. */
typedef struct {
    uint32_t prior;
    uint32_t block; /* number of the block; 0: there is no volume */
    double step;
    const uint8_t *weights;
    size_t weights_size; /* 0: the prior's own */
    const uint8_t *shells;
    size_t shells_size; /* 0: one step for all frequencies */
    const uint8_t *ends;
    size_t ends_size; /* 0: steps without limits at the ends of axes */
} inr_volume;

/* The client data of the HDF5 filter. */
typedef struct {
    inr_chunk chunk;
    inr_volume volume;
    uint8_t *bytes; /* what the volume points into; the caller frees it */
} inr_client_data;

/* Bytes of a chunk, or 0 where shape or dtype are none that the format holds. */
uint64_t inr_chunk_size(const inr_chunk *chunk);

/* Decodes a payload into inr_chunk_size bytes, in C order and the container's byte order. Returns false and
   leaves a text where the payload is damaged or another chunk's. */
bool inr_decode(const uint8_t *payload, size_t size, const inr_chunk *chunk, const inr_volume *volume, uint8_t *out,
                char error[INR_ERROR_SIZE]);

/* Parses the 32-bit words of client data. */
bool inr_parse_client_data(const unsigned *words, size_t count, inr_client_data *data, char error[INR_ERROR_SIZE]);

/* What follows is shared by the decoder's files. */

unsigned inr_width(unsigned dtype); /* bytes of a voxel; 0: there is no such dtype */
uint64_t inr_bits_of(double value);
uint64_t inr_cast(double density, unsigned dtype); /* the voxel's bits */
void inr_put(uint8_t *to, uint64_t bits, unsigned width, bool big_endian);

/* One decoding: where to go with an error, and the memory to free then. */
typedef struct {
    jmp_buf failed;
    char *error;
    void *memory[64];
    unsigned blocks;
} inr_context;

_Noreturn void inr_fail(inr_context *context, const char *format, ...) __attribute__((format(printf, 2, 3)));
void inr_check_density(inr_context *context, double value, double above, const char *what);
void *inr_take(inr_context *context, uint64_t count, size_t size); /* zeros */
void inr_release(inr_context *context, void *memory);

/* A cursor over untrusted bytes. */
typedef struct {
    inr_context *context;
    const uint8_t *at;
    size_t left;
} inr_reader;

const uint8_t *inr_bytes(inr_reader *reader, uint64_t count);
unsigned inr_u8(inr_reader *reader);
double inr_f64(inr_reader *reader);
double inr_short(inr_reader *reader); /* the upper half of a double */
uint64_t inr_varint(inr_reader *reader);
void inr_end(const inr_reader *reader);

/* The entropy decoder (section 6). */
typedef struct {
    inr_context *context;
    const uint8_t *bytes;
    size_t size;
    size_t left; /* words */
    uint64_t state;
} inr_symbols;

typedef struct {
    uint32_t *order;
    uint32_t *escaped;
} inr_scratch; /* of one step, as many entries as it has values */

void inr_symbols_open(inr_symbols *symbols, inr_context *context, const uint8_t *bytes, size_t size);
void inr_symbols_end(const inr_symbols *symbols);
void inr_step(inr_symbols *symbols, const uint8_t *indices, int32_t *values, size_t count, inr_scratch scratch);
unsigned inr_bit(inr_symbols *symbols, uint32_t set_frequency);
unsigned inr_uniform(inr_symbols *symbols, unsigned bits);
unsigned inr_flag(inr_symbols *symbols, int logit);
inr_scratch inr_scratch_for(inr_context *context, uint64_t count);
void inr_scratch_release(inr_context *context, inr_scratch scratch);

/* Blocks of one axis (section 3). Their number is the nominal length plus 64 times the kind of their edges. */
typedef struct {
    uint32_t length;
    uint32_t edges; /* kind */
    uint32_t blocks;
    uint32_t latents; /* of the longest block */
    uint32_t base, longer; /* the first `longer` blocks have base + 1 voxels */
} inr_axis;

/* The basis functions of one of them: samples from `low` on; table[k * samples + i] in units of 2^-20. */
typedef struct {
    uint32_t low, samples;
    double *table;
} inr_basis;

inr_axis inr_split(uint32_t length, uint32_t block);
inr_basis inr_make_basis(inr_context *context, const inr_axis *axis, uint32_t block);

/* The local-Fourier field: what its section says, and what follows from it. */
typedef struct {
    inr_context *context;
    double step, offset, background;
    bool has_background;
    int offsets[3]; /* of reconstruction, in 1/64 step */
    uint64_t prior; /* of chunk scope */
    uint8_t envelope[INR_BINS];
    uint32_t start[3]; /* of the box in the volume */
    inr_axis axis[3];
    const uint8_t *shells, *ends;
    size_t shells_size, ends_size;
    uint32_t bands, blocks;
    uint32_t *active; /* numbers of the bands that are coded */
    uint32_t active_count;
    int32_t *latents; /* active bands x blocks in C order */
} inr_field;

void inr_network(inr_context *context, uint64_t prior, const uint8_t *weights, size_t size, int32_t *parameters);
void inr_latents(inr_field *field, const int32_t *parameters, const uint8_t *bytes, size_t size);
uint64_t inr_multiplier(const inr_field *field, uint32_t band, unsigned ends);
void inr_frequency(const inr_field *field, uint32_t band, uint32_t k[3]);
double *inr_synthesise(inr_field *field); /* voxels of the box, in units of 2^-26 steps */
/* occupied is NULL where all voxels of the box are. */
void inr_correct(inr_context *context, const uint8_t *bytes, size_t size, double *density, const uint8_t *occupied,
                 const uint32_t shape[3]);
uint8_t *inr_occupied(inr_context *context, const uint8_t *bytes, size_t size, const uint32_t shape[3]);

/* tables.c, written by tables.py */
typedef struct {
    uint32_t number;
    int32_t parameters[INR_PARAMETERS];
} inr_prior;

extern const uint32_t inr_cumulative[];
extern const uint32_t inr_table_start[INR_SPLIT + 8 + 1];
extern const uint16_t inr_limit[INR_SCALES];
extern const uint32_t inr_bit_frequency[];
extern const unsigned inr_bit_codes;
extern const uint32_t inr_flag_frequency[2 * INR_FLAG_LOGITS + 1];
extern const uint8_t inr_log_magnitude[256];
extern const uint32_t inr_shell_fraction[128];
extern const int8_t inr_first_logits[INR_FIRST_CONTEXTS];
extern const int8_t inr_second_logits[INR_SECOND_CONTEXTS];
extern const inr_prior inr_priors[];
extern const unsigned inr_prior_count;

#endif
