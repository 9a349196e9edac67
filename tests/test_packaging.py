"""What a user gets by installing: facts of the installed distribution and of what a wheel would contain."""

import configparser
import fnmatch
import re
from importlib import metadata, resources
from pathlib import Path

import pytest

import landscape

DISTRIBUTION = "landscape-lab"
PACKAGE = Path(landscape.__file__).parent
EXTRAS = {"ray", "bench", "tensorboard", "safetensors", "xarray", "dev", "docs"}


def requirements(extra: str | None) -> set[str]:
    """Names of the distributions required, always (None) or by one extra."""
    found = set()
    for line in metadata.requires(DISTRIBUTION) or []:
        requirement, _, marker = line.partition(";")
        of = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if (of.group(1) if of else None) == extra:
            found.add(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower())
    return found


def test_the_command_is_installed_and_can_be_loaded() -> None:
    scripts = metadata.distribution(DISTRIBUTION).entry_points.select(group="console_scripts")
    assert [(script.name, script.value) for script in scripts] == [("landscape", "landscape.cli:main")]
    assert all(callable(script.load()) for script in scripts)


def test_there_is_one_version() -> None:
    assert metadata.version(DISTRIBUTION) == landscape.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab.]\S+)?", landscape.__version__)


def test_the_extras_are_those_promised_and_each_brings_something() -> None:
    assert set(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []) == EXTRAS
    assert [extra for extra in EXTRAS if not requirements(extra)] == []


def test_optional_libraries_are_not_required() -> None:
    always = requirements(None)
    assert {"torch", "torchvision", "numpy", "h5py", "scipy", "click", "plotly", "matplotlib"} <= always
    assert not always & {"ray", "xarray", "h5netcdf", "safetensors", "tensorboard", "playwright", "pytest"}
    assert requirements("safetensors") | requirements("xarray") <= requirements("dev")


def test_python_3_11_suffices() -> None:
    assert metadata.metadata(DISTRIBUTION)["Requires-Python"] == ">=3.11"


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        (".", "py.typed"),
        ("datasets/embedded", "*.npz"),
        ("datasets/embedded", "NOTICE*"),
        ("figures/assets", "*"),
        ("smoothness/curves", "*.json"),
    ],
)
def test_data_files_are_installed(folder: str, pattern: str) -> None:
    root = resources.files("landscape").joinpath(folder)
    found = [item.name for item in root.iterdir() if item.is_file() and fnmatch.fnmatch(item.name, pattern)]
    assert found, f"landscape/{folder} holds no {pattern}"


def test_a_wheel_leaves_no_file_behind() -> None:
    """Packages are found by their ``__init__``, other files by the patterns of setup.cfg; both are easy to forget."""
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    if not config.sections():
        pytest.skip("not in a checkout")
    patterns = config["options.package_data"]["landscape"].split()
    forgotten = []
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        if path.suffix == ".py":
            parents = [folder for folder in path.parents if folder.is_relative_to(PACKAGE)]
            if not all((folder / "__init__.py").is_file() for folder in parents):
                forgotten.append(name)
        elif not any(Path(name).match(pattern) and name.count("/") == pattern.count("/") for pattern in patterns):
            forgotten.append(name)
    assert forgotten == []
