"""The files of a local store: temporary ones, names, folders, deletion."""

from __future__ import annotations

import contextlib
import errno
import os
import stat as stat_module
import time
from collections.abc import Callable, Mapping
from typing import cast

from dovetail.interfaces.datastore import Body, Buffer, ObjectInfo
from dovetail.interfaces.errors import NotFoundError
from dovetail.local import _temporary
from dovetail.local._append import write_all
from dovetail.local._keys import OWN
from dovetail.local._metadata_of import read_metadata, remove_metadata, write_attributes, write_beside
from dovetail.local._publish import locked, publish
from dovetail.local._room import make_room
from dovetail.local._temporary import GONE, LOCK, NEAR, TemporaryFiles

__all__ = ["StoreFiles"]

_TRIES = 1000
"""Rounds against others that delete folders or objects at the same moment; each round somebody got on."""
_RANDOM = 8
"""Hex digits behind `GONE`, so that two deletions never use one name."""
_DIRECTORY_TAKEN = frozenset({errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EPERM, errno.EACCES})
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class StoreFiles:
    """Operations on paths below a store's folder. Raises what the system raises.

    Args:
        root: The folder.
        clock: This machine's, seconds since the epoch. What the file server's says is measured.
    """

    def __init__(self, root: str, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self._clock = clock
        self._temporary = TemporaryFiles(root)
        self._lock = f"{root}/{LOCK}"
        self._skew: float | None = None  # seconds that the file server's clock is ahead of ours, once it is measured

    # Looking

    def locate(self, path: str) -> tuple[str, os.stat_result]:
        """The file that holds the object at `path`, and its status."""
        status = os.stat(path)
        if stat_module.S_ISDIR(status.st_mode):
            path = f"{path}/{OWN}"
            status = os.stat(path)
        return path, status

    def exists(self, path: str) -> bool:
        """Whether an object is there."""
        try:
            self.locate(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def open_object(self, path: str, flags: int) -> tuple[int, os.stat_result]:
        """A descriptor of the object at `path`, and its status."""
        if os.name == "nt" and os.path.isdir(path):
            path = f"{path}/{OWN}"
        fd = os.open(path, flags)
        status = os.fstat(fd)
        if stat_module.S_ISDIR(status.st_mode):
            os.close(fd)
            fd = os.open(f"{path}/{OWN}", flags)
            status = os.fstat(fd)
        return fd, status

    def info(
        self, key: str, status: os.stat_result, where: int | str | None, *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """What `status` says, with the metadata of the file at `where`."""
        if metadata is None:
            metadata = {} if where is None else read_metadata(self.root, where, status)
        return ObjectInfo(
            key=key,
            size=status.st_size,
            modified=status.st_mtime,
            now=self._clock() + (self._skew or 0.0),
            etag=f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}",
            metadata=metadata,
        )

    def measure_clock(self) -> None:
        """Compare clocks, unless a write has: from now on `info` tells the file server's, which sets files' times.

        Where nothing can be written, ours must do.
        """
        if self._skew is not None or not self._temporary.is_used:
            return
        try:
            fd, temporary = self._temporary.create()
        except OSError:
            return
        try:
            self._notice_clock(os.fstat(fd))
        finally:
            os.close(fd)
            self.drop(temporary)

    # Writing

    def create_temporary(self) -> tuple[int, str]:
        """A new file of this store's file system that has no key: its descriptor and path."""
        return self._temporary.create()

    def write_temporary(self, body: Body, metadata: Mapping[str, str] | None) -> tuple[str, os.stat_result]:
        """A finished file without a key: its path and status."""
        source = None
        if isinstance(body, os.PathLike):
            try:
                source = os.open(body, _READ)
            except FileNotFoundError as error:
                raise NotFoundError(f"there is no file {os.fspath(body)} to store") from error
        try:
            fd, temporary = self._temporary.create()
            try:
                if source is not None:
                    copy_bytes(source, fd)
                elif isinstance(body, (bytes, bytearray, memoryview)):
                    write_all(fd, [cast("Buffer", body)])
                elif not isinstance(body, os.PathLike):
                    write_all(fd, tuple(body))
                status = self.finish(fd, metadata)
            except BaseException:
                os.close(fd)
                self.drop(temporary)
                raise
            os.close(fd)
        finally:
            if source is not None:
                os.close(source)
        return temporary, status

    def finish(self, fd: int, metadata: Mapping[str, str] | None) -> os.stat_result:
        """Complete a temporary file; what is written is now as its readers will see it."""
        if metadata:
            write_attributes(fd, metadata)
        if os.name == "nt":
            os.fsync(fd)  # a read-only file can't be synced later there
        status = os.fstat(fd)
        remove_metadata(self.root, status.st_ino)  # of a file that had this inode before
        self._notice_clock(status)
        return status

    def drop(self, temporary: str) -> None:
        """Remove a temporary file, where it is still there."""
        with contextlib.suppress(OSError):
            os.unlink(temporary)

    def name(self, temporary: str, path: str, *, replace: bool, metadata: Mapping[str, str] | None = None) -> None:
        """Give a temporary file its place.

        Raises:
            FileExistsError: An object is there, and it is not to be replaced.
        """
        before = None
        if replace:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                before = self.locate(path)[1].st_ino
        place = self._name(temporary, path, replace)
        if metadata:
            write_beside(self.root, place, metadata)
        if before is not None:
            remove_metadata(self.root, before)

    def _name(self, temporary: str, path: str, replace: bool) -> str:
        folder = os.path.dirname(path)
        for _ in range(_TRIES):
            try:
                self._move(temporary, path, replace)
                return path
            except OSError as error:
                if error.errno == errno.EXDEV:
                    temporary = self._bring_near(temporary, folder)
                    continue
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    if not os.path.lexists(temporary):
                        raise
                    self._make_folders(folder)
                    continue
                if error.errno not in _DIRECTORY_TAKEN:
                    raise
                if not os.path.isdir(path):
                    if error.errno == errno.EISDIR or (error.errno == errno.EEXIST and not os.path.lexists(path)):
                        continue  # what was in the way is gone
                    raise
            own = f"{path}/{OWN}"
            try:
                self._move(temporary, own, replace)
                return own
            except (FileNotFoundError, NotADirectoryError):
                continue  # the folder was emptied and removed just now
        raise OSError(errno.EBUSY, "others keep changing the folder", folder)

    def open_for_append(self, path: str, flags: int) -> int:
        """Open a file to append to; made, with its folders, where missing."""
        for _ in range(_TRIES):
            try:
                return self._open_new(path, flags)
            except (FileNotFoundError, NotADirectoryError):
                self._make_folders(os.path.dirname(path))
            except OSError:
                if not os.path.isdir(path):
                    raise
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    return self._open_new(f"{path}/{OWN}", flags)
        raise OSError(errno.EBUSY, "others keep changing the folder", path)

    def _open_new(self, path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_CREAT, 0o666)
        status = os.fstat(fd)
        if not status.st_size:
            remove_metadata(self.root, status.st_ino)
        return fd

    def touch(self, path: str) -> tuple[str, os.stat_result]:
        """Set the time of modification to now; path and status of the file."""
        place, status = self.locate(path)
        try:
            os.utime(place)
        except PermissionError:
            # Only the owner may set times: an equal file of our own takes the place.
            metadata = read_metadata(self.root, place, status)
            with open(place, "rb") as file:
                fd, temporary = self._temporary.create()
                try:
                    copy_bytes(file.fileno(), fd)
                    self.finish(fd, metadata)
                finally:
                    os.close(fd)
            try:
                self.name(temporary, place, replace=True, metadata=metadata)
            except BaseException:
                self.drop(temporary)
                raise
        status = os.stat(place)
        self._notice_clock(status)
        return place, status

    # Deleting

    def remove(self, path: str, not_modified_since: float | None) -> None:
        """Unlink the object at `path`, and folders that are empty then."""
        if not os.path.lexists(path):
            return
        with locked(self._lock):  # so that what is an object here becomes no folder before it is unlinked
            try:
                place, status = self.locate(path)
                if not_modified_since is None:
                    _unlink(place)
                elif status.st_mtime > not_modified_since or not self._remove_old(place, not_modified_since):
                    return
            except (FileNotFoundError, NotADirectoryError):
                return
            remove_metadata(self.root, status.st_ino)
            self._prune(os.path.dirname(place))

    def _remove_old(self, place: str, not_modified_since: float) -> bool:
        """Take the name away first and look at the time then: a refresh in between was either seen or failed."""
        folder, name = os.path.split(place)
        aside = f"{folder}/{GONE}{os.urandom(_RANDOM // 2).hex()}{name}"
        os.rename(place, aside)
        if os.stat(aside).st_mtime <= not_modified_since:
            _unlink(aside)
            return True
        try:
            publish(aside, place, lock=None)
        except FileExistsError:
            _unlink(aside)  # written again meanwhile
        return False

    def tidy(self, path: str) -> None:
        """Deal with what a killed process left among the objects.

        An object that a deletion took the name of gets it back, since it may have been refreshed just then; an old
        temporary file is removed.
        """
        folder, name = os.path.split(path)
        self.measure_clock()
        now = self._clock() + (self._skew or 0.0)
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if not name.startswith(GONE):
                if now - status.st_mtime > _temporary.MAX_AGE:
                    _unlink(path)
            elif now - status.st_ctime > _temporary.ASIDE_AGE:
                try:
                    publish(path, f"{folder}/{name[len(GONE) + _RANDOM :]}", lock=self._lock)
                except FileExistsError:
                    _unlink(path)

    def _prune(self, folder: str) -> None:
        while len(folder) > len(self.root):
            try:
                os.rmdir(folder)
            except OSError:
                return
            folder = os.path.dirname(folder)

    # Names and folders

    def _move(self, temporary: str, path: str, replace: bool) -> None:
        if replace:
            if os.name == "nt" and os.path.exists(path):
                os.chmod(path, stat_module.S_IWRITE)
            os.replace(temporary, path)
        else:
            publish(temporary, path, lock=self._lock)

    def _bring_near(self, temporary: str, folder: str) -> str:
        """A copy of a temporary file on the file system of `folder`: something is mounted below the root."""
        self._make_folders(folder)
        near = f"{folder}/{NEAR}{os.path.basename(temporary)}"
        if near == temporary:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), folder)
        source = os.open(temporary, _READ)
        try:
            fd = os.open(near, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o444)
            try:
                copy_bytes(source, fd)
                write_attributes(fd, read_metadata(self.root, source, os.fstat(source)))
            except BaseException:
                self.drop(near)
                raise
            finally:
                os.close(fd)
        finally:
            os.close(source)
        self.drop(temporary)
        return near

    def _make_folders(self, folder: str) -> None:
        try:
            os.makedirs(folder, exist_ok=True)
        except FileNotFoundError:
            pass  # one was removed again; the caller tries again
        except (FileExistsError, NotADirectoryError):
            make_room(self.root, folder, self._temporary)

    def _notice_clock(self, status: os.stat_result) -> None:
        skew = status.st_mtime - self._clock()
        self._skew = skew if abs(skew) > 1.0 else 0.0


def copy_bytes(source: int, target: int) -> None:
    """Copy the rest of one file to another, in the kernel where it can."""
    kernel_copy = getattr(os, "copy_file_range", None)
    while kernel_copy is not None:
        try:
            if not kernel_copy(source, target, 1 << 30):
                return
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
                raise
            kernel_copy = None
    while piece := os.read(source, 1 << 20):
        write_all(target, (piece,))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except PermissionError:
        if os.name != "nt":
            raise
        os.chmod(path, stat_module.S_IWRITE)  # read-only files can't be deleted there
        os.unlink(path)
