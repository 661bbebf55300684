"""One case in a process of its own: `python -m benchmarks.faults.child MODULE:FUNCTION '{"argument": ...}'`.

The function is called with the arguments and yields dictionaries; each becomes a line of JSON on stdout, the sign of
life that the watchdog waits for. Whatever libraries print goes to stderr.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys

DIE_WITH_PARENT = 1  # prctl(2)


def main() -> int:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module, _, function = sys.argv[1].partition(":")
    for reply in getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2])):
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
