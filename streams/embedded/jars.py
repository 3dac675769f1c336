"""Kafka's jars: fetched once a user by jgo's Python resolver, each checked against kafka-jars.sha256.

The list pins every jar by coordinates and SHA-256, so nothing is resolved at run time and a start with
all jars in the cache needs no network.  `python -m streams.embedded.jars` writes the list anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from streams.embedded.process import Progress, ServiceError

KAFKA_VERSION = "4.1.0"
PINNED = Path(__file__).with_name("kafka-jars.sha256")
# Kafka names no slf4j provider in its own dependencies, and says nothing at all without one.
ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
DOWNLOADS_AT_ONCE = 4
TIMEOUT = 60  # seconds without an answer


def pinned() -> dict[str, str]:
    """SHA-256 in hex by `group:artifact:version`."""
    lines = (line.split() for line in PINNED.read_text().splitlines() if line)
    return {coordinates: digest for digest, coordinates in lines}


def cache() -> Path:
    """Directory of the user's jars."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "khaywe" / "jars"


def classpath(progress: Progress) -> list[Path]:
    """Paths of all jars, fetched where they are missing or damaged.

    Raises ServiceError where one cannot be fetched or is not the one that was pinned.
    """
    directory = cache()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, however that ends
        wanted = {directory / _file_name(name): (name, digest) for name, digest in pinned().items()}
        missing = {
            path: jar for path, jar in wanted.items() if not (path.exists() and sha256(path) == jar[1])
        }
        if missing:
            _fetch(missing, progress)
    return sorted(wanted)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_name(coordinates: str) -> str:
    group, artifact, version = coordinates.split(":")
    return f"{group}.{artifact}-{version}.jar"


def _fetch(missing: dict[Path, tuple[str, str]], progress: Progress) -> None:
    what = f"Fetching Kafka {KAFKA_VERSION}: {len(missing)} jars, once"
    progress(what, 0.0)
    # Within the cache, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(dir=cache()) as scratch, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        tasks = {
            pool.submit(_download, name, digest, Path(scratch), path): name
            for path, (name, digest) in missing.items()
        }
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                task.result()
                progress(what, done / len(tasks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _download(name: str, digest: str, scratch: Path, path: Path) -> None:
    import requests  # jgo's own client, whose errors it lets through
    from jgo.maven import MavenContext, PythonResolver

    group, artifact, version = name.split(":")
    maven = MavenContext(resolver=PythonResolver(), repo_cache=scratch, timeout=TIMEOUT)
    try:
        found = maven.project(group, artifact).at_version(version).artifact().resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise ServiceError(
            f"cannot fetch Kafka's jar {name}: {error}",
            "check the way to the Maven repository and try again, or set KHAYWE_KAFKA to a broker of yours",
        ) from error
    if (got := sha256(found)) != digest:
        raise ServiceError(
            f"Kafka's jar {name} is not the one that was pinned: SHA-256 {got}, expected {digest}",
            "run it again; if it stays so, something on the way changes downloads: do not use it",
        )
    found.replace(path)


def main() -> None:
    """Resolve all dependencies of `ROOTS` and write their hashes to kafka-jars.sha256."""
    import jgo

    names = {
        f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}": artifact.resolve()
        for root in ROOTS
        for artifact in jgo.resolve(root)
    }
    PINNED.write_text("".join(f"{sha256(names[name])}  {name}\n" for name in sorted(names)))
    sys.stdout.write(f"{len(names)} jars\n")


if __name__ == "__main__":
    main()
