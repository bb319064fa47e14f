"""The launchers, one file each. `launch` starts a training; it returns its outcome, or None where that comes by `monitor retraining complete`."""
