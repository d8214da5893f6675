"""List the demos: name, what it shows, the course's ids, and how long it takes."""

import ast
from pathlib import Path
from typing import NamedTuple


class Demo(NamedTuple):
    """What a demo's file says of itself."""

    name: str
    summary: str
    course: str
    time: str


def demos() -> list[Demo]:
    """The demos, by name: every module here that states its COURSE and its TIME."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in ("COURSE", "TIME")
        }
        if len(said) == 2:
            summary = ast.get_docstring(tree).splitlines()[0].rstrip(".")
            found.append(Demo(path.stem, summary, said["COURSE"], said["TIME"]))
    return found


def main() -> None:
    """Print the list."""
    print("python -m demos.NAME [--help]      (times on two cores)\n")
    found = demos()
    width = max(len(demo.name) for demo in found)
    for demo in found:
        about = f"[{demo.course or 'measurements'}; {demo.time}]"
        print(f"  {demo.name:{width}}  {demo.summary}  {about}")


if __name__ == "__main__":
    main()
