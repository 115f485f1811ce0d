"""How a candidate ended, as the zygote tells the judge."""

from __future__ import annotations

import struct

ENDED = struct.Struct("<iBdd")
"""Exit code (negative: signal), index into WHY, CPU seconds in the test that ran, wall seconds of it."""

WHY = ("itself", "cpu", "program cpu", "wall", "threads", "files")
"""Who or what ended it: the limit that the zygote enforced, or itself."""
