"""Everything that imports Evidently, which takes seconds: nothing outside this folder imports it."""

import os

# Evidently reads this when it is imported: no telemetry.
os.environ["DO_NOT_TRACK"] = "1"
