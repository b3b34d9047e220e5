"""Runs a program with a terminal of its own: `terminal.py WORD PROGRAM ARGUMENT...`.

When the program asks, the word is typed. What the program wrote is printed, and its exit code is handed on.
"""

import os
import pty
import select
import sys
import time

word, program = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(program[0], program)
seen, typed, deadline = b"", False, time.monotonic() + 60
while time.monotonic() < deadline:
    if not select.select([terminal], [], [], 1)[0]:
        continue
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    seen += part
    if not typed and b"to approve, anything else to leave it" in seen:
        typed = True
        os.write(terminal, word.encode() + b"\n")
else:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(status))
