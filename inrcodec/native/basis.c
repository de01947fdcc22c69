/* Blocks of an axis and their basis functions: section 3 of docs/format.md. At the ends of an axis the last
   bit of every step counts: operations are in the order given there, and cosines are not libm's, which differ
   from machine to machine. */
#include "decoder.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

_Static_assert(FLT_EVAL_METHOD == 0, "doubles must be doubles: on 32-bit x86 build with -msse2 -mfpmath=sse");

#define PI 3.141592653589793
#define TERMS 14 /* of the Taylor series */
#define SWEEPS 3
#define FLOOR 0x1p-11 /* of the covariance: what noise adds, at a distance of 0 and of 1 */
#define FLOOR_SLOPE 0x1p-13
#define NEGLIGIBLE 0x1p-60
#define TURNED 1e-18 /* two functions of a covariance as small are left alone */
#define UNIT 1048576.0 /* 2^20 */

enum { COSINES = 64 }; /* nothing is turned */

/* 64 times what the correlation of neighbouring voxels lacks of 1, by the kind of edges */
static const int lacking[INR_EDGES] = {8, 13, COSINES, 5};

inr_axis inr_split(uint32_t length, uint32_t block)
{
    inr_axis axis = {.length = length, .edges = (block - 1) / INR_MAX_BLOCK};
    block = (block - 1) % INR_MAX_BLOCK + 1;
    axis.blocks = (uint32_t)((2ull * length + block) / (2ull * block));
    if (axis.blocks == 0)
        axis.blocks = 1;
    axis.base = length / axis.blocks;
    axis.longer = length % axis.blocks;
    axis.latents = axis.base + (axis.longer > 0);
    return axis;
}

static uint32_t block_size(const inr_axis *axis, uint32_t block)
{
    return axis->base + (block < axis->longer);
}

static uint32_t overlap(const inr_axis *axis, uint32_t left_block)
{
    uint32_t a = block_size(axis, left_block), b = block_size(axis, left_block + 1);
    return (a < b ? a : b) / 2;
}

/* For angles from 0 to pi/2. */
static double cos_quadrant(double angle)
{
    double square = angle * angle, sum = 1;
    for (int n = TERMS; n > 0; n--)
        sum = 1 - sum * square / ((2 * n - 1) * (2 * n));
    return sum;
}

/* The cosine of `angle` parts of a half turn. */
static double cos_rational(uint32_t angle, uint32_t parts)
{
    angle %= 2 * parts;
    if (angle > parts)
        angle = 2 * parts - angle;
    return 2 * angle > parts ? -cos_quadrant((parts - angle) * PI / parts) : cos_quadrant(angle * PI / parts);
}

/* Cosines, functions[k * size + n]. There are far fewer angles than pairs of n and k. */
static double *cosines(inr_context *context, uint32_t size, bool last)
{
    uint32_t parts = last ? 2 * size : 4 * size;
    double *functions = inr_take(context, (uint64_t)size * size, sizeof *functions), scale = sqrt(2.0 / size);
    double *wave = inr_take(context, 2 * (uint64_t)parts, sizeof *wave);
    for (uint32_t angle = 0; angle < 2 * parts; angle++)
        wave[angle] = cos_rational(angle, parts) * scale;
    for (uint32_t k = 0; k < size; k++) {
        for (uint32_t n = 0; n < size; n++)
            functions[k * size + n] = wave[(2 * n + 1) * (last ? k : 2 * k + 1) % (2 * parts)];
    }
    for (uint32_t n = 0; n < size && last; n++)
        functions[n] = sqrt(1.0 / size);
    inr_release(context, wave);
    return functions;
}

/* A voxel of a block and its mirror image in a border, which lies outside: their weights in a function. */
typedef struct {
    double own, other;
    int32_t image; /* the voxel itself where it has none; other is 0 then */
} fold;

static double fold_angle(uint32_t i, uint32_t half)
{
    double u = (i + 0.5) / half;
    return 0.5 * (PI / 4 * (1 + u) + PI / 4 * (1 + cos_quadrant(PI / 2 * (1 - u))));
}

static fold *folds_of(inr_context *context, uint32_t size, uint32_t left, uint32_t right)
{
    fold *folds = inr_take(context, size, sizeof *folds);
    for (uint32_t i = 0; i < size; i++)
        folds[i] = (fold){1, 0, (int32_t)i};
    for (uint32_t i = 0; i < left; i++) {
        double angle = fold_angle(i, left);
        folds[i] = (fold){cos_quadrant(PI / 2 - angle), cos_quadrant(angle), -1 - (int32_t)i};
    }
    for (uint32_t i = 0; i < right; i++) {
        double angle = fold_angle(i, right);
        folds[size - 1 - i] = (fold){cos_quadrant(PI / 2 - angle), -cos_quadrant(angle), (int32_t)(size + i)};
    }
    return folds;
}

/* Covariance of density with itself, by distance. */
static double *correlation(inr_context *context, uint32_t count, uint32_t edges)
{
    double *out = inr_take(context, count, sizeof *out);
    double next = 1 - lacking[edges] / 64.0, factor = next, value = 1;
    for (uint32_t distance = 0; distance < count && value >= NEGLIGIBLE; distance++) {
        out[distance] = value;
        value *= factor;
        factor *= next * next;
    }
    out[0] += FLOOR;
    out[1] += FLOOR_SLOPE;
    return out;
}

/* out[i * size + k]: the sum over j of a(i, j) b(k, j) */
static void products(const double *a, const double *b, uint32_t size, double *out)
{
    for (uint32_t i = 0; i < size; i++) {
        for (uint32_t k = 0; k < size; k++) {
            double sum = 0;
            for (uint32_t j = 0; j < size; j++)
                sum += a[i * size + j] * b[k * size + j];
            out[i * size + k] = sum;
        }
    }
}

