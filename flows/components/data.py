"""Data sets, what is checked about them, and who is held out from whom."""

from flows.components.place import Place
from flows.components.settings import DataSetChoice, Split
from flows.components.values import Catalogue, Findings, Folds, Images
from flows.config import DataSet
from tasks.audit import audit_images
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings
from tasks.errors import PipelineError
from tasks.ingest import ingest
from tasks.label_status import tell_unlabelled
from tasks.pipeline.component import part


def data_set(place: Place, settings: DataSetChoice) -> Images:
    """List a store and fetch what changed."""
    if settings.images is None:
        raise PipelineError(
            f"{place.node}: it is not said where the images of {settings.name} are",
            cure="give the data set a file, or say images in the node",
        )
    run = place.open(settings.name)
    ingested = ingest(place.at(run), settings.images)
    tell_unlabelled(place.at(run), ingested.listing.unlabelled)
    return Images(run, part(settings, DataSet), settings.images, ingested)


def check_images(place: Place, settings: CatalogueSettings, *, images: Images) -> Catalogue:
    """Check, group and give folds."""
    run, positive = place.at(images.run), images.about.positive_class
    return Catalogue(images, build_catalogue(run, images.listing, settings, positive))


def split(place: Place, settings: Split, *, catalogue: Catalogue) -> Folds:  # noqa: ARG001 - as all components
    """Say by which protocol images are kept apart."""
    said = {} if settings.protocol is None else {"protocol": settings.protocol}
    return Folds(catalogue, catalogue.record.model_copy(update=said))


def audit(place: Place, settings: object, *, catalogue: Catalogue) -> Findings:  # noqa: ARG001 - as all components
    """Measure what is doubtful."""
    run, warnings = place.at(catalogue.images.run), catalogue.images.ingested.warnings
    return Findings(catalogue, audit_images(run, catalogue.record, warnings))
