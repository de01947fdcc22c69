/* The plugin that HDF5 loads from HDF5_PLUGIN_PATH: it decodes, and does not encode.
   The few declarations of HDF5 that it takes are here (H5public.h, H5Zpublic.h, H5PLextern.h; HDF5 1.10 and
   later), so that it is built without HDF5's headers and loads into whichever HDF5 the program has. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

#ifndef INRCODEC_FILTER_ID
#error "the build script passes the filter's number"
#endif

typedef int64_t hid_t;

typedef struct {
    int version; /* H5Z_CLASS_T_VERS, 1 */
    int id;
    unsigned encoder_present, decoder_present;
    const char *name;
    void *can_apply, *set_local;
    size_t (*filter)(unsigned, size_t, const unsigned *, size_t, size_t *, void **);
} filter_class; /* H5Z_class2_t */

#define PLUGIN_FILTER 0 /* H5PL_TYPE_FILTER */
#define REVERSE 0x100u /* H5Z_FLAG_REVERSE: decode */

/* The functions of the HDF5 that calls us. It may be loaded privately, as h5py's is, so symbols left to the
   linker would not be found. */
typedef struct {
    void *(*allocate)(size_t, bool);
    int (*release)(void *);
    hid_t (*new_stack)(void);
    int (*use_stack)(hid_t);
    int (*push_error)(hid_t, const char *, const char *, unsigned, hid_t, hid_t, hid_t, const char *, ...);
    hid_t *errors, *pipeline, *cannot_filter;
} host;

static host find_host(const void *caller)
{
    host found = {0};
    Dl_info info;
    void *library = NULL;
    if (dladdr(caller, &info) && info.dli_fname)
        library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    void *from = library ? library : RTLD_DEFAULT;
    /* ISO C has no conversion between pointers to objects and to functions; POSIX has this one. */
    *(void **)&found.allocate = dlsym(from, "H5allocate_memory");
    *(void **)&found.release = dlsym(from, "H5free_memory");
    *(void **)&found.new_stack = dlsym(from, "H5Ecreate_stack");
    *(void **)&found.use_stack = dlsym(from, "H5Eset_current_stack");
    *(void **)&found.push_error = dlsym(from, "H5Epush2");
    found.errors = dlsym(from, "H5E_ERR_CLS_g");
    found.pipeline = dlsym(from, "H5E_PLINE_g");
    found.cannot_filter = dlsym(from, "H5E_CANTFILTER_g");
    if (library)
        dlclose(library);
    return found;
}

/* Leaves a text on HDF5's stack of errors. HDF5 2.0 takes no errors from a filter while it runs, but a stack
   may be put in the place of its own. */
static size_t failed(const host *hdf5, const char *text)
{
    if (hdf5->push_error && hdf5->new_stack && hdf5->use_stack && hdf5->errors && hdf5->pipeline &&
        hdf5->cannot_filter) {
        hid_t stack = hdf5->new_stack();
        hdf5->push_error(stack, __FILE__, "inrcodec", __LINE__, *hdf5->errors, *hdf5->pipeline, *hdf5->cannot_filter,
                         "inrcodec: %s", text);
        hdf5->use_stack(stack);
    }
    return 0;
}

static size_t filter(unsigned flags, size_t count, const unsigned *words, size_t size, size_t *room, void **buffer)
{
    host hdf5 = find_host(__builtin_return_address(0));
    inr_client_data data = {0};
    char error[INR_ERROR_SIZE];
    if (!(flags & REVERSE))
        return failed(&hdf5, "this plugin only decodes; the Python package encodes");
    if (!inr_parse_client_data(words, count, &data, error))
        return failed(&hdf5, error);
    uint64_t wanted = inr_chunk_size(&data.chunk);
    bool own = hdf5.allocate && hdf5.release;
    uint8_t *out = own ? hdf5.allocate((size_t)wanted, false) : malloc((size_t)wanted);
    bool done = out && inr_decode(*buffer, size, &data.chunk, &data.volume, out, error);
    void *spent = done ? *buffer : out;
    if (own && spent)
        hdf5.release(spent);
    else
        free(spent);
    free(data.bytes);
    if (!done)
        return failed(&hdf5, out ? error : "no memory for a chunk");
    *buffer = out;
    *room = (size_t)wanted;
    return (size_t)wanted;
}

static const filter_class description = {
    1, INRCODEC_FILTER_ID, 0, 1, "inrcodec: implicit neural representations (decoder)", NULL, NULL, filter,
};

int H5PLget_plugin_type(void)
{
    return PLUGIN_FILTER;
}

const void *H5PLget_plugin_info(void)
{
    return &description;
}
