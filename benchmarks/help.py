"""How soon the command line answers: `lightbox --help`, `lightbox retrain --help`, and the import of all forms.

    python benchmarks/help.py            about half a minute

Two baselines of the same run: a Python that imports what every command line of forms needs (cyclopts, and of pydantic,
which loads its parts only when they are asked for, the base class), and the help of the smallest command with a form
of one field. Measured is processor time, user and system, the least of some processes each: the wall clock of a busy
machine tells of the others. Aim: help within 1.5 times the imports; forms within 0.5 s of Prefect's own import.
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
IMPORTS = "import cyclopts, pydantic; pydantic.BaseModel"
SMALLEST = """
from typing import Annotated
from cyclopts import App, Parameter
from pydantic import BaseModel, Field
class Form(BaseModel):
    name: str = Field(default="n", description="Its name.")
app = App(name="smallest", help_format="plaintext")
@app.default
def run(*, form: Annotated[Form, Parameter(name="*")] = Form()): pass
app(["--help"], result_action="return_value")
"""
HELP = """
import sys
sys.argv = ["lightbox", {words}"--help"]
from flows.command_line.app import main
try:
    main()
except SystemExit:
    pass
"""
FORMS = "import flows.config, flows.command_line.options, tasks.labelling.settings, deployments.data_set_file"


def processor_seconds(code: str, repeats: int) -> float:
    """The least that a fresh Python takes for some code."""
    least = float("inf")
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return least


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeats", type=int, default=11, help="processes each, of which the quickest counts"
    )
    repeats = parser.parse_args().repeats
    imports, smallest = (processor_seconds(code, repeats) for code in (IMPORTS, SMALLEST))
    print(f"imports of cyclopts and pydantic {imports:.2f} s, help of the smallest command {smallest:.2f} s")
    for words in ("", "retrain"):
        seconds = processor_seconds(HELP.format(words=f'"{words}", ' if words else ""), repeats)
        ratios = (
            f"{seconds / imports:.2f} times the imports, {seconds / smallest:.2f} times the smallest help"
        )
        print(f"lightbox {words + ' ' if words else ''}--help: {seconds:.2f} s, {ratios}")
    prefect = processor_seconds("import prefect, prefect.client.schemas.schedules", 3)
    forms = processor_seconds(f"import prefect, prefect.client.schemas.schedules\n{FORMS}", 3)
    print(f"all forms: {forms - prefect:.2f} s beyond Prefect's own {prefect:.2f} s")


if __name__ == "__main__":
    main()
