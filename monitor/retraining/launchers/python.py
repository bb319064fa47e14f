"""A function by dotted path, in a process of its own: `python -m monitor.retraining.launchers.python
PACKAGE.MODULE:FUNCTION`.

It takes the request as a dictionary and may return the outcome as one; both travel as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module


def call(path: str) -> None:
    """Call the function with the request on standard input; what it returns is the last line of the output."""
    sys.path.insert(0, "")
    module, _, name = path.partition(":")
    returned = getattr(import_module(module), name)(json.load(sys.stdin))
    print(json.dumps(returned if isinstance(returned, dict) else {"status": "succeeded"}))  # the protocol


if __name__ == "__main__":
    call(sys.argv[1])
