"""Label: bring in what people answered, choose what they should look at next, and hand it to Label Studio."""

from prefect import flow

from flows.config import DataSet, WorkspaceLocation
from tasks.data.settings import ImagesSource
from tasks.engine.flow_run import ended, run_name
from tasks.engine.run import open_run
from tasks.ingest import ingest
from tasks.label_begin import begin_labelling
from tasks.label_choose import choose_tasks
from tasks.label_pull import pull_labels
from tasks.label_push import push_tasks
from tasks.label_status import LabelStatus, label_status
from tasks.labelling.settings import LabellingSettings


@flow(name="label", flow_run_name=run_name, persist_result=False)
def label(
    images: ImagesSource,
    workspace: WorkspaceLocation,
    dataset: DataSet,
    labelling: LabellingSettings = LabellingSettings(),  # noqa: B008 - frozen
    restart: bool = False,
) -> LabelStatus:
    """Sync with Label Studio: labels come in; new, conflicting and doubtful images go out, with suggestions.

    Args:
        images: The images; they are only read.
        workspace: Where decisions are kept, for ever.
        dataset: What the images are about.
        labelling: Classes, people and assistance.
        restart: Take up a finished labelling again, and put a labelling page back that was changed by hand.
    """
    run = open_run(workspace.url, workspace.block, dataset.name)
    listing = ingest(run, images).listing
    begun = begin_labelling(run, images, listing, labelling, restart)
    pull_labels(run, restart)
    chosen = choose_tasks(run, listing, begun)
    push_tasks(run, listing, begun, chosen)
    status = label_status(run, chosen.assistance)
    return ended(status, status.in_words())
