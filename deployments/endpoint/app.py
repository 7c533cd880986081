"""The ASGI application: what each path answers."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.endpoint import traffic
from deployments.endpoint.admission import Gate
from deployments.endpoint.champion import Champion, Deployment, batches, stand_back
from deployments.endpoint.envelope import Envelope, Lifecycle
from deployments.endpoint.formats import Row, parse_score
from deployments.endpoint.judgement import Judged, Judges, judge
from deployments.endpoint.keys import KeyRing, Scope
from deployments.endpoint.measures import CONTENT_TYPE, Measures
from deployments.endpoint.model_facts import model_facts
from deployments.endpoint.openapi import document
from deployments.endpoint.pages import page_routes
from deployments.endpoint.prediction_log import LogRow, PredictionLog
from deployments.endpoint.refusal import JsonResponse, Refusal, refused
from deployments.endpoint.refused_keys import RefusedKeys
from deployments.endpoint.reports import CONTENT, Reports
from deployments.endpoint.served_model import ServedModel
from deployments.endpoint.settings import ServeSettings
from deployments.endpoint.uploads import parse_predict
from tasks.models.inference import available_cpus

CORRELATION_HEADER: Final = "x-correlation-id"
"""What a client calls a request by: kept in the log beside the request's own number."""

VERSION_HEADER: Final = "x-lightbox-model-version"
GPU_WIDTH: Final = 32
"""Threads where images are judged in micro-batches: enough to fill one while another is decoded."""

_MAX_MIRRORED: Final = 64
MAX_CORRELATION: Final = 128

logger = logging.getLogger("lightbox.endpoint")

Parsed = TypeVar("Parsed")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked, and under which numbers: ours, and the client's own."""

    request_id: str
    client: str
    correlation_id: str | None


