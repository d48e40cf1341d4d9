"""Several hosts: how they find one another, agree on what they do, and notice when one of them ends.

All use the key-value store of JAX's coordination service, which host 0 runs. A collective operation of the devices may
wait without end for a host that is gone; the store does not.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol, TypedDict, TypeVar, cast

import jax
from jax._src.distributed import global_state  # jax 0.10 has no public name for the client of its key-value store

from errors import UserError

JSON = TypeVar("JSON")

# Environment variables that say that this process is one of several. JAX itself knows how they find one another
# (launch/README.md).
COUNTS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
SIGNS = ("JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES", "JAX_COORDINATOR_ADDRESS")


def join(coordinator: str, hosts: int, host: int, timeout_seconds: float) -> None:
    """Joins the other hosts, if there are any. To be called before any device is touched.

    Args:
      coordinator: HOST:PORT of host 0; "" where SLURM, Open MPI, Kubernetes or a TPU pod say it.
      hosts: their number; 0 where the environment says it.
      host: the number of this one; -1 where the environment says it.
      timeout_seconds: how long hosts wait for one that falls silent; at the start, three times as long.

    Raises:
      UserError: some of the flags are missing, or hosts do not come.
    """
    given: _Place = {}
    if coordinator or hosts or host >= 0:
        if not (coordinator and hosts and host >= 0):
            raise UserError("--coordinator=HOST:PORT, --hosts=N and --host=0 ... N-1 go together: give all three.")
        name, _, port = coordinator.rpartition(":")
        if not (name and port.isdecimal() and int(port) < 2**16):
            raise UserError(f"--coordinator={coordinator} should be HOST:PORT, such as 10.0.0.1:1234.")
        if host >= hosts:
            raise UserError(f"--host={host} should be less than --hosts={hosts}: the first is 0.")
        if host == 0:
            _check_port(int(port))
        given = _Place(
            coordinator_address=coordinator,
            num_processes=hosts,
            process_id=host,
            cluster_detection_method="deactivate",
        )
    elif not _several():
        return
    timeout = max(1, round(timeout_seconds))
    missing = (
        f"not all hosts met at {coordinator or 'host 0'} within {3 * timeout} s: start the same command on each, with "
        "the same --coordinator and --hosts; --host_timeout waits longer."
    )
    try:
        with _aborting(f"error: {missing}\n", status=2):
            jax.distributed.initialize(
                **given,
                initialization_timeout=3 * timeout,  # machines do not all start at once
                heartbeat_timeout_seconds=2 * timeout,  # JAX's own: later, and with less to say
                shutdown_timeout_seconds=timeout,
            )
    except ValueError:  # no environment that JAX knows: one host
        if given:
            raise
        return
    except RuntimeError as error:
        raise UserError(f"{missing} ({str(error).splitlines()[0][:200]})") from None
    if (global_state.num_processes or 1) > 1:  # jax.process_count() would open the devices
        global _link
        _link = Link(timeout)


def _check_port(port: int) -> None:
    """That nothing else listens where host 0 will: the coordination service would share the port, and crash."""
    both = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if both else socket.AF_INET
        socket.create_server(("", port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        raise UserError(
            f"--coordinator: host 0 cannot listen on port {port} ({os.strerror(error.errno or 0)}). Give all hosts "
            "another one."
        ) from None


@contextlib.contextmanager
def _aborting(line: str, status: int) -> Iterator[None]:
    """Within it, where JAX would abort with pages of C++ because hosts do not come, only this line is shown."""
    shown = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)

    def end() -> None:
        os.write(shown, line.encode())
        os._exit(status)

    _when_aborted(end)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)
        signal.signal(signal.SIGABRT, signal.SIG_DFL)


def _when_aborted(end: Callable[[], object]) -> None:
    """Calls `end` in the thread in which C++ aborts. Python's own handlers wait for the main thread and never run."""
    global _handler
    _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: end())  # kept alive
    ctypes.CDLL(None).signal(signal.SIGABRT, _handler)


_handler: object = None  # of SIGABRT


def _several() -> bool:
    on_tpu = importlib.util.find_spec("libtpu") is not None and "cpu" not in os.environ.get("JAX_PLATFORMS", "")
    counted = any(int(os.environ.get(name, "1")) > 1 for name in COUNTS)
    return counted or on_tpu or any(name in os.environ for name in SIGNS)


def primary() -> bool:
    """Whether this host is the one that writes files and prints."""
    return not _link or _link.host == 0


def shared(name: str, value: JSON) -> JSON:
    """Host 0's value, on every host. JSON must be able to hold it."""
    return _link.shared(name, value) if _link else value


