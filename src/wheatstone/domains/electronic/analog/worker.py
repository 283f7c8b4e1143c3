"""The process that holds libngspice: reads jobs from stdin, answers on what was stdout. Started by `engine`.

A message is its length (4 bytes, big-endian) and JSON; an answer is followed by the vectors' doubles. The real stdout
is closed to ngspice, which now and then prints past its callbacks.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO, Any

from wheatstone.domains.electronic.analog.binding import Library, SpiceError

LOG = 4000
"""Characters of ngspice's log that an answer carries."""


def write(stream: IO[bytes], message: dict[str, Any], payload: bytes = b"") -> None:
    """Sends one message."""
    head = json.dumps(message).encode()
    stream.write(len(head).to_bytes(4, "big") + head + payload)
    stream.flush()


def read(stream: IO[bytes]) -> dict[str, Any] | None:
    """The next message, None at the end."""
    size = stream.read(4)
    return json.loads(stream.read(int.from_bytes(size, "big"))) if len(size) == 4 else None


def main() -> int:
    """Answers jobs until stdin ends or the library is beyond recovery."""
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    library = Library(sys.argv[1])
    while not library.is_dead and (job := read(sys.stdin.buffer)) is not None:
        payload, shapes, log = bytearray(), [], []
        failure = None
        try:
            library.load(job["deck"])
            for command, vectors in job["analyses"]:
                found = library.analyse(command, vectors)
                log += library.log
                shapes.append([[one.length, one.is_complex] for one in found])
                for one in found:
                    payload += one.data
        except SpiceError as fault:
            log += library.log
            failure = [fault.kind, str(fault)]
        text = "\n".join(log)[-LOG:]
        head = {"shapes": shapes, "failure": failure, "log": text, "size": len(payload), "dead": library.is_dead}
        write(answers, head, bytes(payload))
    return 0


if __name__ == "__main__":
    sys.exit(main())
