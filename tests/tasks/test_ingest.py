"""The next run takes what people decided: labels, rejections, disputes; over folders, copies alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.services.azurite import Azurite

from tasks.audit import audit_images
from tasks.catalogue import build_catalogue
from tasks.data.settings import CatalogueSettings, ImagesSource, LabelReading
from tasks.engine.run import open_run
from tasks.errors import LabellingError, TooManyRejects
from tasks.images.decode import decode
from tasks.images.settings import DecodeLimits
from tasks.ingest import ingest, read_listing
from tasks.label_exchange import decide
from tasks.labelling.decision import DecisionStore
from tasks.labelling.pictures import Links, for_browser
from tasks.stores.workspace import Workspace


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_file_of_any_size_is_a_row_with_its_reason(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for name, seed in (("no/a.png", 1), ("yes/b.png", 2)):
        picture(images / name, seed)
    for name in ("no/large.png", "unlabelled.png"):
        with (images / name).open("wb") as file:
            file.truncate(40 << 30)  # takes no room
    run = open_run(str(tmp_path / "ws"), None, "set")
    listing = ingest(run, ImagesSource(url=str(images))).listing
    assert (listing.images, listing.unlabelled) == (3, 0)
    with pytest.raises(TooManyRejects, match=r"too_large +1 +no/large.png: 42949672960 bytes, more than"):
        build_catalogue(run, listing, CatalogueSettings(max_reject_fraction=0.3), "yes")


def test_decisions_by_content_count_over_folders(tmp_path: Path) -> None:
    images, workspace = tmp_path / "images", str(tmp_path / "ws")
    for name, seed in (
        ("no/a.png", 1),
        ("no/copy of a.png", 1),
        ("yes/b.png", 2),
        ("c.png", 3),
        ("no/d.png", 4),
    ):
        picture(images / name, seed)
    run = open_run(workspace, None, "set")
    source = ImagesSource(url=str(images))
    before = ingest(run, source).listing
    assert (before.images, before.unlabelled, before.labelled) == (4, 1, None)
    decide(run, "no/a.png", label="yes", by="ann", review=False)
    decide(run, "yes/b.png", label=None, by="ann", review=False)
    for by, label in (("ann", "yes"), ("bob", "no")):
        decide(run, "no/d.png", label=label, by=by, review=False)
    after = ingest(run, source).listing
    frame = read_listing(run, after).set_index("path")
    assert frame["label"].dropna().to_dict() == {"no/a.png": "yes", "no/copy of a.png": "yes"}
    assert frame["given"].dropna().to_dict()["no/a.png"] == "no"
    assert frame["unlabelled_because"].to_dict() == {
        "no/a.png": "",
        "no/copy of a.png": "",
        "yes/b.png": "rejected by ann",
        "c.png": "no label",
        "no/d.png": "disputed: 1 × no, 1 × yes; waits for a review",
    }
    assert (after.images, after.unlabelled) == (2, 3)
    assert after.labelled is not None
    assert (
        after.labelled.words
        == "1 label by 2 people, 1 rejected, 1 disputed and without a label until a review"
        ". Cohen's kappa 0.00: 2 people agree on 0 of the 1 images that they share"
    )
    decide(run, "no/d.png", label="no", by="eve", review=True)
    assert read_listing(run, ingest(run, source).listing).set_index("path")["label"]["no/d.png"] == "no"


def test_what_is_read_otherwise_than_written_is_told_to_the_end(tmp_path: Path) -> None:
    for place, name in enumerate(["yes/a.png", "Yes/b.png", "no/c.png", "no/d.png"] * 9):
        picture(tmp_path / "images" / name.replace(".", f"{place}."), place)
    run = open_run(str(tmp_path / "ws"), None, "set")
    ingested = ingest(run, ImagesSource(url=str(tmp_path / "images")))
    [told] = ingested.warnings
    assert "'Yes' (9) differ from 'yes' (9)" in told
    catalogue = build_catalogue(run, ingested.listing, CatalogueSettings(n_folds=3), "YES")
    assert (catalogue.classes, catalogue.positive_class) == (("no", "yes"), "yes")
    assert audit_images(run, catalogue, ingested.warnings).findings.warnings[0] == told
    assert audit_images(run, catalogue).findings.warnings[:1] != (told,)
    decide(run, "yes/a0.png", label="no", by="ann", review=False)
    apart = ImagesSource(url=str(tmp_path / "images"), labels=LabelReading(join_spellings=False))
    assert set(read_listing(run, ingest(run, apart).listing)["label"]) == {"yes", "Yes", "no"}


def test_a_class_of_the_labelling_keeps_its_spelling(tmp_path: Path) -> None:
    for place, name in enumerate(["Yes/a.png", "no/b.png"]):
        picture(tmp_path / "images" / name, place)
    run, source = open_run(str(tmp_path / "ws"), None, "set"), ImagesSource(url=str(tmp_path / "images"))
    ingest(run, source)
    decide(run, "no/b.png", label="Yes", by="ann", review=False)
    picture(tmp_path / "images" / "yes" / "c.png", 3)
    ingested = ingest(run, source)
    assert set(read_listing(run, ingested.listing)["label"]) == {"Yes"}
    assert any("'yes' (" in told for told in ingested.warnings)


def test_a_slip_of_the_pen_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "no" / "a.png", 1)
    run = open_run(str(tmp_path / "ws"), None, "set")
    with pytest.raises(LabellingError, match="has no data set set"):
        decide(run, "no/a.png", label="no", by="ann", review=False)
    ingest(run, ImagesSource(url=str(tmp_path / "images")))
    with pytest.raises(LabellingError, match=r"'ye' is no class of set \(no\)"):
        decide(run, "no/a.png", label="ye", by="ann", review=False)
    with pytest.raises(LabellingError, match=r"no image a\.png in the last listing"):
        decide(run, "a.png", label="no", by="ann", review=False)
    assert DecisionStore(Workspace(str(tmp_path / "ws")), "set").read() == []


def test_a_browser_gets_what_it_can_show(tmp_path: Path) -> None:
    plain = picture(tmp_path / "a.png", 1).read_bytes()
    assert for_browser(plain, DecodeLimits()) == (plain, "png")
    deep = np.linspace(0, 65535, 1600).reshape(40, 40).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    data, kind = for_browser((tmp_path / "deep.tif").read_bytes(), DecodeLimits())
    expected = decode((tmp_path / "deep.tif").read_bytes(), DecodeLimits()).pixels
    assert kind == "png" and np.array_equal(decode(data, DecodeLimits()).pixels, expected)


@pytest.mark.service
def test_a_signed_link_opens_one_image_without_a_login(
    azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    container = azurite.new_container()
    data = picture(tmp_path / "a.png", 1).read_bytes()
    container.upload_blob("scans/a #1.png", data)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite.connection_string)
    link = Links(f"az://{container.container_name}/scans", None, hours=1).of("a #1.png")
    assert httpx.get(link).content == data
    assert httpx.get(link.partition("?")[0]).status_code in (401, 403, 404)
    assert azurite.key not in link
    with pytest.raises(LabellingError, match="no links lead into a folder"):
        Links(str(tmp_path), None, hours=1)
