"""Python processes that begin warm: forked from one that has imported and compiled everything heavy.

A start is then what a worker itself does, and not four seconds of imports.  The process is one of its own,
with its own environment and files, and is killed, stopped and asked to end as any other.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
WARM = "tests.faults.warm"

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([WARM])


class Forked:
    """`python *arguments` in the checkout, as far as tests need of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
        """Start it; what it says is added to the files."""
        out.touch()
        err.touch()
        self._process = _CONTEXT.Process(
            target=_run, args=(arguments, dict(environment), out, err), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, -signal where one ended it, None while it is there."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code, None while it is there."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, waited for.  Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def run(
    arguments: list[str], environment: Mapping[str, str], timeout: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """`python *arguments` in the checkout, run to its end."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        process = Forked(arguments, environment, out, err)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def khaywe(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `khaywe` command, run to its end."""
    return run(["-c", "from cli.main import main; main()", *arguments], environment)


def _run(arguments: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    assert WARM in sys.modules, "it could not be imported: run tests from the checkout"
    multiprocessing.current_process().daemon = False  # it may have children
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for path, number in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    match arguments:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case [script, *rest]:
            sys.argv = [script, *rest]
            runpy.run_path(script, run_name="__main__")
