"""Being process 1 of a training container.

Process 1 has three duties that a shell in its place would neglect: the kernel discards signals that it has no handler
for, orphans become its children and must be waited for, and its exit status is the container's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

from runner import Failed, say

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Passed on as well: instructlab.training saves its state on them when it is told to.
OTHER_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


class Supervisor:
    """Runs one child, passes signals on to it, and waits for everything that dies.

    While no child runs, a stop signal ends this process at once with 128 + its number.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._stopped_by: signal.Signals | None = None
        for number in (*STOP_SIGNALS, *OTHER_SIGNALS):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            self._stopped_by = signal.Signals(number)
        if self._child is not None:
            # Only the child is signalled, never its group: torchrun stops its workers in its own order.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, number)
        elif number in STOP_SIGNALS and not self._starting:
            raise SystemExit(128 + number)

    def run(self, command: Sequence[str]) -> int:
        """Run the child to its end; returns its exit status as a shell would (128 + n after signal n).

        A child that was told to stop never counts as successful: its status becomes 128 + the stop signal.
        """
        self._starting = True
        try:
            child = subprocess.Popen(list(command))
        except OSError as error:
            raise Failed(f"cannot start {command[0]}: {error.strerror}") from error
        self._child = child
        self._starting = False
        if self._stopped_by is not None:
            # The signal came while the child was being started, so it has not had it.
            child.send_signal(self._stopped_by)
        status = self._wait(child)
        if self._stopped_by is not None:
            say(f"stopped by {self._stopped_by.name}; the training process ended with status {status}")
            return 128 + self._stopped_by.value
        return status

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                pid, raw = os.waitpid(-1, 0)
            except ChildProcessError:
                # Only possible when something else has waited for the child.
                return 1
            if pid == child.pid:
                # The number may be given to another process from now on.
                self._child = None
                code = os.waitstatus_to_exitcode(raw)
                child.returncode = code
                return code if code >= 0 else 128 - code
