"""`khaywe` without its start: a process that has loaded its modules, and forks for each command.

Pages have some fifty commands, each of which would load the same libraries for a second or two.  A command
gets the caller's files, folder and environment, and runs `cli.main.main`, as the installed `khaywe` does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from tests.faults.harness import ROOT, Worker, until, workers

#: What is typed: sends itself to the process, and ends as the command ends.
SHIM = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({path!r})
    socket.send_fds(asked, [b"."], [0, 1, 2])
    asked.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode() + b"\\n")
    answer = asked.recv(16)
sys.exit(int(answer or 70))
"""


@contextmanager
def khaywe(folder: Path) -> Iterator[Path]:
    """A folder for PATH with such a `khaywe` in it."""
    path, command = folder / "socket", folder / "khaywe"
    command.write_text(SHIM.format(python=sys.executable, path=str(path)))
    command.chmod(0o755)
    process = Worker(["-m", "tests.docs.forks", str(path)], {}, folder / "forks.log")
    with workers(process):
        process.start()
        until("khaywe is loaded", path.exists, 180, process.log)
        yield folder
        assert process.alive, process.log.read_text()


def main(path: str) -> None:
    """Serve commands until killed."""
    from cli.main import COMMANDS

    for module in {module for module, _, _ in COMMANDS.values()} - {"cli.demo", "cli.worker"}:
        import_module(module)
    assert threading.active_count() == 1, "no fork can have the threads of libraries"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            asked, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _run(asked)
            asked.close()


def _run(asked: socket.socket) -> None:
    """The command, in a process of its own.  Does not return."""
    from cli.main import main as command

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, fds, _, _ = socket.recv_fds(asked, 1, 3)
    arguments, folder, environment = json.loads(asked.makefile("rb").readline())
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["khaywe", *arguments]
    code = 1
    try:
        command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        asked.sendall(str(code).encode())
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1])
