"""Automations: which events reach people, and in which words."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from deployments.registered import HEARTBEAT_SECONDS, Channel
from tasks.server.upcoming import OURS

SILENT_SECONDS: Final = 3 * HEARTBEAT_SECONDS

ESCAPED: Final = {
    "slack": '|replace("&", "&amp;")|replace("<", "&lt;")|replace(">", "&gt;")',
    "teams": "|e",
    "email": "",
    "webhook": "",
}
"""What comes from data may hold a channel's own markup. Slack has three reserved characters
(https://api.slack.com/reference/surfaces/formatting#escaping), Teams shows HTML; a webhook gets JSON strings and an
e-mail is plain text."""


def dead_runs() -> AutomationCore:
    """A run that was silent for three heartbeats is dead: its process and its worker were killed together."""
    return AutomationCore(
        name="Lightbox: dead runs",
        description=f"Marks a run as crashed after {SILENT_SECONDS} s without a heartbeat.",
        tags=[OURS],
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat", "prefect.flow-run.Running"},
            expect={"prefect.flow-run.*"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_tagged(OURS),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENT_SECONDS} s: the process and its worker are gone. "
                "A new run goes on from the last checkpoint.",
            )
        ],
    )


def automations_of(channel: Channel, block: UUID, ui_url: str) -> list[AutomationCore]:
    """What is told on a channel: what became of a model, what the watchdog did, runs that failed or are late.

    The server knows its own address only where PREFECT_UI_URL is set on it; else `ui_url` is what a message links.
    """
    escaped = ESCAPED[channel.kind]
    payload = "{{ event.payload.%s" + escaped + " }}"
    run = "{{ flow_run.name" + escaped + " }}"
    deployment = "{{ (deployment.name or flow.name)" + escaped + " }}"
    pool = "{{ flow_run.work_pool_name or 'default' }}"
    link = f'Run: {{{{ (flow_run|ui_url) or "{ui_url}/runs/flow-run/" ~ flow_run.id }}}}'
    return [
        AutomationCore(
            name=f"Lightbox: models to {channel.name}",
            description="What became of a model, and what the watchdog did; one message a run.",
            tags=[OURS],
            trigger=_reactive(
                {"lightbox.model.*", "lightbox.pool.*"},
                {"prefect.resource.id": ["lightbox.model.*", "lightbox.pool.*"], "lightbox.headline": "true"},
                channel,
            ),
            actions=[
                SendNotification(
                    block_document_id=block, subject=payload % "subject", body=f"{payload % 'text'}\n{link}"
                )
            ],
        ),
        AutomationCore(
            name=f"Lightbox: failures to {channel.name}",
            description="Runs that failed, crashed, or took too long.",
            tags=[OURS],
            trigger=_reactive(
                {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")},
                {"prefect.resource.id": "prefect.flow-run.*"},
                channel,
            ),
            actions=[
                SendNotification(
                    block_document_id=block,
                    subject=f"Lightbox: {deployment} " + "{{ flow_run.state.name|lower }}",
                    body=f"The run {run} of {deployment} {{{{ flow_run.state.name|lower }}}}: "
                    f"{{{{ flow_run.state.message{escaped} }}}}\n"
                    "Now: the model that is served stays.\n"
                    f"What to do: mend what the message names, then run {deployment} again. It goes on from the last "
                    "finished stage.\n" + link,
                )
            ],
        ),
        AutomationCore(
            name=f"Lightbox: late runs to {channel.name}",
            description="Runs that no worker has taken in time.",
            tags=[OURS],
            trigger=_reactive(
                {"prefect.flow-run.Late"}, {"prefect.resource.id": "prefect.flow-run.*"}, channel
            ),
            actions=[
                SendNotification(
                    block_document_id=block,
                    subject=f"Lightbox: {deployment} is late",
                    body=f"A run of {deployment} should have started, and no worker has taken it.\n"
                    "Now: the run waits, and the model that is served stays.\n"
                    "What to do: nothing where the machine was just restarted, it begins by itself. Else start a "
                    f"worker: prefect worker start --pool {pool}\n{link}",
                )
            ],
        ),
    ]


def _reactive(expect: set[str], match: dict[str, str | list[str]], channel: Channel) -> EventTrigger:
    return EventTrigger(
        expect=expect,
        match=match,
        match_related=_tagged(channel.tag),
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )


def _tagged(tag: str) -> dict[str, str | list[str]]:
    return {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}
