"""Audit: what is doubtful about the data before anything is learnt from them."""

from pydantic import Field

from tasks.catalogue import Catalogue, read_catalogue
from tasks.data.contradictions import contradicting_classes
from tasks.engine.run import Run, write_lasting
from tasks.engine.stage import stage
from tasks.evaluation.balance import ClassBalance, class_balance
from tasks.evaluation.shortcuts import Shortcut, measure_shortcuts, warnings_of
from tasks.evaluation.words import number
from tasks.record import FileReference, Frozen, Record
from tasks.stores.layout import catalogue_path


class AuditFindings(Frozen):
    """What was found, and what a person should know of it."""

    balance: ClassBalance = Field(description="Images and groups of each class.")
    shortcuts: tuple[Shortcut, ...] = Field(description="How well trivial facts alone predict the label.")
    warnings: tuple[str, ...] = Field(description="All warnings in sentences, the gravest first.")


class Audit(Record):
    """The findings, and where they are kept."""

    findings: AuditFindings = Field(description="What was found.")
    file: FileReference = Field(description="audit.json beside the catalogue.")
    trivial: FileReference = Field(
        description="trivial.parquet beside it: what each trivial fact alone says of each content, out of fold."
    )

    def in_words(self) -> str:
        """The best of the trivial facts, and how many warnings there are."""
        count = len(self.findings.warnings)
        warnings = f"{count or 'no'} warning{'' if count == 1 else 's'}"
        known = [fact for fact in self.findings.shortcuts if fact.auc.value is not None]
        if not known:
            return warnings
        best = max(known, key=lambda fact: fact.auc.value or 0.0)
        return f"of trivial facts {best.fact} tells most: AUC {number(best.auc.value)}; {warnings}"


@stage("audit", version=4)
def audit_images(run: Run, catalogue: Catalogue, told: tuple[str, ...] = ()) -> Audit:
    """Count the classes, and measure how well trivial facts alone predict the label.

    `told` is what ingest warns of: how labels and groups were read.
    """
    table = read_catalogue(run, catalogue)
    usable = table.frame[~table.frame["conflict"]]
    balance = class_balance(usable["label"], usable["group"])
    measured = measure_shortcuts(table.contents, catalogue.classes, catalogue.positive_class)
    findings = AuditFindings(
        balance=balance,
        shortcuts=tuple(measured.shortcuts),
        warnings=(
            *told,
            *contradicting_classes(table.frame),
            *warnings_of(measured.shortcuts),
            *balance.warnings,
        ),
    )
    return Audit(
        findings=findings,
        file=_beside(run, catalogue, "audit.json", findings.model_dump_json(indent=2).encode()),
        trivial=_beside(run, catalogue, "trivial.parquet", measured.to_parquet()),
    )


def _beside(run: Run, catalogue: Catalogue, file: str, data: bytes) -> FileReference:
    path = catalogue_path(run.name, catalogue.digest_of_rows, file)
    return write_lasting(run.open_workspace(), path, data)