/* The covariance of a block's functions, (size, size). */
static double *covariance_of(inr_context *context, const double *functions, const fold *folds, uint32_t size,
                             uint32_t edges)
{
    double *r = correlation(context, 2 * size, edges);
    double *voxels = inr_take(context, (uint64_t)size * size, sizeof *voxels);
    double *half = inr_take(context, (uint64_t)size * size, sizeof *half);
    for (int32_t i = 0; i < (int32_t)size; i++) {
        for (int32_t j = 0; j < (int32_t)size; j++) {
            fold a = folds[i], b = folds[j];
            double own = a.own * b.own * r[abs(i - j)] + a.own * b.other * r[abs(i - b.image)];
            double other = a.other * b.own * r[abs(a.image - j)];
            other += a.other * b.other * r[abs(a.image - b.image)];
            voxels[(uint32_t)i * size + (uint32_t)j] = own + other;
        }
    }
    products(functions, voxels, size, half); /* the transpose of what the format calls G */
    products(functions, half, size, voxels);
    inr_release(context, half);
    inr_release(context, r);
    return voxels;
}

/* A plane rotation of two functions. */
typedef struct {
    uint32_t p, q;
    double cosine, sine;
} rotation;

/* The one that leaves no covariance between them. */
static rotation rotation_of(const double *covariance, uint32_t size, uint32_t p, uint32_t q)
{
    double cross = covariance[p * size + q], tangent = 0;
    if (fabs(cross) > TURNED) {
        double ratio = (covariance[q * size + q] - covariance[p * size + p]) / (2 * cross);
        tangent = 1 / (fabs(ratio) + sqrt(1 + ratio * ratio));
        tangent = ratio < 0 ? -tangent : tangent;
    }
    double cosine = 1 / sqrt(1 + tangent * tangent);
    return (rotation){p, q, cosine, tangent * cosine};
}

static void rotate_rows(double *matrix, uint32_t size, const rotation *rotations, uint32_t count)
{
    for (const rotation *r = rotations; r < rotations + count; r++) {
        double *p = matrix + r->p * size, *q = matrix + r->q * size, cosine = r->cosine, sine = r->sine;
        for (uint32_t i = 0; i < size; i++) {
            double a = p[i], b = q[i];
            p[i] = cosine * a - sine * b;
            q[i] = sine * a + cosine * b;
        }
    }
}

static void rotate_columns(double *matrix, uint32_t size, const rotation *rotations, uint32_t count)
{
    for (double *row = matrix; row < matrix + (size_t)size * size; row += size) {
        for (const rotation *r = rotations; r < rotations + count; r++) {
            double a = row[r->p], b = row[r->q];
            row[r->p] = r->cosine * a - r->sine * b;
            row[r->q] = r->sine * a + r->cosine * b;
        }
    }
}

/* Turns cosines into functions that decorrelate smooth density: Jacobi's method, its pairs in rounds as in a
   tournament where 0 keeps its place and the others move on. */
static void decorrelate(inr_context *context, double *functions, const fold *folds, uint32_t size,
                        uint32_t edges)
{
    double *covariance = covariance_of(context, functions, folds, size, edges);
    uint32_t places = size + size % 2, others = places - 1;
    rotation *rotations = inr_take(context, places / 2, sizeof *rotations);
    for (uint32_t turn = 0; turn < SWEEPS * others; turn++) {
        uint32_t count = 0, shift = others - 1 - turn % others;
        for (uint32_t j = 0; j < places / 2; j++) {
            uint32_t a = j ? (j + shift) % others + 1 : 0, b = (others - j + shift) % others + 1;
            if (a < size && b < size) /* one sits out where they are odd */
                rotations[count++] = rotation_of(covariance, size, a < b ? a : b, a < b ? b : a);
        }
        rotate_rows(covariance, size, rotations, count);
        rotate_columns(covariance, size, rotations, count);
        rotate_rows(functions, size, rotations, count);
    }
    inr_release(context, rotations);
    inr_release(context, covariance);
}

/* table[k * (left + size + right) + left + n]; left and right are how far the block overlaps others. */
static void fill_table(inr_context *context, double *table, uint32_t size, uint32_t left, uint32_t right,
                       uint32_t edges)
{
    fold *folds = folds_of(context, size, left, right);
    double *functions = cosines(context, size, !right), *value = functions;
    if ((!left || !right) && lacking[edges] != COSINES)
        decorrelate(context, functions, folds, size, edges);
    for (uint32_t k = 0; k < size; k++, table += left + size + right) {
        for (uint32_t n = 0; n < size; n++, value++) {
            table[(int64_t)left + folds[n].image] = rint(UNIT * (folds[n].other * *value));
            table[left + n] = rint(UNIT * (folds[n].own * *value));
        }
    }
    inr_release(context, functions);
    inr_release(context, folds);
}

inr_basis inr_make_basis(inr_context *context, const inr_axis *axis, uint32_t block)
{
    uint32_t size = block_size(axis, block), longer = block < axis->longer ? block : axis->longer;
    uint32_t left = block ? overlap(axis, block - 1) : 0;
    uint32_t right = block + 1 < axis->blocks ? overlap(axis, block) : 0;
    inr_basis out = {.low = block * axis->base + longer - left, .samples = left + size + right};
    out.table = inr_take(context, (uint64_t)axis->latents * out.samples, sizeof *out.table);
    fill_table(context, out.table, size, left, right, axis->edges);
    return out;
}
