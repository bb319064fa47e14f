"""How many cores a process uses: all that it may run on, or those that a worker was given by its daemon."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import ThreadpoolController

_given: int | None = None


def cores() -> int:
    """So many threads are of use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _given or usable or 1


def cores_of_each(processes: int) -> int:
    """How many cores each of so many processes has to itself, one at least."""
    return max(1, cores() // processes)


def use_cores(number: int) -> None:
    """Use so many from now on. Libraries that are imported learn of it; OpenMP has one thread in workers, whose server
    must not have started any when they fork.

    Arrow's threads for input and output stay as they are: they wait, and with a single one of them reads hang at times.
    """
    global _given
    _given = number
    import pyarrow as pa

    pa.set_cpu_count(number)


def one_thread() -> AbstractContextManager[Any]:
    """Within it OpenMP uses one thread: of work as small as ours its threads spend most of their time waiting for each
    other.
    """
    limited: AbstractContextManager[Any] = _threads().limit(limits=1, user_api="openmp")
    return limited


@functools.cache
def _threads() -> ThreadpoolController:
    """To find the libraries that have threads takes longer than a prediction."""
    return ThreadpoolController()