class Endpoint:
    """Everything that a worker holds. `start` before the first request, `close` after the last."""

    def __init__(self, settings: ServeSettings, keys: KeyRing) -> None:
        width = settings.threads or (
            GPU_WIDTH if batches(settings) else max(1, available_cpus() // settings.workers)
        )
        self.settings, self.keys = settings, keys
        self.lifecycle = Lifecycle()
        self.refused_keys = RefusedKeys()
        self.measures = Measures()
        self.gate = Gate(settings.limits, width)
        self.judges = Judges(width, self.gate, self.measures, settings.limits.answer_seconds)
        self.champion = Champion(settings, self.measures, width)
        self.log = self._prediction_log()
        self._reports = Reports(settings.workspace, settings.name)
        self._parsers = ThreadPoolExecutor(1, "parse")
        self._mirrors = ThreadPoolExecutor(1, "mirror", initializer=stand_back)
        self._mirrored = 0

    def start(self) -> None:
        """Load the champion and begin to watch for the next one.

        Raises:
            LightboxError: there is none that verifies, and the settings do not say to wait for one.
        """
        self.champion.start()
        self.champion.watch()
        if self.log is not None:
            self.log.start()

    def close(self) -> None:
        """Stop the threads; what the log holds is written."""
        self.champion.close()
        self.judges.close()
        self._parsers.shutdown(cancel_futures=True)
        self._mirrors.shutdown(cancel_futures=True)
        if self.log is not None:
            self.log.close()

    async def score(self, request: Request) -> Response:
        """`POST /score`."""
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        self._require_key(request, "predict")
        if kind != "application/json":
            raise Refusal(
                415, "media_type", "send application/json; files go to /predict", field="Content-Type"
            )
        with self.gate.request() as buffer:
            asked = await self._parsed(parse_score, await buffer.read(request), self.settings.limits.max_rows)
            way, judged = await self._judged(request, asked.rows)
            classes = way.model.manifest.classes
            return self._answer(way, asked.render(asked.rows, [one.outcome for one in judged], classes))

    async def predict(self, request: Request) -> Response:
        """`POST /predict`."""
        self._require_key(request, "predict")
        with self.gate.request() as buffer:
            kind = request.headers.get("content-type", "application/octet-stream")
            explain = _flag(request, "explain")
            body, most = await buffer.read(request), self.settings.limits.max_rows
            rows = await self._parsed(parse_predict, body, kind, most)
            del body
            way, judged = await self._judged(request, rows, explain)
            threshold = way.model.manifest.threshold
            predictions = []
            for row, one in zip(rows, judged, strict=True):
                facts: dict[str, Any] = {**row.echo, "sha256": one.sha256, "model_version": way.model.version}
                if isinstance(one.outcome, Refusal):
                    facts |= {"error": one.outcome.facts()}
                else:
                    facts |= {
                        "label": one.outcome.label,
                        "probabilities": one.outcome.probabilities,
                        "threshold": threshold,
                    }
                    if explain:
                        facts["overlay"] = one.overlay
                predictions.append(facts)
            return self._answer(way, {"predictions": predictions})

    async def model(self, request: Request) -> Response:
        """`GET /model`."""
        self._require_key(request, "model")
        served: dict[Deployment, ServedModel | None] = {
            "champion": self.champion.model("champion"),
            "challenger": self.champion.model("challenger"),
        }
        return JsonResponse({name: model_facts(model) for name, model in served.items() if model is not None})

    async def report(self, request: Request) -> Response:
        """`GET /report.html`."""
        self._require_key(request, "model")
        asked = request.query_params
        return await self._reports.answer(asked.get("name"), asked.get("version"))

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        self._require_key(request, "metrics")
        return Response(self.measures.text(), headers={"content-type": CONTENT_TYPE})

    async def live(self, request: Request) -> Response:
        """`GET /health/live`."""
        del request
        return JsonResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """`GET /health/ready`."""
        model = self.champion.model("champion")
        if model is None or self.lifecycle.draining:
            reason = self.champion.missing
            if reason is not None and not self._shows_key(request):
                reason = self.champion.lacks
            status = "draining" if self.lifecycle.draining else "waiting" if reason else "loading"
            facts = {"status": status, **({"reason": reason} if status == "waiting" else {})}
            return JsonResponse(facts, 503, {"retry-after": "5"})
        if self.judges.is_stuck:
            return JsonResponse({"status": "busy"}, 503, {"retry-after": "5"})
        return JsonResponse({"status": "ready", "model_version": model.version})

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json` and `/swagger.json`; the classes' names for those who show a key."""
        model = self.champion.model("champion")
        classes = model.manifest.classes if model and self._shows_key(request) else ()
        return JsonResponse(document(classes, self.settings.limits, keyed=not self.keys.is_empty))

    async def _parsed(self, parse: Callable[..., Parsed], *arguments: Any) -> Parsed:
        """A body parsed beside the event loop, one at a time: each is held twice meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._parsers, parse, *arguments)

    async def _judged(
        self, request: Request, rows: Sequence[Row], explain: bool = False
    ) -> tuple[traffic.Route, list[Judged]]:
        way = traffic.route(
            self.champion,
            request.headers.get(traffic.HEADER),
            self.settings.challenger_percent,
            self.settings.mirror_percent,
        )
        judged = await self.judges.judge(way.model, rows, explain)
        asked = Asked(
            request.scope["state"]["request_id"],
            request.scope["state"]["client"],
            _correlation(request.headers.get(CORRELATION_HEADER)),
        )
        for one in judged:
            self._note(way.deployment, way.model, one, asked, mirrored=False)
        if way.mirror is not None:
            self._mirror(way.mirror, rows, asked)
        refusals = [one.outcome for one in judged if isinstance(one.outcome, Refusal)]
        if len(refusals) == len(judged):
            raise refusals[0]
        return way, judged

    def _note(
        self, deployment: Deployment, model: ServedModel, one: Judged, asked: Asked, *, mirrored: bool
    ) -> None:
        outcome = one.outcome
        if isinstance(outcome, Refusal):
            self.measures.rejected.labels(outcome.code).inc()
        else:
            name = "mirror" if mirrored else deployment
            self.measures.images.labels(name, outcome.label).inc()
        if self.log is None:
            return
        is_refusal = isinstance(outcome, Refusal)
        self.log.add(
            LogRow(
                time=time.time(),
                request_id=asked.request_id,
                client=asked.client,
                correlation_id=asked.correlation_id,
                sha256=one.sha256,
                deployment=deployment,
                version=model.version,
                mirrored=mirrored,
                label=None if isinstance(outcome, Refusal) else outcome.label,
                probabilities={} if isinstance(outcome, Refusal) else outcome.probabilities,
                rejected=outcome.code if isinstance(outcome, Refusal) else None,
                seconds=one.seconds,
                image=b"" if is_refusal else one.data,
            )
        )

    def _mirror(self, model: ServedModel, rows: Sequence[Row], asked: Asked) -> None:
        """Judge a copy when nothing else wants the processor; given up when too many wait."""
        for row in rows[: _MAX_MIRRORED - self._mirrored]:
            self._mirrored += 1
            job = self._mirrors.submit(judge, model, row)
            job.add_done_callback(lambda done: self._mirror_done(model, done, asked))

    def _mirror_done(self, model: ServedModel, job: Future[Judged], asked: Asked) -> None:
        self._mirrored -= 1
        if not job.cancelled() and job.exception() is None:
            self._note("challenger", model, job.result(), asked, mirrored=True)

    def _answer(self, way: traffic.Route, content: Any) -> Response:
        headers = {VERSION_HEADER: way.model.version, traffic.HEADER: way.deployment}
        return JsonResponse(content, headers=headers)

    def _shows_key(self, request: Request) -> bool:
        return self.keys.caller(request.headers.get("authorization")) is not None

    def _require_key(self, request: Request, scope: Scope) -> None:
        """Note who asks.

        Raises: Refusal without a key, or with one that does not open this.
        """
        caller = self.keys.caller(request.headers.get("authorization"))
        address = request.client.host if request.client else "unknown"
        if caller is None:
            self.measures.refused_keys.inc()
            shown = "authorization" in request.headers  # a page asks without one first, and guesses nothing
            wait = self.refused_keys.add(address, request.url.path) if shown else None
            if wait is not None:
                message = "too many keys were refused; ask again later, with the right one"
                raise Refusal(429, "unauthorized", message, headers={"retry-after": str(wait)})
            message = "send the header Authorization: Bearer <key> with a key of this endpoint"
            headers = {"www-authenticate": "Bearer"}
            raise Refusal(401, "unauthorized", message, field="Authorization", headers=headers)
        request.scope["state"]["client"] = caller.name
        self.measures.clients.labels(caller.name).inc()
        if scope not in caller.scopes:
            logger.warning(
                "the key of %s was refused for %s, from %s", caller.name, request.url.path, address
            )
            raise Refusal(403, "scope", f"this key does not open {scope}", field="Authorization")

    def _prediction_log(self) -> PredictionLog | None:
        if self.settings.log is None:
            return None
        champion_folder = self.champion.cache_folder
        return PredictionLog(
            self.settings.log,
            self.settings.workspace,
            self.settings.name,
            champion_folder / "log",
            self.measures,
        )


def build_app(endpoint: Endpoint) -> Starlette:
    """The application around a started endpoint."""
    posts: dict[str, Handler] = {"/score": endpoint.score, "/predict": endpoint.predict}
    gets: dict[str, Handler] = {
        "/model": endpoint.model,
        "/metrics": endpoint.metrics,
        CONTENT: endpoint.report,
        "/health/live": endpoint.live,
        "/health/ready": endpoint.ready,
        "/openapi.json": endpoint.openapi,
        "/swagger.json": endpoint.openapi,
    }
    routes = [
        *(Route(path, handler, methods=["POST"]) for path, handler in posts.items()),
        *(Route(path, handler, methods=["GET"]) for path, handler in gets.items()),
        *page_routes(),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        endpoint.close()

    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={Refusal: _refused, HTTPException: _unknown},
        middleware=[
            Middleware(
                Envelope,
                measures=endpoint.measures,
                lifecycle=endpoint.lifecycle,
                loopback_only=endpoint.keys.is_empty,
                paths=[route.path for route in routes],
            )
        ],
    )


def _correlation(given: str | None) -> str | None:
    """A client's own number, as far as it is one: printable, and not longer than a log may bear."""
    return given if given and len(given) <= MAX_CORRELATION and given.isprintable() else None


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "0")
    if value not in ("0", "1"):
        raise Refusal(400, "wrong_parameter", f"{name} is 0 or 1", field=name)
    return value == "1"


async def _refused(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, Refusal):
        raise error
    return refused(error)


async def _unknown(request: Request, error: Exception) -> Response:
    """404 and 405 in the form of every refusal."""
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: "no_such_path", 405: "method_not_allowed"}
    texts = {
        404: "no such path; GET /docs lists what there is",
        405: f"{request.url.path} does not take this method",
    }
    return refused(
        Refusal(
            error.status_code,
            codes.get(error.status_code, "http"),
            texts.get(error.status_code, str(error.detail)),
            headers=error.headers,
        )
    )
