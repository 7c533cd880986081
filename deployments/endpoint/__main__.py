"""`python -m deployments.endpoint`: the command that `lightbox serve` is."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter, validators
from pydantic import ValidationError

from deployments.command_line import run_command
from tasks.errors import ConfigError

app = App(name="serve", help="Answer predictions over HTTP with a model's champion.", version_flags=[])

Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=100))]


@app.default
def serve(
    *,
    workspace: Annotated[str, Parameter(help="Folder or fsspec URL of the workspace (az://..., /data/ws).")],
    name: Annotated[str, Parameter(help="The model's name in the registry; its champion is served.")],
    host: Annotated[
        str, Parameter(help="Address to listen on; other than this machine's own needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one and says which.")] = 8000,
    workers: Annotated[int, Parameter(help="Processes that share nothing but the cache.")] = 1,
    threads: Annotated[
        int | None, Parameter(help="Images judged at once in each worker [cores / workers].")
    ] = None,
    micro_batch: Annotated[
        Literal["auto", "on", "off"], Parameter(help="Judge waiting images together; auto: on a GPU only.")
    ] = "auto",
    key_file: Annotated[
        Path | None,
        Parameter(help="File of LIGHTBOX_PRIMARY_KEY=... lines, read again when it changes [environment]."),
    ] = None,
    challenger_percent: Annotated[
        Share | None,
        Parameter(help="Share of requests for the challenger; 0: only those that ask by header."),
    ] = None,
    mirror_percent: Annotated[
        Share, Parameter(help="Share of requests that the challenger judges too, for the log only.")
    ] = 0.0,
    poll_seconds: Annotated[float, Parameter(help="Pause between looks for a new champion.")] = 10.0,
    wait_for_champion: Annotated[
        bool, Parameter(negative=(), help="Start without a champion, and serve once one is promoted.")
    ] = False,
    drain_seconds: Annotated[
        float, Parameter(help="After SIGTERM: time in which requests are still taken.")
    ] = 2.0,
    log: Annotated[bool, Parameter(help="Log predictions to the workspace, hourly, as Parquet.")] = False,
    log_sampling: Annotated[float, Parameter(help="Share of the predictions that is logged, 0 to 1.")] = 1.0,
    log_images: Annotated[bool, Parameter(help="Also keep the image files themselves.")] = False,
    log_max_disk_mib: Annotated[
        int, Parameter(help="Most disk for what the workspace has not taken yet.")
    ] = 256,
    max_body_mib: Annotated[int, Parameter(help="Largest body of a request.")] = 32,
    max_rows: Annotated[int, Parameter(help="Most images in one request.")] = 32,
    max_pixels: Annotated[int, Parameter(help="Most pixels of one image.")] = 30_000_000,
    max_decoded_mib: Annotated[
        int, Parameter(help="Most memory for decoding at once in each worker; one image must fit.")
    ] = 1024,
    max_queue: Annotated[int, Parameter(help="Most images waiting or at work; above it: 429.")] = 128,
    answer_seconds: Annotated[float, Parameter(help="Time in which an answer must be found.")] = 30.0,
    debug: Annotated[bool, Parameter(negative=(), help="Show the traceback of an expected failure.")] = False,
) -> None:
    """Answer predictions over HTTP with a model's champion, until SIGTERM.

    POST /score (the Designer endpoint's and AutoML's JSON), POST /predict (files), GET / (a page to try it),
    GET /docs, /openapi.json, /metrics, /health/live, /health/ready. Keys: LIGHTBOX_PRIMARY_KEY and
    LIGHTBOX_SECONDARY_KEY; with none, this machine only is served.
    """
    del debug
    from deployments.endpoint.settings import Limits, LogSettings, ServeSettings

    try:
        settings = ServeSettings(
            workspace=workspace,
            name=name,
            host=host,
            port=port,
            workers=workers,
            threads=threads,
            micro_batch=micro_batch,
            key_file=key_file,
            challenger_percent=challenger_percent,
            mirror_percent=mirror_percent,
            poll_seconds=poll_seconds,
            wait_for_champion=wait_for_champion,
            drain_seconds=drain_seconds,
            log=LogSettings(sampling=log_sampling, images=log_images, max_disk_mib=log_max_disk_mib)
            if log
            else None,
            limits=Limits(
                max_body_mib=max_body_mib,
                max_rows=max_rows,
                max_pixels=max_pixels,
                max_decoded_mib=max_decoded_mib,
                max_queue=max_queue,
                answer_seconds=answer_seconds,
            ),
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][-1]).replace("_", "-") if first["loc"] else "the options"
        raise ConfigError(
            f"{option}: {first['msg']}", cure="see --help for what each option takes"
        ) from error
    from deployments.endpoint.server import serve as run

    run(settings)


if __name__ == "__main__":
    run_command(app)
