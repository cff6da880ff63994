/* A plugin that keeps objects as files of a folder: setting `folder`, which must exist.
 *
 *   cc -std=c11 -O2 -shared -fPIC -I plugins/abi plugins/example-c/folder.c -o folder.so
 *
 * FOLDER/NAME is an object. What is being put is FOLDER/.PID-NUMBER, which no object's name can
 * be. link() gives it its name: whole, and only where there is none. */
#define _POSIX_C_SOURCE 200809L
#include "warifu_plugin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct store {
  int folder;
  atomic_uint puts;
};

struct put {
  struct store *store;
  int file;
  char name[WARIFU_NAME_MAX + 1];
  char draft[64];
};

WARIFU_EXPORT const struct warifu_about warifu_plugin_about = {
    .struct_size = sizeof(struct warifu_about),
    .abi = WARIFU_PLUGIN_ABI,
    .capabilities = WARIFU_CREATE_ONLY | WARIFU_DURABLE,
    .name = "folder",
    .version = "1.0",
};

/* Says what failed, and which status that is. */
static int32_t failed(struct warifu_call *call, const char *what) {
  int number = errno;
  snprintf(call->message, call->message_size, "%s: %s", what, strerror(number));
  switch (number) {
  case ENOENT: return WARIFU_NOT_FOUND;
  case EEXIST: return WARIFU_EXISTS;
  case ENOSPC: case EDQUOT: return WARIFU_NO_SPACE;
  case EACCES: case EPERM: case EROFS: return WARIFU_DENIED;
  case ESTALE: case ETIMEDOUT: case EMFILE: case ENFILE: return WARIFU_UNAVAILABLE;
  case EFBIG: return WARIFU_LIMIT;
  default: return WARIFU_FAILED;
  }
}

static int32_t open_store(struct warifu_call *call, const struct warifu_setting *settings,
                          uint64_t count, void **opened) {
  const char *folder = NULL;
  for (uint64_t i = 0; i < count; i++) {
    if (strcmp(settings[i].name, "folder") == 0) {
      folder = settings[i].value;
    } else {
      snprintf(call->message, call->message_size, "no setting %s: use folder", settings[i].name);
      return WARIFU_FAILED;
    }
  }
  if (folder == NULL) {
    snprintf(call->message, call->message_size, "the setting folder is missing");
    return WARIFU_FAILED;
  }
  struct store *store = calloc(1, sizeof *store);
  if (store == NULL) return failed(call, "memory");
  store->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (store->folder < 0) {
    int32_t status = failed(call, folder);
    free(store);
    return status == WARIFU_NOT_FOUND ? WARIFU_FAILED : status;
  }
  *opened = store;
  return WARIFU_OK;
}

static void close_store(void *opened) {
  struct store *store = opened;
  close(store->folder);
  free(store);
}

