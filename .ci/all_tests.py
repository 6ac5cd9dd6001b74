"""All tests: pytest with the given options, and a second look at a few that fail.

Up to three tests that fail are run three times more, alone. Tests that pass then are unsteady: they
are named at the end, and the run does not fail.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOST = 3
"""Failed tests that are repeated; with more, it is no chance."""
TIMES = 3
CACHE = Path(".pytest_cache/all")


def main(options: list[str]) -> int:
    """Run the tests and return pytest's exit code, or 0 if the failed ones were unsteady."""
    shutil.rmtree(CACHE, ignore_errors=True)
    pytest_options = ["-m", "pytest", "-o", f"cache_dir={CACHE}", *options]
    code = _run(pytest_options)
    if code != pytest.ExitCode.TESTS_FAILED:
        return code
    failed = list(json.loads((CACHE / "v/cache/lastfailed").read_text("utf-8")))
    if len(failed) > MOST:
        return code
    for _ in range(TIMES):
        if _run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *failed]):
            return code
    for name in failed:
        print(f"UNSTEADY: failed once, then passed {TIMES} times alone: {name}")
    print("Each is a defect of the program or of the test: find it before the next release.")
    return 0


def _run(arguments: list[str]) -> int:
    return subprocess.run([sys.executable, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
