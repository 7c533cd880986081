"""Notify: say as a Prefect event what people must hear about; automations turn events into messages."""

from typing import Any, Literal

from pydantic import Field

from tasks.audit import Audit
from tasks.clinical import Clinical
from tasks.decide import Verdict
from tasks.engine.run import Run
from tasks.engine.stage import inside_flow_run, stage
from tasks.evaluate import EvaluatedBundle
from tasks.evaluation.intervals import Estimate
from tasks.evaluation.metrics import Evaluation
from tasks.pages import message
from tasks.pages.outcome import ModelEventName, Outcome
from tasks.pages.run_summary import confusion_rows, summary_markdown
from tasks.promote import Promotion
from tasks.record import Frozen, Record
from tasks.stores.layout import NOTICE


class ModelEvent(Frozen):
    """One thing that happened to a model, with the figures a message needs."""

    event: ModelEventName = Field(description="What happened.")
    of: Literal["new model", "served model"] = Field(
        description="Whether it happened to the model that was judged, or to the one in service."
    )
    headline: bool = Field(description="Whether people are told by this event; true for one event of a run.")
    subject: str = Field(description="The message's first line.")
    text: str = Field(description="The message.")
    name: str = Field(description="Data set and model.")
    version: str = Field(description="Version of the model that was judged.")
    champion: str | None = Field(description="Version that is served from now on.")
    recall: float | None = Field(description="Recall at the model's threshold.")
    recall_lower: float | None = Field(description="Lower end of its 95 % interval.")
    recall_upper: float | None = Field(description="Upper end of its 95 % interval.")
    bar: float = Field(description="The bar on recall.")
    images: int = Field(description="Images evaluated.")
    report: str = Field(description="Where the report is.")
    reasons: list[str] = Field(description="Why, in words.")


class Notice(Record):
    """What was said."""

    events: tuple[ModelEvent, ...] = Field(description="The events, in order.")


@stage("notify", version=3, reusable=False)
def notify(
    run: Run,
    audit: Audit,
    evaluated: EvaluatedBundle,
    clinical: Clinical,
    verdict: Verdict,
    promotion: Promotion,
    report_uri: str,
) -> Notice:
    """Show the outcome in Prefect and tell people of it, each run anew; without a server there is nobody to tell."""
    notice = Notice(events=events_of(run, evaluated, verdict, promotion, report_uri))
    if inside_flow_run():
        from prefect.events import emit_event

        outcome = outcome_of(run, verdict, promotion.version)
        operating = evaluated.operating.cautions if evaluated.operating else ()
        warnings = (*clinical.figures.patients.cautions, *operating, *audit.findings.warnings)
        summary = summary_markdown(outcome, evaluated.evaluation, warnings, report_uri)
        _show(run, summary, evaluated.evaluation, report_uri)
        for event in notice.events:
            if not _said_before(run, event):
                emit_event(
                    event=event.event,
                    resource={
                        "prefect.resource.id": f"lightbox.model.{event.name}",
                        "prefect.resource.name": event.name,
                        "lightbox.version": event.version,
                        "lightbox.headline": str(event.headline).lower(),
                    },
                    payload=event.model_dump(mode="json", exclude={"event", "headline"}),
                )
                run.open_workspace().write(_notice(run, event), event.model_dump_json().encode())
    return notice


def _show(run: Run, summary: str, evaluation: Evaluation, report_uri: str) -> None:
    """Put the outcome beside the graph of the active flow run."""
    from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

    key = run.name.replace("_", "-")
    create_markdown_artifact(summary, key=f"{key}-summary", description="Summary")
    create_table_artifact(
        confusion_rows(evaluation),
        key=f"{key}-confusion-matrix",
        description="Rows: truth. Columns: prediction.",
    )
    if report_uri.startswith(("http://", "https://")):
        create_link_artifact(
            report_uri, link_text="Report", key=f"{key}-report", description="The full report"
        )


def _said_before(run: Run, event: ModelEvent) -> bool:
    """A retry of a flow run does not tell people again; a run that somebody starts does."""
    return run.open_workspace().exists(_notice(run, event))


def _notice(run: Run, event: ModelEvent) -> str:
    """Written after the event was given to Prefect: told twice is better than not at all."""
    from prefect.runtime import flow_run

    told = event.event.rpartition(".")[2]
    if event.of == "served model":
        told += "-served"
    return NOTICE.path(
        name=run.name,
        flow_run=flow_run.id or run.id,
        event=f"{run.node}-{told}" if run.node else told,
    )


def events_of(
    run: Run, evaluated: EvaluatedBundle, verdict: Verdict, promotion: Promotion, report_uri: str
) -> tuple[ModelEvent, ...]:
    """The events of a run: low recall of what is served, the outcome, and low recall where that is why it was refused.

    The first is what people are told.
    """
    outcome, evaluation = outcome_of(run, verdict, promotion.version), evaluated.evaluation
    events = [
        ModelEvent(
            event=event,
            of="new model",
            headline=event == outcome.events[0] and outcome.alarm is None,
            subject=message.subject(outcome, event),
            text=message.text(outcome, event, evaluation, report_uri),
            version=promotion.version,
            images=evaluation.n,
            **_figures(evaluation.recall),
            **_shared(run, outcome, promotion, report_uri),
        )
        for event in outcome.events
    ]
    if outcome.alarm is not None:
        alarm = ModelEvent(
            event="lightbox.model.recall-low",
            of="served model",
            headline=True,
            subject=f"Lightbox {run.name}: {outcome.alarm_subject(outcome.alarm)}",
            text=message.alarm_text(outcome, outcome.alarm, report_uri),
            version=outcome.alarm.version,
            images=outcome.alarm.n,
            **_figures(outcome.alarm.recall),
            **_shared(run, outcome, promotion, report_uri),
        )
        events.insert(0, alarm)
    return tuple(events)


def _figures(recall: Estimate) -> dict[str, Any]:
    return {"recall": recall.value, "recall_lower": recall.lower, "recall_upper": recall.upper}


def _shared(run: Run, outcome: Outcome, promotion: Promotion, report_uri: str) -> dict[str, Any]:
    return {
        "name": run.name,
        "champion": promotion.champion,
        "bar": outcome.decision.settings.min_recall,
        "report": report_uri,
        "reasons": outcome.decision.reasons,
    }


def outcome_of(run: Run, verdict: Verdict, version: str) -> Outcome:
    """What became of the version that was judged."""
    return Outcome(
        name=run.name,
        version=version,
        decision=verdict.decision,
        champion=verdict.champion,
        is_champion=verdict.is_champion,
        again=verdict.served,
    )
