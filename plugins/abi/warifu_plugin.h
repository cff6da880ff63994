/* The interface between warifu and a plugin that keeps shares. ABI.md explains it.
 *
 * C11, and the source of truth: whatever says otherwise is wrong. Every struct begins with its own
 * size. A later version may append members and change nothing else, so a plugin that was built
 * with this header goes on working. */
#ifndef WARIFU_PLUGIN_H
#define WARIFU_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/* The version of this interface. */
#define WARIFU_PLUGIN_ABI 1u

/* A share's name has at most so many bytes, the zero at its end aside. */
#define WARIFU_NAME_MAX 128

/* What a function answers. There are no others. */
enum {
  WARIFU_OK = 0,
  WARIFU_NOT_FOUND = 1,   /* nothing of this name */
  WARIFU_EXISTS = 2,      /* something of this name */
  WARIFU_NO_SPACE = 3,    /* no room; nothing is left behind */
  WARIFU_DENIED = 4,      /* the operator has to grant it */
  WARIFU_UNAVAILABLE = 5, /* not now; nothing was done */
  WARIFU_UNKNOWN = 6,     /* it may have happened or not: the host asks */
  WARIFU_LIMIT = 7,       /* more than is ever taken */
  WARIFU_DAMAGED = 8,     /* what is kept is not what was put */
  WARIFU_TRUNCATED = 9,   /* the range ends beyond the end */
  WARIFU_FAILED = 10,     /* anything else; the message says what */
};

/* What a plugin promises. */
#define WARIFU_CREATE_ONLY (UINT64_C(1) << 0) /* two puts of one name can't both succeed */
#define WARIFU_DURABLE (UINT64_C(1) << 1)     /* what put_finish acknowledged survives loss of power */

/* Read as data, before any code of the plugin runs: constants only, no pointers. */
struct warifu_about {
  uint32_t struct_size;  /* sizeof(struct warifu_about) */
  uint32_t abi;          /* WARIFU_PLUGIN_ABI */
  uint64_t capabilities; /* WARIFU_CREATE_ONLY, WARIFU_DURABLE; other bits are zero */
  char name[32];         /* printable ASCII, ended by a zero */
  char version[32];      /* the same */
};

/* A setting from the store's URL; both texts are ended by a zero and lent for the call. */
struct warifu_setting {
  const char *name;
  const char *value;
};

/* What comes with every call, lent for its length. */
struct warifu_call {
  uint32_t struct_size;
  uint32_t reserved;          /* zero */
  uint64_t deadline_ns;       /* of CLOCK_MONOTONIC: after it nobody waits for the answer */
  const uint32_t *cancelled;  /* not zero once nobody waits; read it atomically */
  char *message;              /* where a failure may be told: text ended by a zero */
  uint64_t message_size;      /* bytes there, the zero included; never zero */
};

struct warifu_entry {
  uint64_t bytes;
  char name[WARIFU_NAME_MAX + 8]; /* ended by a zero */
};

/* What the plugin can do. Only room may be NULL. */
struct warifu_functions {
  uint32_t struct_size; /* sizeof(struct warifu_functions) */
  uint32_t reserved;    /* zero */

  /* Opens a store; *store is handed to the functions below. */
  int32_t (*open)(struct warifu_call *call, const struct warifu_setting *settings, uint64_t count,
                  void **store);
  /* Ends a store that no call is using. */
  void (*close)(void *store);

  /* Begins to put an object of so many bytes; *put is handed to the next three. */
  int32_t (*put_begin)(struct warifu_call *call, void *store, const char *name, uint64_t bytes,
                       void **put);
  /* Takes the next bytes: pieces come in order, without gaps. */
  int32_t (*put_write)(struct warifu_call *call, void *put, const void *piece, uint64_t bytes);
  /* Publishes it, whole or nothing, where there is none of its name. Ends *put in any case. */
  int32_t (*put_finish)(struct warifu_call *call, void *put);
  /* Forgets it instead, and leaves nothing. Ends *put. */
  void (*put_abort)(void *put);

  /* Fills the target with an object's bytes from an offset on: all of them, or it fails. */
  int32_t (*read)(struct warifu_call *call, void *store, const char *name, uint64_t offset,
                  void *target, uint64_t bytes);
  /* How long an object is. */
  int32_t (*length)(struct warifu_call *call, void *store, const char *name, uint64_t *bytes);
  /* Writes the objects whose names follow `after` (all where it is "") into entries, by ascending
   * name as strcmp orders, and how many into *count. Fewer than capacity: there are no more. */
  int32_t (*list)(struct warifu_call *call, void *store, const char *after,
                  struct warifu_entry *entries, uint64_t capacity, uint64_t *count);
  /* Removes an object. */
  int32_t (*remove)(struct warifu_call *call, void *store, const char *name);
  /* How many bytes can still be put. */
  int32_t (*room)(struct warifu_call *call, void *store, uint64_t *bytes);
};

#define WARIFU_EXPORT __attribute__((visibility("default")))

/* What a plugin defines, by these names. */
WARIFU_EXPORT extern const struct warifu_about warifu_plugin_about;
WARIFU_EXPORT extern const struct warifu_functions warifu_plugin_functions;

#endif