def wait(name: str) -> None:
    """Waits until every host has called this."""
    if _link:
        _link.wait(name)


def part() -> None:
    """Ends well: waits for the other hosts."""
    if _link:
        _link.close("")
        jax.distributed.shutdown()


def fail(status: int, message: str) -> None:
    """Aborts this process and notifies the other hosts, which abort as well. Does nothing where there is one host."""
    if _link:
        _link.close(f"{status} {message}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # not sys.exit, which would wait for the others in vain


_link: "Link | None" = None


class _Place(TypedDict, total=False):
    """Arguments of jax.distributed.initialize that say which host this is."""

    coordinator_address: str
    num_processes: int
    process_id: int
    cluster_detection_method: str


class _Store(Protocol):
    """What is used of the client of JAX's key-value store. Times are in milliseconds."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None: ...
    def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]: ...
    def blocking_key_value_get(self, key: str, timeout: int) -> str: ...
    def wait_at_barrier(self, name: str, timeout: int) -> None: ...


class Link:
    """Sends this host's heartbeat and watches those of the others.

    Args:
      timeout: seconds after which a silent host counts as gone.
    """

    def __init__(self, timeout: float):
        self._client: _Store = cast(_Store, global_state.client)
        self.host, self._hosts = global_state.process_id, global_state.num_processes
        self._timeout = timeout
        self._answered = time.monotonic()
        self._known: dict[str, str] = {}
        self._calls = 0  # of what all hosts do in the same order: each has a name of its own
        self._parted = threading.Event()
        # Of two threads, one may be held up by a coordinator that is stopped.
        for work in (self._beat, self._watch):
            threading.Thread(target=work, name=f"hosts {work.__name__}", daemon=True).start()
        _when_aborted(self._aborted)

    def shared(self, name: str, value: JSON) -> JSON:
        """See the function of this name."""
        self._calls += 1
        key = f"attend/shared/{self._calls} {name}"
        if self.host == 0:
            self._client.key_value_set(key, json.dumps(value))
        received: JSON = json.loads(self._client.blocking_key_value_get(key, round(1000 * 10 * self._timeout)))
        return received

    def wait(self, name: str) -> None:
        """See the function of this name."""
        self._calls += 1
        self._client.wait_at_barrier(f"attend/{self._calls} {name}", round(1000 * 10 * self._timeout))

    def close(self, ended: str) -> None:
        """Tells the others how this host ended: "" for a good end, else exit status and message."""
        with contextlib.suppress(RuntimeError):  # the coordinator is gone: they know
            self._client.key_value_set(f"attend/ended/{self.host}", ended, allow_overwrite=True)
        self._parted.set()

    def _beat(self) -> None:
        for beat in range(2**62):
            with contextlib.suppress(RuntimeError):  # no answer is what `_watch` looks for
                self._client.key_value_set(f"attend/alive/{self.host}", str(beat), allow_overwrite=True)
                self._known = dict(self._client.key_value_dir_get("attend/"))
                self._answered = time.monotonic()
            if self._parted.wait(min(1.0, self._timeout / 5)):
                return

    def _watch(self) -> None:
        others = {host: ("", time.monotonic()) for host in range(self._hosts) if host != self.host}
        while not self._parted.wait(min(1.0, self._timeout / 5)):
            now = time.monotonic()
            if now - self._answered > self._timeout:
                self._silent(0)
            for host, (beat, since) in others.items():
                ended, last = self._known.get(f"attend/ended/{host}"), self._known.get(f"attend/alive/{host}", "")
                if ended:
                    status, _, message = ended.partition(" ")
                    self._leave(int(status), f"host {host} ended: {message}")
                if last != beat or ended is not None:
                    others[host] = (last, now)
                elif now - since > self._timeout:
                    self._silent(host)

    def _aborted(self) -> None:
        """Prints the last line where JAX noticed first that another host died, and aborts this one."""
        # A host that raised has said so, and `_watch` ends this one with that.
        time.sleep(2 * min(1.0, self._timeout / 5))
        self._leave(1, "host 0, the coordinator, died or is out of reach" if self.host else "another host died")

    def _silent(self, host: int) -> NoReturn:
        self._leave(1, f"host {host} has not been heard of for {self._timeout:.0f} s")

    def _leave(self, status: int, why: str) -> NoReturn:
        again = "" if status == 2 else " The same command continues from the newest checkpoint."
        os.write(2, f"error: {why.rstrip('.')}. Host {self.host} ends too.{again}\n".encode())
        os._exit(status)
