"""The examples of the guide to training run as they are printed, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

from landscape import devices

GUIDE = Path(__file__).parents[1] / "docs" / "training.md"


def test_the_examples_of_training_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.M | re.S)
    printed = []
    with devices.threads(1):  # tiny batches gain nothing from more
        for block in blocks:
            exec(compile(block, str(GUIDE), "exec"), {"__name__": "example"})
            printed.append(capsys.readouterr().out.splitlines())
    one, sweep, classes = printed
    assert one[0].startswith("(8,) [") and one[1] == "results/train/checkpoints/net-lr0.001-seed0-best.pth"
    assert [line.split()[0] for line in sweep] == [
        f"lr={rate}_batch_size={size}" for rate in (0.001, 0.01) for size in (32, 64)
    ]
    assert len(classes) == 1 + 10
