"""A disk of a worker's own that can be filled: a small tmpfs, or where we may not mount one, RLIMIT_FSIZE."""

from __future__ import annotations

import errno
import resource
import subprocess
from contextlib import suppress
from pathlib import Path

MEGABYTES = 96
CHUNK = bytes(1 << 20)


class Disk:
    """The disk under a directory; `how` says what it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "khaywe-chaos", str(directory)]
        try:
            self._mounted = subprocess.run(command, capture_output=True).returncode == 0
        except FileNotFoundError:
            self._mounted = False
        self.how = f"tmpfs of {MEGABYTES} MB" if self._mounted else "RLIMIT_FSIZE"

    def fill(self) -> None:
        """No more room."""
        if not self._mounted:
            return
        with suppress(OSError), (self._directory / "ballast").open("wb", buffering=0) as file:
            for size in (len(CHUNK), 4096, 1):  # to the last byte
                try:
                    while file.write(CHUNK[:size]):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def limit(self, pid: int) -> None:
        """Where the disk cannot be filled: the process may write no file beyond 4 KB."""
        if not self._mounted:
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, most))

    def make_room(self, pid: int | None) -> None:
        """Room again."""
        if self._mounted:
            (self._directory / "ballast").unlink(missing_ok=True)
        elif pid is not None:
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    def close(self) -> None:
        """Give it back; what stood on it is gone."""
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._directory)], check=True, capture_output=True)
