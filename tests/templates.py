"""Collects every English template of the sources, and says which have no French text.

    python -m tests.templates

A template is what is given to a parameter called `template`, `hint`, `meaning`, `advice` or
`headings`, wherever it is defined: Problem(…), SceauError(…), Output.say(…), message(…) and so on;
to argparse as help or description; and each command's HELP. In `"the key cannot be used: " + why`
the beginning and what `why` can be are templates of their own, as `gateway.i18n.translate` takes
them.
What is put together otherwise at run time (f-strings) cannot be translated and is listed apart.
"""

from __future__ import annotations

import ast
import json
import re
import string
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "pki", "archive")
WATCHED = ("template", "hint", "meaning", "advice", "headings")
# What argparse itself says; it stands in no source of ours.
ARGPARSE = ("options", "positional arguments", "show this help message and exit")

Positions = dict[int, str]
_PLACE = re.compile(r"\{\w+\}")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """One source file: what it defines that takes templates, and what its names mean."""

    name: str
    tree: ast.Module
    defines: dict[str, Positions] = field(default_factory=dict)
    methods: dict[str, Positions] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Found:
    """Template to the first place it stands at; and places whose text is not fixed."""

    templates: dict[str, str] = field(default_factory=dict)
    dynamic: list[str] = field(default_factory=list)


def collect() -> Found:
    """All templates of the product."""
    modules = {module.name: module for module in _modules()}
    found = Found(dict.fromkeys(ARGPARSE, "argparse"))
    for module in modules.values():
        _collect_module(module, modules, found)
    return found


def places(template: str) -> set[str]:
    """Names of the places of a template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def _modules() -> Iterator[Module]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = Module(
                ".".join(part for part in parts if part != "__init__"),
                ast.parse(path.read_text("utf-8")),
            )
            _read_definitions(module)
            yield module


def _read_definitions(module: Module) -> None:
    for node in module.tree.body:
        if isinstance(node, Function):
            module.defines[node.name] = _positions(node, skip=0)
        elif isinstance(node, ast.ClassDef):
            _read_class(module, node)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module.imports[alias.asname or alias.name] = (node.module, alias.name)


def _read_class(module: Module, node: ast.ClassDef) -> None:
    module.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
    fields = [
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    if any(name in WATCHED for name in fields):
        module.defines[node.name] = {i: n for i, n in enumerate(fields) if n in WATCHED}
    for item in node.body:
        if isinstance(item, Function):
            positions = _positions(item, skip=1)
            if item.name == "__init__":
                module.defines[node.name] = positions
            elif positions:
                module.methods[item.name] = positions


def _positions(node: Function, *, skip: int) -> Positions:
    watched = {*WATCHED, *_rests(node)}
    args = [*node.args.posonlyargs, *node.args.args][skip:]
    found = {i: arg.arg for i, arg in enumerate(args) if arg.arg in watched}
    return found | {
        -1 - i: arg.arg for i, arg in enumerate(node.args.kwonlyargs) if arg.arg in watched
    }


def _rests(function: Function) -> Iterator[str]:
    """Parameters that are put behind the fixed beginning of a template."""
    for node in ast.walk(function):
        match node:
            case ast.BinOp(
                left=ast.Constant(value=str(beginning)), op=ast.Add(), right=ast.Name(id=name)
            ) if beginning.endswith(" "):
                yield name


def _lookup(name: str, module: Module, modules: dict[str, Module], depth: int = 0) -> Positions:
    """Which arguments of `name(…)`, as this module knows the name, are templates."""
    if depth > 8:
        return {}
    if name in module.defines:
        return module.defines[name]
    for base in module.bases.get(name, []):
        if positions := _lookup(base, module, modules, depth + 1):
            return positions
    if name in module.imports:
        origin, original = module.imports[name]
        if origin in modules:
            return _lookup(original, modules[origin], modules, depth + 1)
    return {}


def _collect_module(module: Module, modules: dict[str, Module], found: Found) -> None:
    passed_on = _passed_on(module)
    methods = dict(module.methods)
    for origin, _ in module.imports.values():
        if origin in modules:
            methods |= modules[origin].methods
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(attr="template")], value=ast.BinOp() as value):
                _take(value, module, passed_on, found)
                continue
            case ast.Assign(targets=[ast.Name(id="HELP")], value=value):
                if module.name.startswith("gateway.cli."):
                    _take(value, module, passed_on, found)
                continue
            case ast.Call(func=ast.Name(id=name)):
                positions = _lookup(name, module, modules)
                keywords = {"description", "epilog"} if name == "SceauParser" else set()
            case ast.Call(func=ast.Attribute(attr=name)):
                positions = methods.get(name, {})
                keywords = {"help", "description", "title"} if name.startswith("add_") else set()
            case _:
                continue
        keywords |= set(positions.values())
        values = [arg for i, arg in enumerate(node.args) if i in positions]
        values += [keyword.value for keyword in node.keywords if keyword.arg in keywords]
        for value in values:
            _take(value, module, passed_on, found)


def _passed_on(module: Module) -> set[str]:
    """Names that get their text from elsewhere: parameters, loop variables, unpacked ones."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args):
                names |= {arg.arg for arg in [*args.args, *args.posonlyargs, *args.kwonlyargs]}
            case ast.For(target=target) | ast.comprehension(target=target):
                names |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
            case ast.Assign(targets=[ast.Tuple() as target]):
                names |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
    return names


def _take(value: ast.expr, module: Module, passed_on: set[str], found: Found) -> None:
    """Note the text of an argument: a constant, a choice, a list, a name for one, a sum."""
    values: Iterable[ast.expr] = ()
    match value:
        case ast.Constant(value=str(text)):
            if _PLACE.sub("", text).strip():  # "{detail}" alone says nothing in any language
                found.templates.setdefault(text, f"{module.name}:{value.lineno}")
        case ast.Constant():
            pass
        case ast.IfExp(body=body, orelse=orelse):
            values = [body, orelse]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.BoolOp(values=items):
            values = items
        case ast.Dict(values=items):
            values = items
        case ast.Subscript(value=ast.Dict() | ast.Name() as table):
            values = [table]
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, *defaults]):
            values = defaults  # the table's own texts are marked by message(…)
        case ast.Attribute(attr=attr) if attr in (*WATCHED, "HELP", "hint_template"):
            pass  # passed on from an error or a module: taken where it was made
        case ast.BinOp(left=ast.Constant() as beginning, op=ast.Add(), right=rest):
            values = [beginning, rest]
        case ast.Name(id=name) if assigned := _assigned(name, module):
            values = [item for item in assigned if not isinstance(item, ast.Name)]
        case ast.Name(id=name) if name in passed_on:
            pass
        case _:
            found.dynamic.append(f"{module.name}:{value.lineno} {ast.unparse(value)}")
    for item in values:
        _take(item, module, passed_on, found)


def _assigned(name: str, module: Module) -> list[ast.expr]:
    """What is assigned to a name anywhere in the module."""
    return [
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]


def main() -> int:
    """Print what is missing as lines for gateway/locale/fr.toml; 1 if anything is."""
    from gateway.i18n import catalogue

    found = collect()
    french = catalogue("fr")
    missing = [(place, text) for text, place in found.templates.items() if text not in french]
    for place, text in sorted(missing):
        print(f"# {place}\n{json.dumps(text, ensure_ascii=False)} = ''")
    for text in french.keys() - found.templates.keys():
        print(f"# not used any more: {text}", file=sys.stderr)
    for place in found.dynamic:
        print(f"# not a fixed text: {place}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
