"""Files that a real MinKNOW wrote.

They belong to other projects and are not part of this one. Tests use them if they are installed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "shared" / "minknow-samples"
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the samples are not beside this checkout"
)
