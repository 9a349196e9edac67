"""Devices are resolved or refused; precision and threads are put back, by whichever switch the caller set them."""

from __future__ import annotations

import pytest
import torch

from landscape import devices
from landscape.errors import UsageError

KNOBS = {
    "generic": lambda: torch.backends,
    "cudnn": lambda: torch.backends.cudnn,
    "mkldnn": lambda: torch.backends.mkldnn,
    "cuda.matmul": lambda: torch.backends.cuda.matmul,
    "cudnn.conv": lambda: torch.backends.cudnn.conv,
    "cudnn.rnn": lambda: torch.backends.cudnn.rnn,
    "mkldnn.matmul": lambda: torch.backends.mkldnn.matmul,
    "mkldnn.conv": lambda: torch.backends.mkldnn.conv,
}


def knobs():
    return {name: knob().fp32_precision for name, knob in KNOBS.items()}


def switches():
    """Values of the older switches, or None where torch refuses to read them."""
    found = []
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            found.append(read())
        except RuntimeError:
            found.append(None)
    return found


@pytest.fixture(autouse=True)
def pristine():
    """Each test starts from torch's defaults and leaves them."""

    def defaults():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        for name, knob in KNOBS.items():
            knob().fp32_precision = "tf32" if name in {"cudnn.conv", "cudnn.rnn"} else "none"

    defaults()
    yield
    defaults()


def test_names_become_devices(monkeypatch):
    assert devices.resolve("cpu") == torch.device("cpu")
    assert devices.resolve(torch.device("cpu")) == torch.device("cpu")
    for there, wanted in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert devices.resolve("auto").type == wanted
        assert devices.resolve().type == wanted
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.resolve("cuda:1") == torch.device("cuda:1")
    assert devices.resolve("cuda") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu0", "cuda:-1"])
def test_what_is_no_device_is_refused_with_the_names_there_are(name):
    with pytest.raises(UsageError, match=r"auto, cpu, cuda or cuda:i"):
        devices.resolve(name)


@pytest.mark.parametrize("name", ["mps", "meta"])
def test_devices_that_cannot_hold_a_measurement_are_refused(name):
    with pytest.raises(UsageError, match=f"{name}.*auto, cpu, cuda"):
        devices.resolve(name)


def test_a_gpu_that_is_not_there_is_refused_with_the_count(monkeypatch):
    for count, name in ((0, "cuda"), (0, "cuda:0"), (2, "cuda:2")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        with pytest.raises(UsageError, match=f"{name} was asked for.*{count} CUDA"):
            devices.resolve(name)


@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("before", [("highest", True), ("high", False), ("medium", True)])
def test_older_switches_are_set_and_put_back(name, before):
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    kept = knobs()
    for error in (None, RuntimeError, KeyboardInterrupt):
        try:
            with devices.exact_products(name):
                assert switches() == (["high", True] if name == "tf32" else ["highest", False])
                if error:
                    raise error
        except (RuntimeError, KeyboardInterrupt):
            assert error
        assert switches() == list(before)
        assert knobs() == kept


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("value", ["tf32", "ieee"])
def test_newer_knobs_are_overruled_and_put_back(knob, value):
    """A caller's TF32, set the newer way, must neither leak into fp32 nor make torch refuse a mixture."""
    untouched = knobs()
    KNOBS[knob]().fp32_precision = value
    kept, old = knobs(), switches()
    with devices.exact_products("fp32"):
        assert not {"tf32", "bf16"} & set(knobs().values())
        assert switches() == ["highest", False]
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert knobs() == kept
    assert switches() == old
    with devices.exact_products("tf32"):
        assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"
    assert knobs() == kept
    KNOBS[knob]().fp32_precision = untouched[knob]
    assert knobs() == untouched  # what was inherited is inherited again, not fixed at its value


def test_unknown_precision_is_refused():
    with pytest.raises(UsageError, match=r"'fp8'.*fp32, tf32, bf16"), devices.exact_products("fp8"):
        pass


def test_autocast_changes_products_for_bf16_only():
    x = torch.ones(2, 2)
    for name, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)):
        with devices.autocast(torch.device("cpu"), name):
            assert (x @ x).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16), devices.autocast(torch.device("cpu"), "fp32"):
        assert (x @ x).dtype == torch.float32  # also inside a caller's autocast


def test_threads_are_put_back():
    before = torch.get_num_threads()
    for count in (1, before + 1, None):
        with pytest.raises(ZeroDivisionError), devices.threads(count):
            assert torch.get_num_threads() == (before if count is None else count)
            raise ZeroDivisionError
        assert torch.get_num_threads() == before
    with devices.threads(None):
        torch.set_num_threads(before + 2)  # by the body
    assert torch.get_num_threads() == before


def test_description_names_the_processor():
    with devices.threads(1):
        assert devices.describe(torch.device("cpu")) == "cpu, 1 thread"
    with devices.threads(2):
        assert devices.describe(torch.device("cpu")) == "cpu, 2 threads"
