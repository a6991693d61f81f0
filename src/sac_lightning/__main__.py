"""``python -m sac_lightning``: the commands that there are."""

import ast
from pathlib import Path


def list_commands() -> dict[str, str]:
    """Return what each command is for, by its name, as the modules say it themselves; none is imported."""
    modules = (path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.stem.startswith("__"))
    purposes = {
        path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in modules
    }
    return {name: text.partition(": ")[2].replace("``", "") for name, text in purposes.items()}


if __name__ == "__main__":
    for name, purpose in list_commands().items():
        print(f"python -m sac_lightning.{name:<11}{purpose}")
    print("--help after one of them says what it takes; README.md, where to begin")
