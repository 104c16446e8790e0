"""Discovery: every pipeline declared in a folder, and every module that does not load."""

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from perennial.compliance import strictest
from perennial.declaration import Pipeline
from perennial.errors import DeclarationError
from perennial.ingestion.answered import check_log
from perennial.policies import Rules

FOLDER = Path(__file__).parent
RULES = "rules"
"""Name of the module that may hold the organisation's `rules = Rules(...)`, which every pipeline must keep."""
NOT_PIPELINES = frozenset({"__init__", "definitions", "discovery", RULES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A module that does not load, and why."""

    name: str
    error: str
    trace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What a folder of declarations holds."""

    pipelines: tuple[Pipeline, ...]
    broken: tuple[Broken, ...]

    def named(self, name: str) -> Pipeline:
        """The pipeline `name`. Raises DeclarationError with the names there are."""
        for pipeline in self.pipelines:
            if pipeline.name == name:
                return pipeline
        for module in self.broken:
            if module.name == name:
                raise DeclarationError(
                    "the declaration does not load", where=f"pipelines/{name}.py", found=module.error
                )
        raise DeclarationError(
            "no such pipeline", where="pipelines", found=repr(name), expected=", ".join(p.name for p in self.pipelines)
        )


def discover(folder: Path = FOLDER) -> Discovered:
    """The pipelines of every module in `folder`, in order of their names.

    A module that fails to import, declares no pipeline, takes a name that is taken, or reads an inference log
    that it does not fit is reported as broken; the others load.
    """
    pipelines: dict[str, Pipeline] = {}
    modules: dict[str, str] = {}
    broken: list[Broken] = []
    for path in sorted(folder.glob("*.py")):
        if path.stem in NOT_PIPELINES:
            continue
        try:
            for pipeline in _kept_to_rules(_declared_in(path), folder):
                if pipeline.name in pipelines:
                    raise DeclarationError(
                        "the name is taken by another pipeline",
                        where=f"pipelines/{path.name}",
                        found=repr(pipeline.name),
                        expected="a name of its own",
                    )
                pipelines[pipeline.name], modules[pipeline.name] = pipeline, path.stem
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's module raises must not stop the others
            broken.append(_broken(path.stem, error))
    while unfit := _unfit(pipelines):
        for name, misfit in unfit.items():
            broken.append(_broken(modules[name], misfit))
            del pipelines[name]
    return Discovered(pipelines=tuple(pipelines[name] for name in sorted(pipelines)), broken=tuple(broken))


def _unfit(pipelines: Mapping[str, Pipeline]) -> dict[str, DeclarationError]:
    """Of those that read the inference log of another: which do not fit what loads, and why."""
    found = {}
    for name in sorted(pipelines):
        try:
            check_log(pipelines[name], pipelines)
        except DeclarationError as error:
            found[name] = error
    return found


def _broken(module: str, error: BaseException) -> Broken:
    """What to tell of a module that raised `error`."""
    trace = "".join(traceback.format_exception(error))
    return Broken(name=module, error=f"{type(error).__name__}: {error}", trace=trace)


def _kept_to_rules(declared: list[Pipeline], folder: Path) -> list[Pipeline]:
    """The pipelines under the organisation's rules and their own. Without readable rules none loads."""
    path = folder / f"{RULES}.py"
    if not path.is_file():
        return declared
    rules = [value for value in vars(_module(path)).values() if isinstance(value, Rules)]
    if len(rules) != 1:
        raise DeclarationError(
            "one set of rules is expected", where=f"pipelines/{path.name}", found=f"{len(rules)} of them"
        )
    return [replace(pipeline, rules=strictest(pipeline.rules, rules[0])) for pipeline in declared]


def _declared_in(path: Path) -> list[Pipeline]:
    declared = [value for value in vars(_module(path)).values() if isinstance(value, Pipeline)]
    if not declared:
        raise DeclarationError(
            "no pipeline is declared", where=f"pipelines/{path.name}", expected="name = Pipeline(...)"
        )
    return list({id(pipeline): pipeline for pipeline in declared}.values())


def _module(path: Path) -> ModuleType:
    name = f"pipelines.{path.stem}" if path.parent == FOLDER else f"_declared_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
