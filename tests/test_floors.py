"""The house stands: a module imports from its own room or from floors below, never sideways or upwards."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import landscape

PACKAGE = Path(landscape.__file__).parent

# Rooms from the bottom to the top; those on one line are neighbours. The ground is a stack of its own, _version to
# records. On the roof stands what hands everything on: the lazy table of names in landscape/__init__.py, which is
# therefore for users, not for the rooms.
FLOORS = (
    ("_version",),
    ("errors", "words"),
    ("registry", "environment", "devices", "progress", "atomic", "weights"),
    ("records",),
    ("space", "models", "datasets", "losses"),
    ("storage", "engines"),
    ("surface",),
    ("training",),
    ("smoothness", "paths", "curvature"),
    ("figures",),
    ("tasks",),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 320, 45  # of a function without its docstring


def modules(package: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Dotted names, without the package's own, and files; a package is named with its ``__init__``."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).with_suffix("").parts, path


def imported(tree: ast.AST, module: tuple[str, ...], package: str) -> Iterator[tuple[int, list[str]]]:
    """Line and full dotted name of everything imported, wherever in the file the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [package, *module][: -node.level] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            yield from ((node.lineno, [*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value.split(".")


def room_of(name: list[str]) -> str:
    """The room that a full dotted name lies in; a name of the lazy table lies on the roof."""
    if len(name) == 1 or (name[1] not in FLOOR and name[1] != "__version__"):
        return "__init__"
    return "_version" if name[1] == "__version__" else name[1]


def violations(package: Path) -> list[str]:
    found = []
    for module, path in modules(package):
        room = module[0]
        if room not in FLOOR:
            found.append(f"{'/'.join(module)}: the room {room!r} has no floor")
            continue
        for line, name in imported(ast.parse(path.read_text()), module, package.name):
            if name[0] != package.name:
                continue
            target = room_of(name)
            if target != room and FLOOR[target] >= FLOOR[room]:
                way = "sideways" if FLOOR[target] == FLOOR[room] else "upwards"
                found.append(f"{'/'.join(module)}:{line} imports {'.'.join(name)}: {way}, {room} -> {target}")
    return found


def too_long(package: Path) -> list[str]:
    found = []
    for module, path in modules(package):
        text = path.read_text()
        lines = len(text.splitlines())
        if lines > MOST_LINES_OF_A_FILE:
            found.append(f"{'/'.join(module)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    found.append(f"{'/'.join(module)}: {node.name} has {lines} lines")
    return found


def write(package: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_the_package_is_there_to_be_checked() -> None:
    rooms = {module[0] for module, _ in modules(PACKAGE)}
    assert {"__init__", "errors", "records", "registry", "storage"} <= rooms


def test_imports_go_down() -> None:
    assert not violations(PACKAGE), "\n".join(violations(PACKAGE))


def test_files_and_functions_stay_short() -> None:
    assert not too_long(PACKAGE), "\n".join(too_long(PACKAGE))


@pytest.mark.parametrize(
    ("file", "text", "report"),
    [
        ("space/vector.py", "from landscape.surface import Objective", "upwards, space -> surface"),
        ("space/vector.py", "def f():\n    import landscape.training.sweep", "upwards, space -> training"),
        ("models/vgg.py", "if TYPE_CHECKING:\n    from landscape.datasets import load", "sideways, models -> datasets"),
        ("storage/hdf5.py", "from landscape import engines", "sideways, storage -> engines"),
        ("storage/hdf5.py", "from ..engines import serial", "sideways, storage -> engines"),
        ("losses.py", "from .space.vector import flatten", "sideways, losses -> space"),
        ("errors.py", "from landscape.records import Grid", "upwards, errors -> records"),
        ("figures/page.py", "import_module('landscape.tasks.demo')", "upwards, figures -> tasks"),
        ("tasks/demo.py", "import landscape as ls", "upwards, tasks -> __init__"),
        ("tasks/demo.py", "from landscape import flatten", "upwards, tasks -> __init__"),
        ("attic/box.py", "", "the room 'attic' has no floor"),
    ],
)
def test_a_wrong_import_is_reported(tmp_path: Path, file: str, text: str, report: str) -> None:
    found = violations(write(tmp_path / "landscape", {file: text, "space/__init__.py": "import numpy\n"}))
    assert len(found) == 1
    assert found[0].startswith(file.removesuffix(".py"))
    assert report in found[0]


def test_all_wrong_imports_of_a_tree_are_reported_and_no_right_one(tmp_path: Path) -> None:
    files = {
        "surface/measure.py": "from landscape.surface.objective import Objective\nfrom . import objective\n"
        "from landscape.space import flatten\nfrom ..records import Grid\nfrom landscape import __version__\n",
        "surface/objective.py": "def late():\n    from landscape.figures import draw\n",
        "storage/__init__.py": "from .hdf5 import save\nfrom landscape.engines import serial\n",
        "__init__.py": "import landscape.cli\n",
    }
    found = violations(write(tmp_path / "landscape", files))
    assert found == [
        "storage/__init__:2 imports landscape.engines.serial: sideways, storage -> engines",
        "surface/objective:2 imports landscape.figures.draw: upwards, surface -> figures",
    ]


def test_a_long_file_and_a_long_function_are_reported(tmp_path: Path) -> None:
    body = "    pass\n"
    files = {
        "long.py": "\n" * 321,
        "fits.py": "\n" * 320,
        "space/f.py": "class A:\n  def longest(self):\n" + body * 45,
        "space/g.py": 'def fits():\n    """One line.\n\n    More.\n    """\n' + body * 44,
    }
    found = too_long(write(tmp_path / "landscape", files))
    assert found == ["long: 321 lines", "space/f: longest has 46 lines"]
