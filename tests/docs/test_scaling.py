"""docs/scaling.md says what benchmarks/scaling.py computes, and that rests on figures which were measured."""

import re
import sys

from support.repository import REPOSITORY
from support.services.required_tools import output_of

PROGRAM = REPOSITORY / "benchmarks" / "scaling.py"


def test_the_document_has_the_tables_that_the_model_computes() -> None:
    tables = output_of(sys.executable, str(PROGRAM)).strip().split("\n\n")
    assert len(tables) == 3
    document = (REPOSITORY / "docs" / "scaling.md").read_text()
    for table in tables:
        assert table in document, "run `python benchmarks/scaling.py` and put its tables into docs/scaling.md"


def test_every_rate_rests_on_a_figure_of_the_benchmarks() -> None:
    constants = PROGRAM.read_text().split("FAST_TOTAL, FAST")[1].split("\ndef ")[0]
    measured = "".join(
        (REPOSITORY / page).read_text() for page in ("benchmarks/README.md", "docs/honest-figures.md")
    )
    figures = set(re.findall(r"(?<![\w.])\d[\d_]*\.?\d*(?!\w)", re.sub(r"#.*|\"\"\".*\"\"\"", "", constants)))
    assert {"69.0", "546.0", "6.7", "21.4", "529.0", "143.0", "70.0"} <= figures
    for figure in figures:
        plain = figure.replace("_", "").removesuffix(".0")
        assert re.search(rf"(?<!\d){plain}(?!\d)", measured.replace(",", "")), figure
