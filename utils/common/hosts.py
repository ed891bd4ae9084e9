"""Several processes that train one network together: `jax.distributed` lets them meet, and JAX exchanges gradients.

As a rule each is a machine, or a GPU of one. Host 0 alone prints and writes; all see the same files.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils.common.cli import InputError, printable

# How many processes a launcher started, and which this is, of all and of this machine: SLURM's srun, Open MPI's mpirun.
LAUNCHERS = (
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
)
WAIT = 300  # seconds for all hosts to start
SILENCE = 30  # seconds without a sign of life after which a host counts as lost
# What Gloo (CPUs), NCCL (GPUs) and JAX's coordinator say where another host does not answer.
_LOST = re.compile(r"gloo|nccl|unavailable|heartbeat|coordination|connection (closed|reset|refused)", re.IGNORECASE)
# Says its first argument if whoever holds its input ends without having written a line.
_WATCH = 'read -r line || printf "\\n%s\\n" "$0" >&2'


@dataclass(frozen=True)
class Hosts:
    """How many processes train together, and which of them this is, from 0.

    `coordinator`: address and port of host 0; None: JAX asks the launcher. `gpu`: the one GPU that a launcher's process
    takes; None: all of its machine.
    """

    count: int = 1
    index: int = 0
    coordinator: str | None = None
    gpu: int | None = None

    @property
    def leads(self) -> bool:
        """Whether this is host 0, which alone prints and writes."""
        return self.index == 0


ALONE = Hosts()


def find_hosts(
    coordinator: str | None, count: int | None, index: int | None, environment: Mapping[str, str] = os.environ
) -> Hosts:
    """The hosts that the flags name, else those that a launcher started; else this process alone.

    Raises `InputError` for flags that contradict each other, or leave something out.
    """
    if coordinator is not None:
        found = re.fullmatch(r"(\[[^\]\s]+\]|[^:\s]+):([0-9]{1,5})", coordinator)
        if found is None or not 0 < int(found[2]) < 2**16:
            raise InputError(f"--coordinator {coordinator}: is not an address and a port of host 0, such as node1:4321")
    if count is None and index is None:
        hosts = _launched(environment)
        if coordinator is not None and hosts.count == 1:
            raise InputError(f"--coordinator {coordinator}: say how many hosts there are: --hosts N --host K")
        return replace(hosts, coordinator=coordinator)
    if count is None:
        raise InputError(f"--host {index}: say how many hosts there are with --hosts N")
    if index is not None and index >= count:
        raise InputError(f"--host {index}: {count} hosts have the numbers 0 to {count - 1}")
    if count == 1 and coordinator is None:
        return ALONE
    if index is None or coordinator is None:
        raise InputError(f"--hosts {count}: give each its number, --host 0 and so on, and all --coordinator HOST:PORT")
    return Hosts(count, index, coordinator)


def _launched(environment: Mapping[str, str]) -> Hosts:
    for names in LAUNCHERS:
        count, index, of_machine = (environment.get(name, "") for name in names)
        if count.isdigit() and index.isdigit() and int(index) < int(count) and int(count) > 1:
            return Hosts(int(count), int(index), gpu=int(of_machine) if of_machine.isdigit() else None)
    return ALONE


class Meeting:
    """The hosts' connection, from before anything is computed to the end of training.

    Where a host dies, XLA ends the others at once, with pages on stderr. So what C++ libraries say goes to a file here,
    and a small process beside this one says in one line that it ended.
    """

    current: Meeting | None = None

    def __init__(self, hosts: Hosts):
        """Meet the other hosts. Raises `InputError` if they do not come."""
        import jax

        self.hosts, self.streams, self.kept = hosts, (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
        with tempfile.NamedTemporaryFile(prefix=f"host{hosts.index}-", suffix=".log", delete=False) as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        self.log = Path(log.name)
        out, err = (os.fdopen(os.dup(kept), "w", 1, errors="backslashreplace") for kept in self.kept)
        sys.stdout, sys.stderr = out if hosts.leads else sys.stdout, err
        said = (
            f"error: host {hosts.index} of {hosts.count} had to end: it was killed, or another host is lost or did not "
            f"come; start all again, a begun run with --resume (what libraries said: {printable(self.log)})"
        )
        self.watch = subprocess.Popen(
            ["sh", "-c", _WATCH, said], stdin=subprocess.PIPE, stderr=self.kept[1], start_new_session=True
        )
        atexit.register(self._end_at_once)
        Meeting.current = self
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            jax.distributed.initialize(
                hosts.coordinator,
                hosts.count,
                hosts.index,
                hosts.gpu if hosts.coordinator else None,  # else JAX asks the launcher for that too
                # Flags alone: a launcher's own numbers would mean something else.
                cluster_detection_method="deactivate" if hosts.coordinator else None,
                initialization_timeout=WAIT,
                heartbeat_timeout_seconds=SILENCE,
            )
        except TypeError as problem:
            raise InputError("--hosts: this jax is too old for it; install 0.7 or newer") from problem
        except (RuntimeError, ValueError) as problem:
            if hosts.coordinator is None:
                raise InputError(
                    "--coordinator: the launcher does not say where host 0 is; give HOST:PORT"
                ) from problem
            raise InputError(
                f"--coordinator {hosts.coordinator}: the hosts cannot meet there ({str(problem).splitlines()[0]}); all "
                "name the address of host 0 and the same free port"
            ) from problem

    def leave(self) -> None:
        """Part, when training is done on all hosts: each is alone from here on."""
        import jax
        import keras

        atexit.unregister(self._end_at_once)
        keras.distribution.set_distribution(None)
        with contextlib.suppress(RuntimeError):  # a host that is lost now is no longer needed
            jax.distributed.shutdown()
        self._tell_watch()
        sys.stdout, sys.stderr = self.streams
        for stream, kept in enumerate(self.kept, start=1):
            os.dup2(kept, stream)
            os.close(kept)
        self.log.unlink(missing_ok=True)
        Meeting.current = None

    def _end_at_once(self) -> None:
        """End without JAX's own end, which waits for the others: they are to notice now."""
        self._tell_watch()
        self.log.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)

    def _tell_watch(self) -> None:
        self.watch.communicate(b"\n")


def join_hosts(hosts: Hosts) -> None:
    """Meet the other hosts, if there are any; after Keras is imported, and before anything is computed.

    Raises `InputError` on another backend than JAX, and if the hosts do not come.
    """
    if hosts.count == 1:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(
            f"--hosts {hosts.count}: several hosts want the JAX backend: KERAS_BACKEND=jax (--hosts 1: each alone)"
        )
    Meeting(hosts)


def leave_hosts() -> None:
    """Part from the other hosts, if there are any; all of them at the same point."""
    if Meeting.current is not None:
        Meeting.current.leave()


def of_first_host(number: int) -> int:
    """Host 0's number, on all hosts."""
    if Meeting.current is None:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def lost_host(problem: Exception) -> InputError | None:
    """What to say of an exception that means that another host does not answer; None for any other."""
    if Meeting.current is None or _LOST.search(str(problem)) is None:
        return None
    return InputError("another host was lost; start all again with --resume")
