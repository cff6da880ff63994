/* The example plugin with one fault, named by FAULT. */
#define _POSIX_C_SOURCE 200809L
#include "warifu_plugin.h"
#define warifu_plugin_functions honest_functions
#define warifu_plugin_about honest_about
#include "folder.c"
#undef warifu_plugin_functions
#undef warifu_plugin_about

#define FAULT_CRASHES 1
#define FAULT_HANGS 2
#define FAULT_STATUS 3
#define FAULT_COUNT 4
#define FAULT_ORDER 5
#define FAULT_NAME 6
#define FAULT_NO_STORE 7
#define FAULT_NO_PUT 8
#define FAULT_SHORT_TABLE 9
#define FAULT_HOLE 10
#define FAULT_VERSION 11
#define FAULT_PROMISE 12
#define FAULT_FORGETS 13
#define FAULT_OVERWRITES 14
#define FAULT_KEEPS 15
#define FAULT_MESSAGE 16
#define FAULT_SHORT_READ 17
#define FAULT_DIES_PUTTING 18
#define FAULT_TITLE 19

static int32_t faulty_open(struct warifu_call *call, const struct warifu_setting *settings,
                           uint64_t count, void **store) {
  if (FAULT == FAULT_NO_STORE) return WARIFU_OK;
  return open_store(call, settings, count, store);
}

static int32_t faulty_begin(struct warifu_call *call, void *store, const char *name,
                            uint64_t bytes, void **put) {
  if (FAULT == FAULT_NO_PUT) return WARIFU_OK;
  if (FAULT == FAULT_OVERWRITES) unlinkat(((struct store *)store)->folder, name, 0);
  return put_begin(call, store, name, bytes, put);
}

static int32_t faulty_write(struct warifu_call *call, void *put, const void *piece,
                            uint64_t bytes) {
  return put_write(call, put, piece, FAULT == FAULT_FORGETS ? bytes / 2 : bytes);
}

static int32_t faulty_finish(struct warifu_call *call, void *put) {
  int32_t status = put_finish(call, put);
  /* Once: a file says that it has died already. */
  if (FAULT == FAULT_DIES_PUTTING && status == WARIFU_OK) {
    const char *mark = getenv("FAULT_MARK");
    if (mark != NULL && close(open(mark, O_CREAT | O_EXCL | O_WRONLY, 0600)) == 0) abort();
  }
  return status;
}

static int32_t faulty_read(struct warifu_call *call, void *store, const char *name,
                           uint64_t offset, void *target, uint64_t bytes) {
  if (FAULT == FAULT_CRASHES) abort();
  if (FAULT == FAULT_SHORT_READ && bytes > 1) bytes /= 2;
  return read_range(call, store, name, offset, target, bytes);
}

static int32_t faulty_length(struct warifu_call *call, void *store, const char *name,
                             uint64_t *bytes) {
  if (FAULT == FAULT_HANGS && strcmp(name, "hangs") == 0) {
    for (;;) pause();
  }
  if (FAULT == FAULT_STATUS) return 99;
  if (FAULT == FAULT_MESSAGE) {
    memset(call->message, 'x', call->message_size);
    return WARIFU_FAILED;
  }
  return length(call, store, name, bytes);
}

static int32_t faulty_list(struct warifu_call *call, void *store, const char *after,
                           struct warifu_entry *entries, uint64_t capacity, uint64_t *count) {
  int32_t status = list(call, store, after, entries, capacity, count);
  if (FAULT == FAULT_COUNT) *count = capacity + 1;
  if (FAULT == FAULT_ORDER && *count > 1) entries[1] = entries[0];
  if (FAULT == FAULT_NAME && *count > 0) memset(entries[0].name, 'a', sizeof entries[0].name);
  return status;
}

static int32_t faulty_remove(struct warifu_call *call, void *store, const char *name) {
  uint64_t bytes;
  if (FAULT == FAULT_KEEPS) return length(call, store, name, &bytes);
  return remove_object(call, store, name);
}

WARIFU_EXPORT const struct warifu_about warifu_plugin_about = {
    .struct_size = sizeof(struct warifu_about),
    .abi = FAULT == FAULT_VERSION ? 2 : WARIFU_PLUGIN_ABI,
    .capabilities = WARIFU_CREATE_ONLY | WARIFU_DURABLE | (FAULT == FAULT_PROMISE ? 4 : 0),
    .name = {FAULT == FAULT_TITLE ? '\n' : 'f', 0},
    .version = "1.0",
};

WARIFU_EXPORT const struct warifu_functions warifu_plugin_functions = {
    .struct_size = sizeof(struct warifu_functions) - (FAULT == FAULT_SHORT_TABLE ? 8 : 0),
    .open = faulty_open, .close = close_store,
    .put_begin = faulty_begin, .put_write = faulty_write, .put_finish = faulty_finish,
    .put_abort = put_abort, .read = faulty_read, .length = faulty_length, .list = faulty_list,
    .remove = FAULT == FAULT_HOLE ? NULL : faulty_remove, .room = NULL,
};
