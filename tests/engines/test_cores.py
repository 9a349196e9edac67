"""Cores that may be used: affinity, and the quotas of control groups, versions 1 and 2."""

from __future__ import annotations

import math
import os

import pytest

from landscape.engines import cores


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({}, math.inf),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n", "jobs/cpu.max": "400000 100000\n", "jobs/7/cpu.max": "max 100000\n"}, 4),
        ({"jobs/cpu.max": "200000 100000\n", "jobs/7/cpu.max": "800000 100000\n"}, 2),
        ({"other/cpu.max": "100000 100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "nonsense"}, math.inf),
    ],
)
def test_the_tightest_quota_on_the_way_to_the_root_counts(tmp_path, files, allowed):
    write(tmp_path / "root", files)
    write(tmp_path, {"own": "1:name=systemd:/x\n0::/jobs/7\n"})
    assert cores.quota(tmp_path / "root", tmp_path / "own") == allowed


@pytest.mark.parametrize(("allowed", "count"), [(math.inf, 6), (2.5, 3), (0.2, 1), (40.0, 6)])
def test_a_part_of_a_core_is_a_core_and_there_is_always_one(monkeypatch, allowed, count):
    monkeypatch.setattr(cores, "quota", lambda: allowed)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 6, raising=False)
    assert cores.usable_cores() == count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_affinity_is_respected():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
