"""The OpenAPI document is true and complete: tools that read nothing else find nothing amiss."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.core.result import Ok
from support.samples.endpoint_bundles import publish
from support.services.live_endpoint import PRIMARY, Live, live, picture


def test_both_documents_are_one_and_valid(shared: Live) -> None:
    document = shared.client.get("/openapi.json").json
    assert shared.client.get("/swagger.json").json == document
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_route_is_documented_and_every_documented_path_answers(shared: Live) -> None:
    from deployments.endpoint.app import build_app

    documented = set(shared.client.get("/openapi.json").json["paths"])
    routes = {getattr(route, "path", "") for route in build_app(shared.endpoint).routes}
    assert {path for path in routes if not path.startswith("/static/")} == documented
    for path in documented - {"/score", "/predict"}:
        assert shared.client.get(path).status == 200


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}


def test_answers_and_examples_fit_their_schemas(shared: Live) -> None:
    document = shared.client.get("/openapi.json").json
    for path, content in (("/model", None), ("/health/ready", None), ("/predict", picture())):
        verb = "post" if content else "get"
        answer = shared.client.predict(content) if content else shared.client.get(path)
        schema = document["paths"][path][verb]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(_resolved(document, schema)).validate(answer.json)
    body = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]
    answers = document["paths"]["/score"]["post"]["responses"]
    for example in body["examples"].values():
        Draft202012Validator(_resolved(document, body["schema"])).validate(example["value"])
        answer = shared.client.score(example["value"])
        assert answer.status == 200, answer.body
        schema = answers["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(_resolved(document, schema)).validate(answer.json)
    refusal = shared.client.score({})
    schema = answers["400"]["content"]["application/json"]["schema"]
    Draft202012Validator(_resolved(document, schema)).validate(refusal.json)


def test_the_classes_of_the_model_are_in_the_document(shared: Live) -> None:
    schemas = shared.client.get("/openapi.json").json["components"]["schemas"]
    assert schemas["Prediction"]["properties"]["label"]["enum"] == ["no", "yes"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_ask_nothing_of_other_hosts(shared: Live, path: str) -> None:
    answer = shared.client.get(path)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.body.decode())
    assert parts
    for part in parts:
        found = shared.client.get(part)
        assert found.status == 200
        assert shared.client.get(part, **{"If-None-Match": found.headers["etag"]}).status == 304
        assert not re.search(r"https?://(?!www\.w3\.org/)[a-z]", found.body.decode().replace("${base}", ""))


@pytest.fixture(scope="module")
def open_to_schemathesis(tmp_path_factory: pytest.TempPathFactory, bundles: list[Path]) -> Iterator[Live]:
    from deployments.endpoint import refused_keys
    from deployments.endpoint.settings import ServeSettings

    root = tmp_path_factory.mktemp("schemathesis")
    publish(root / "workspace", bundles[:1])
    given_settings = ServeSettings(
        workspace=str(root / "workspace"), name="slices", cache_root=root / "cache"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refused_keys, "FREE", 10_000)  # it shows wrong keys by the hundred
        with live(given_settings) as found:
            yield found


@pytest.mark.slow
def test_schemathesis_finds_nothing(open_to_schemathesis: Live) -> None:
    url = f"http://127.0.0.1:{open_to_schemathesis.client.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    # A text that fits the schema is seldom an image, and a row that does not fit it fails alone, with 200.
    names = ("negative_data_rejection", "positive_data_acceptance")
    excluded = [schemathesis.checks.CHECKS.get_one(name) for name in names]
    asked = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(
                base_url=url, headers={"Authorization": f"Bearer {PRIMARY}"}, excluded_checks=excluded
            )

        ask()
    assert asked > 100
