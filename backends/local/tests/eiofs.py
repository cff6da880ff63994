"""A file system that fails when it is told to: what FOLDER holds, seen at MOUNT, in the foreground.

    eiofs.py FOLDER MOUNT PLAN

PLAN is a file, looked at before every operation. While it is empty nothing fails. `CALL FROM WHAT`
in it makes every CALL (write, read, fsync, fsyncdir, link, create, unlink, truncate) fail with the
error WHAT from the one numbered FROM on, counted from 0 since PLAN was changed; with `ONCE` behind
it that one alone fails. `SHORT` as WHAT makes writes take only half of what they are given. Needs
fusepy.
"""

import errno
import os
import sys

from fuse import FUSE, FuseOSError, Operations

ATTRIBUTES = ("st_atime", "st_ctime", "st_mtime", "st_gid", "st_uid", "st_mode", "st_nlink",
              "st_size", "st_ino", "st_blocks")
STATFS = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files",
          "f_flag", "f_frsize", "f_namemax")


class Failing(Operations):
    def __init__(self, folder, plan):
        self.folder, self.plan_file = folder, plan
        self.plan, self.seen = "", 0

    def due(self, call):
        """What `call` must fail with now, if with anything."""
        with open(self.plan_file, encoding="ascii") as file:
            plan = file.read().strip()
        if plan != self.plan:
            self.plan, self.seen = plan, 0
        words = plan.split()
        if not words or words[0] != call:
            return None
        number = self.seen
        self.seen += 1
        due = number == int(words[1]) if words[3:] == ["ONCE"] else number >= int(words[1])
        return words[2] if due else None

    def step(self, call):
        what = self.due(call)
        if what is not None:
            raise FuseOSError(getattr(errno, what))

    def path(self, name):
        return self.folder + name

    def getattr(self, name, _handle=None):
        try:
            found = os.lstat(self.path(name))
        except OSError as error:
            raise FuseOSError(error.errno) from None
        return {key: getattr(found, key) for key in ATTRIBUTES}

    def readdir(self, name, _handle):
        return [".", ".."] + os.listdir(self.path(name))

    def statfs(self, name):
        found = os.statvfs(self.path(name))
        return {key: getattr(found, key) for key in STATFS}

    def mkdir(self, name, mode):
        os.mkdir(self.path(name), mode)

    def chmod(self, name, mode):
        os.chmod(self.path(name), mode)

    def open(self, name, flags):
        return os.open(self.path(name), flags & ~os.O_DIRECT)

    def create(self, name, mode, _info=None):
        self.step("create")
        return os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, _name, size, offset, handle):
        self.step("read")
        return os.pread(handle, size, offset)

    def write(self, _name, content, offset, handle):
        what = self.due("write")
        if what == "SHORT":
            return os.pwrite(handle, content[:(len(content) + 1) // 2], offset)
        if what is not None:
            raise FuseOSError(getattr(errno, what))
        return os.pwrite(handle, content, offset)

    def truncate(self, name, length, _handle=None):
        self.step("truncate")
        os.truncate(self.path(name), length)

    def link(self, target, source):
        self.step("link")
        os.link(self.path(source), self.path(target))

    def unlink(self, name):
        self.step("unlink")
        os.unlink(self.path(name))

    def fsync(self, _name, _only_content, handle):
        self.step("fsync")
        os.fsync(handle)

    def fsyncdir(self, _name, _only_content, _handle):
        self.step("fsyncdir")

    def release(self, _name, handle):
        os.close(handle)


if __name__ == "__main__":
    FOLDER, MOUNT, PLAN = sys.argv[1:]
    # One inode number for all names of a file, and no hidden name for one removed while open.
    FUSE(Failing(FOLDER, PLAN), MOUNT, foreground=True, nothreads=True, use_ino=True,
         hard_remove=True)
