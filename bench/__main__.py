"""``python -m bench NAME [options]``: runs one bench; without a name, lists them.

A bench is a module ``bench/NAME.py`` with ``main(argv) -> int``. It prints what people want to
read to standard error and one JSON object as the last line of standard output.
"""

import ast
import sys
from importlib import import_module
from pathlib import Path

NOT_BENCHES = {"__init__", "__main__", "early", "influx", "influxd", "ledger", "machine", "rig"}


def names() -> dict[str, str]:
    """Every bench with the first line of its docstring."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem in NOT_BENCHES or file.stem.startswith("_"):
            continue
        tree = ast.parse(file.read_text("utf-8"))
        if any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(argv: list[str]) -> int:
    """Dispatch; 2 for an unknown name."""
    known = names()
    name = argv[0] if argv else ""
    if name in known:
        code: int = import_module(f"bench.{name}").main(argv[1:])
        return code
    if name not in {"", "-h", "--help"}:
        print(f"no bench {name!r}", file=sys.stderr)
    print("python -m bench NAME [--json] [options of the bench]\n", file=sys.stderr)
    for known_name, text in known.items():
        print(f"  {known_name:<12}{text}", file=sys.stderr)
    return 0 if name in {"", "-h", "--help"} else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
