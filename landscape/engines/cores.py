"""How many cores this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cores() -> int:
    """Count the cores left by CPU affinity and by the quota of a container or service; at least one."""
    count = getattr(os, "process_cpu_count", None)  # Python 3.13: affinity, and what the user set by -X cpu_count
    if count is not None:
        cores = count()
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count()
    return max(1, math.ceil(min(cores or 1, quota())))


def quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Read how many cores' worth of time the control groups of this process allow.

    Args:
        root: Where control groups are mounted.
        own: File that says which of them this process is in.

    Returns:
        A number of cores, perhaps a fraction; infinity without a limit.

    Source: cgroups(7), ``cpu.max`` of version 2, ``cpu.cfs_quota_us`` of version 1.
    """
    limits = [_ratio(_text(root / "cpu/cpu.cfs_quota_us"), _text(root / "cpu/cpu.cfs_period_us"))]
    paths = [line.partition("::/")[2] for line in _text(own).splitlines() if line.startswith("0::/")] or [""]
    for group in (root / paths[0], *(root / paths[0]).parents):
        if group.is_relative_to(root):
            limits.append(_ratio(*(_text(group / "cpu.max").split() or ["max"])))
    return min(limits)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # another system, another version
        return ""


def _ratio(allowed: str, period: str = "100000") -> float:
    if not allowed.isdecimal() or not period.isdecimal() or int(period) == 0:  # "max" and -1 are no limit
        return math.inf
    return int(allowed) / int(period)
