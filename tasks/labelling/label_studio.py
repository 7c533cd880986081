"""Label Studio through its HTTP API, version 1.23 (https://api.labelstud.io): projects, tasks, suggestions, answers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import httpx

from tasks.errors import LabellingError, LabelStudioUnavailable
from tasks.labelling.label_studio_records import (
    Entered,
    NewTask,
    SuggestedLabel,
    Task,
    as_prediction,
    as_task,
    chosen,
)
from tasks.labelling.project import REJECTED

TOKEN_VARIABLE: Final = "LIGHTBOX_LABEL_STUDIO_TOKEN"  # noqa: S105 - its name
TIMEOUT_SECONDS: Final = 60.0
ATTEMPTS: Final = 4
PAGE: Final = 200
UPLOADED_AT_ONCE: Final = 20
IMPORTED_AT_ONCE: Final = 100
_BUSY: Final = frozenset({429, 502, 503, 504})
_SAFE: Final = frozenset({"GET", "PATCH", "DELETE"})


class LabelStudio:
    """A connection, closed at the end of its `with`. The token is shown in no message.

    Every method raises LabelStudioUnavailable when the server is away or refuses the token, and LabellingError when it
    refuses what was asked.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Token {token}"}, timeout=TIMEOUT_SECONDS
        )
        self._people: dict[int, str] | None = None

    def __enter__(self) -> "LabelStudio":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def project_url(self, project: int) -> str:
        """Where people open a project."""
        return f"{self.url}/projects/{project}/data"

    def find_project(self, mark: str) -> int | None:
        """The project whose description ends with a mark, the first one made; so a killed start finds its own."""
        numbers = [
            int(row["id"])
            for row in self._pages("/api/projects/", {"include": "id,description"})
            if str(row.get("description") or "").endswith(mark)
        ]
        return min(numbers, default=None)

    def has_project(self, project: int) -> bool:
        """Whether it is still there."""
        answer = self._asked("GET", f"/api/projects/{project}/", accept=frozenset({404}))
        return answer.status_code != httpx.codes.NOT_FOUND

    def create_project(self, **settings: Any) -> int:
        """A new project; its number."""
        return int(self._asked("POST", "/api/projects/", json=settings).json()["id"])

    def change_project(self, project: int, **settings: Any) -> None:
        """Change a project's settings; a page that no longer fits the answers given is refused."""
        self._asked("PATCH", f"/api/projects/{project}/", json=settings)

    def project_settings(self, project: int) -> dict[str, Any]:
        """All settings of a project."""
        return dict(self._asked("GET", f"/api/projects/{project}/").json())

    def offered(self, project: int) -> tuple[str, ...] | None:
        """The answers that a project's page offers, rejection among them; None where it asks for no label."""
        asked = self.project_settings(project)["parsed_label_config"].get("label")
        return None if asked is None else tuple(asked["labels"])

    def delete_project(self, project: int) -> None:
        """Remove a project with all that stands in it."""
        self._asked("DELETE", f"/api/projects/{project}/", accept=frozenset({404}))

    def tasks(self, project: int) -> list[Task]:
        """All tasks of a project, in the order in which they were made, with answers and suggestions."""
        rows = self._pages("/api/tasks/", {"project": project, "fields": "all"}, "tasks")
        return sorted((self._task(row) for row in rows), key=lambda task: task.id)

    def upload(self, project: int, files: Mapping[str, bytes]) -> dict[str, str]:
        """Put image files where only people who are logged in can see them; the address of each by its name.

        Files that stand there already under their names are not put again.
        """
        held = self._uploads(project)
        missing = [name for name in files if name not in held]
        for start in range(0, len(missing), UPLOADED_AT_ONCE):
            some = missing[start : start + UPLOADED_AT_ONCE]
            parts = [(name, (name, files[name])) for name in some]
            self._asked(
                "POST", f"/api/projects/{project}/import", params={"commit_to_project": "false"}, files=parts
            )
        if missing:
            held = self._uploads(project)
        return {name: held[name] for name in files}

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> None:
        """Make tasks, in this order."""
        for start in range(0, len(tasks), IMPORTED_AT_ONCE):
            body = [as_task(task) for task in tasks[start : start + IMPORTED_AT_ONCE]]
            self._asked("POST", f"/api/projects/{project}/import", json=body)

    def change_task(self, task: int, **fields: Any) -> None:
        """Change a task's fields."""
        self._asked("PATCH", f"/api/tasks/{task}/", json=fields)

    def delete_tasks(self, project: int, tasks: Sequence[int]) -> None:
        """Remove tasks."""
        self._act(project, "delete_tasks", tasks)

    def replace_suggestions(self, project: int, suggestions: Mapping[int, SuggestedLabel | None]) -> None:
        """Give tasks these suggestions and no others."""
        self._act(project, "delete_tasks_predictions", list(suggestions))
        body = [{"task": task, **as_prediction(one)} for task, one in suggestions.items() if one is not None]
        for start in range(0, len(body), IMPORTED_AT_ONCE):
            self._asked(
                "POST",
                f"/api/projects/{project}/import/predictions",
                json=body[start : start + IMPORTED_AT_ONCE],
            )

    def _act(self, project: int, action: str, tasks: Sequence[int]) -> None:
        if tasks:
            self._asked(
                "POST",
                "/api/dm/actions/",
                params={"id": action, "project": project},
                json={
                    "selectedItems": {"all": False, "included": list(tasks)},
                    "filters": {"conjunction": "and", "items": []},
                },
            )

    def _uploads(self, project: int) -> dict[str, str]:
        """Address of each uploaded file by the name it was given; Label Studio puts eight digits before it."""
        rows = self._asked("GET", f"/api/projects/{project}/file-uploads", params={"all": "true"}).json()
        return {str(row["file"]).rpartition("/")[2].partition("-")[2]: f"/data/{row['file']}" for row in rows}

    def _task(self, row: Mapping[str, Any]) -> Task:
        data, meta = row.get("data") or {}, row.get("meta") or {}
        suggestions = {
            str(one["model_version"]): chosen(one.get("result") or ())
            for one in row.get("predictions") or ()
            if one.get("model_version")
        }
        model = max(suggestions, default=None)
        return Task(
            id=int(row["id"]),
            sha256=str(data.get("sha256") or ""),
            path=str(meta.get("path") or ""),
            overlap=int(row.get("overlap") or 1),
            answers=tuple(self._entered(one) for one in row.get("annotations") or ()),
            model=model,
            data=data,
            reason=meta.get("reason"),
            selection_probability=meta.get("selection_probability"),
            suggested=None if model is None else suggestions[model],
        )

    def _entered(self, row: Mapping[str, Any]) -> Entered:
        choice = chosen(row.get("result") or ())
        return Entered(
            annotation=int(row["id"]),
            by=self._person(row.get("completed_by")),
            label=None if choice == REJECTED else choice,
            skipped=bool(row.get("was_cancelled")) or choice is None,
            updated=datetime.fromisoformat(str(row["updated_at"])),
            seconds=row.get("lead_time"),
        )

    def _person(self, completed_by: Any) -> str:
        """The address of who answered; Label Studio gives a number or a record."""
        if isinstance(completed_by, dict):
            completed_by = completed_by.get("id")
        if self._people is None or completed_by not in self._people:
            rows = self._asked("GET", "/api/users/").json()
            self._people = {int(row["id"]): str(row["email"] or row["username"]) for row in rows}
        return self._people.get(completed_by, f"user {completed_by}")

    def _pages(self, path: str, params: Mapping[str, Any], rows: str = "results") -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            # A page beyond the last one is answered with 404.
            answer = self._asked(
                "GET", path, params={**params, "page": page, "page_size": PAGE}, accept=frozenset({404})
            )
            found = [] if answer.status_code == httpx.codes.NOT_FOUND else answer.json()[rows]
            yield from found
            if len(found) < PAGE:
                return
            page += 1

    def _asked(
        self, method: str, path: str, *, accept: frozenset[int] = frozenset(), **content: Any
    ) -> httpx.Response:
        """An answer, asked for again where that does no harm and the server is busy."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1 or method not in _SAFE
            try:
                answer = self._http.request(method, path, **content)
            except httpx.TransportError as error:
                if last or isinstance(error, httpx.ConnectError):
                    raise LabelStudioUnavailable(
                        f"Label Studio at {self.url} does not answer ({type(error).__name__})",
                        cure="start it, or check the URL; then run the same command again: it goes on where it stopped",
                    ) from None
            else:
                if answer.status_code not in _BUSY or last:
                    return self._checked(answer, accept)
            time.sleep(0.5 * 2**attempt)
        raise AssertionError("the last attempt answers or raises")

    def _checked(self, answer: httpx.Response, accept: frozenset[int]) -> httpx.Response:
        code, what = answer.status_code, f"{answer.request.method} {answer.request.url.path}"
        if answer.is_success or code in accept:
            return answer
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise LabelStudioUnavailable(
                f"Label Studio at {self.url} refuses the token ({code} to {what})",
                cure=f"put the access token of an account there (Account & Settings) into {TOKEN_VARIABLE}; legacy "
                "tokens must be allowed in its organisation's settings",
            )
        if code in _BUSY:
            raise LabelStudioUnavailable(
                f"Label Studio at {self.url} is busy or in trouble ({code} to {what})",
                cure="run the same command again later: it goes on where it stopped",
            )
        raise LabellingError(
            f"Label Studio at {self.url} refuses {what} ({code}): {_said(answer)}",
            cure="look at the project in Label Studio: was it changed or removed by hand? `lightbox label start` puts "
            "its page back and makes it again where it is gone",
        )


def _said(answer: httpx.Response) -> str:
    """What the server said, short."""
    try:
        content = answer.json()
    except ValueError:
        return answer.reason_phrase
    detail = (
        content.get("validation_errors") or content.get("detail") if isinstance(content, dict) else content
    )
    return str(detail)[:300]
