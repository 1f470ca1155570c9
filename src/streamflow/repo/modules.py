"""Import the Python files of a feature repo as top-level modules, as Feast does."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from streamflow.errors import StreamFlowError, UsageError
from streamflow.repo.folder import check_folder

DECLARATIONS = ("tables", "label", "slices")
DEFINITIONS = ("entities", "sources", "feature_views", "feature_services")
RECIPES = ("estimator", "simulation")
OPTIONAL = ("simulation", "slices")
_MODULES = (*DECLARATIONS, *DEFINITIONS, *RECIPES)


def check_files(path: Path) -> None:
    """Check that a folder is a feature repo and contains all required files.

    Raises:
        UsageError: The folder is not a feature repo, or a file is missing.
    """
    check_folder(path)
    for name in (*DEFINITIONS, *RECIPES):
        if name not in OPTIONAL and not (path / f"{name}.py").is_file():
            raise _missing(path, name)


@contextmanager
def modules_of(path: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, ModuleType]]:
    """Import modules of a repo for the duration of a `with` block.

    All repos use the same module names, so `sys.path` and `sys.modules` are restored afterwards: otherwise a
    second repo would get the first one's modules.

    Args:
        path: Folder of the repo.
        wanted: Names of modules; those in `OPTIONAL` may be missing.

    Yields:
        The imported modules by name.

    Raises:
        UsageError: A module is missing or fails to import; the details name the file and line.
    """
    before = {name: sys.modules.pop(name) for name in _MODULES if name in sys.modules}
    sys.path.insert(0, str(path))
    importlib.invalidate_caches()
    try:
        yield {
            name: _imported(path, name)
            for name in wanted
            if name not in OPTIONAL or (path / f"{name}.py").is_file()
        }
    finally:
        sys.path.remove(str(path))
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _imported(path: Path, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except StreamFlowError:
        raise
    except SyntaxError as error:
        raise _unreadable(path, f"{error.filename}, line {error.lineno}: {error.msg}") from error
    # These files are users' code, which may raise anything.
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in _MODULES:
            raise _missing(path, error.name) from None
        # The innermost frame in the repo itself; those further down are in libraries.
        own = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).parent == path
        ]
        where = f"{own[-1].filename}, line {own[-1].lineno}" if own else str(path / f"{name}.py")
        raise _unreadable(path, f"{where}: {type(error).__name__}: {error}") from error


def _unreadable(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"The feature repo {path} cannot be read.",
        details=(problem,),
        hint="Correct it there; see docs/feature-repo.md.",
    )


def _missing(path: Path, module: str) -> UsageError:
    return UsageError(f"The feature repo {path} has no {module}.py.", hint="See docs/feature-repo.md.")
