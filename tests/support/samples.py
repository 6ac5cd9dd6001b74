"""Files that MinKNOW really wrote. They are other projects' and not part of this one; where they
are, they are used.
"""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "shared" / "minknow-samples"
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the samples are not beside this checkout"
)