static int32_t put_begin(struct warifu_call *call, void *opened, const char *name, uint64_t bytes,
                         void **begun) {
  (void)bytes;
  struct store *store = opened;
  struct put *put = calloc(1, sizeof *put);
  if (put == NULL) return failed(call, "memory");
  put->store = store;
  snprintf(put->name, sizeof put->name, "%s", name);
  /* A draft that a dead process left may have the number already. */
  do {
    unsigned number = atomic_fetch_add(&store->puts, 1);
    snprintf(put->draft, sizeof put->draft, ".%ld-%u", (long)getpid(), number);
    put->file = openat(store->folder, put->draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  } while (put->file < 0 && errno == EEXIST);
  if (put->file < 0) {
    int32_t status = failed(call, "draft");
    free(put);
    return status;
  }
  *begun = put;
  return WARIFU_OK;
}

static int32_t put_write(struct warifu_call *call, void *begun, const void *piece, uint64_t bytes) {
  struct put *put = begun;
  const char *at = piece;
  while (bytes > 0) {
    ssize_t done = write(put->file, at, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return failed(call, "write");
    at += done;
    bytes -= (uint64_t)done;
  }
  return WARIFU_OK;
}

static void put_abort(void *begun) {
  struct put *put = begun;
  close(put->file);
  unlinkat(put->store->folder, put->draft, 0);
  free(put);
}

static int32_t put_finish(struct warifu_call *call, void *begun) {
  struct put *put = begun;
  int folder = put->store->folder;
  int32_t status = WARIFU_OK;
  if (fsync(put->file) != 0) {
    status = failed(call, "sync");
  } else if (linkat(folder, put->draft, folder, put->name, 0) != 0) {
    status = failed(call, put->name);
  } else if (fsync(folder) != 0) {
    /* It is there, and may be gone after a loss of power. */
    failed(call, "sync of the folder");
    status = WARIFU_UNKNOWN;
  }
  put_abort(put);
  return status;
}

static int32_t length(struct warifu_call *call, void *opened, const char *name, uint64_t *bytes) {
  struct stat about;
  if (fstatat(((struct store *)opened)->folder, name, &about, 0) != 0) return failed(call, name);
  *bytes = (uint64_t)about.st_size;
  return WARIFU_OK;
}

static int32_t read_range(struct warifu_call *call, void *opened, const char *name, uint64_t offset,
                          void *target, uint64_t bytes) {
  struct stat about;
  int file = openat(((struct store *)opened)->folder, name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return failed(call, name);
  int32_t status = fstat(file, &about) == 0 ? WARIFU_OK : failed(call, name);
  uint64_t held = status == WARIFU_OK ? (uint64_t)about.st_size : 0;
  if (status == WARIFU_OK && (offset > held || bytes > held - offset)) status = WARIFU_TRUNCATED;
  char *at = target;
  while (status == WARIFU_OK && bytes > 0) {
    ssize_t done = pread(file, at, bytes, (off_t)offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      status = done < 0 ? failed(call, "read") : WARIFU_DAMAGED;
      break;
    }
    at += done;
    offset += (uint64_t)done;
    bytes -= (uint64_t)done;
  }
  close(file);
  return status;
}

static int by_name(const void *one, const void *other) {
  const struct warifu_entry *first = one, *second = other;
  return strcmp(first->name, second->name);
}

static int32_t list(struct warifu_call *call, void *opened, const char *after,
                    struct warifu_entry *entries, uint64_t capacity, uint64_t *count) {
  struct store *store = opened;
  struct warifu_entry *all = NULL;
  uint64_t found = 0, room = 0;
  int32_t status = WARIFU_OK;
  int copy = openat(store->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *folder = copy < 0 ? NULL : fdopendir(copy);
  if (folder == NULL) {
    status = failed(call, "list");
    if (copy >= 0) close(copy);
    return status;
  }
  struct dirent *one;
  while (status == WARIFU_OK && (errno = 0, one = readdir(folder)) != NULL) {
    struct stat about;
    if (one->d_name[0] == '.' || strlen(one->d_name) > WARIFU_NAME_MAX) continue;
    if (strcmp(one->d_name, after) <= 0) continue;
    if (fstatat(store->folder, one->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISREG(about.st_mode)) continue;
    if (found == room) {
      room = room == 0 ? 64 : 2 * room;
      struct warifu_entry *more = realloc(all, room * sizeof *all);
      if (more == NULL) { status = failed(call, "memory"); break; }
      all = more;
    }
    all[found].bytes = (uint64_t)about.st_size;
    memcpy(all[found].name, one->d_name, strlen(one->d_name) + 1);
    found++;
  }
  if (status == WARIFU_OK && errno != 0) status = failed(call, "list");
  closedir(folder);
  if (found > 0) qsort(all, found, sizeof *all, by_name);
  *count = found < capacity ? found : capacity;
  if (status == WARIFU_OK && *count > 0) memcpy(entries, all, *count * sizeof *all);
  free(all);
  return status;
}

static int32_t remove_object(struct warifu_call *call, void *opened, const char *name) {
  struct store *store = opened;
  if (unlinkat(store->folder, name, 0) != 0) return failed(call, name);
  if (fsync(store->folder) != 0) {
    failed(call, "sync of the folder");
    return WARIFU_UNKNOWN;
  }
  return WARIFU_OK;
}

static int32_t room_left(struct warifu_call *call, void *opened, uint64_t *bytes) {
  struct statvfs about;
  if (fstatvfs(((struct store *)opened)->folder, &about) != 0) return failed(call, "room");
  *bytes = (uint64_t)about.f_bavail * about.f_frsize;
  return WARIFU_OK;
}

WARIFU_EXPORT const struct warifu_functions warifu_plugin_functions = {
    .struct_size = sizeof(struct warifu_functions),
    .open = open_store, .close = close_store,
    .put_begin = put_begin, .put_write = put_write, .put_finish = put_finish,
    .put_abort = put_abort, .read = read_range, .length = length, .list = list,
    .remove = remove_object, .room = room_left,
};
