"""Processes that end when they should."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from utils.common.workers import call_worker, imap_ordered, process_pool

ROOT = Path(__file__).parents[3]


def pid_of(job):
    if job < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=20):
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_results_come_in_order_and_no_more_than_asked_for_are_begun():
    begun = []

    def work(job):
        begun.append(job)
        time.sleep(0.02 if job % 2 else 0.0)
        return job * job

    with ThreadPoolExecutor(4) as pool:
        results = imap_ordered(pool, work, iter(range(50)), ahead=4)
        assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
        time.sleep(0.1)
        assert max(begun) <= 9
        assert list(results) == [k * k for k in range(5, 50)]
    assert list(imap_ordered(pool, work, [], ahead=4)) == []


def test_a_process_multiplies_matrices_on_one_thread(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with process_pool(1, os.getenv) as pool:
        assert pool.submit(call_worker, "OPENBLAS_NUM_THREADS").result() == "1"


def test_processes_end_with_their_pool_and_one_that_is_killed_is_told():
    pool = process_pool(2, pid_of)
    pids = set(imap_ordered(pool, call_worker, range(12), ahead=4))
    assert os.getpid() not in pids and 1 <= len(pids) <= 2
    with pytest.raises(BrokenProcessPool):
        pool.submit(call_worker, -1).result()
    pool.shutdown(wait=False, cancel_futures=True)
    assert gone(pids)


def test_processes_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.utils.common.test_workers import pid_of\n"
        "from utils.common.workers import call_worker, process_pool\n"
        "if __name__ == '__main__':\n"
        "    pool = process_pool(1, pid_of)\n"
        "    print(pool.submit(call_worker, 1).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    assert gone([child])
