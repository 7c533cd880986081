"""The flow of images: every file stands in exactly one step, with the reason that comes first."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.flow import image_flow

_FILES = st.lists(
    st.tuples(
        st.sampled_from(["yes", "no", None]),
        st.sampled_from([None, "truncated", "too_small"]),
        *(st.booleans() for _ in range(4)),
        st.sampled_from(["p1", "p2", "p3", None]),
    ),
    min_size=1,
    max_size=30,
)


def _flow(files: list[tuple[str | None, str | None, bool, bool, bool, bool, str | None]]):  # type: ignore[no-untyped-def]
    listed = pd.DataFrame(
        [(str(i), file[0], file[6]) for i, file in enumerate(files)],
        columns=["path", "label", "patient"],
        dtype=object,
    )
    rejects = pd.DataFrame(
        [
            (str(i), "label_missing" if file[0] is None else file[1])
            for i, file in enumerate(files)
            if file[0] is None or file[1]
        ],
        columns=["path", "reason"],
    )
    usable = [(str(i), *file[2:5]) for i, file in enumerate(files) if file[0] is not None and not file[1]]
    rows = pd.DataFrame(usable, columns=["path", "conflict", "beside_test", "reported"])
    evaluated = [
        str(i)
        for i, file in enumerate(files)
        if file[0] is not None and not file[1] and file[5] and file[4] and not file[2] and not file[3]
    ]
    return image_flow(listed, rejects, rows, evaluated), evaluated


@given(_FILES)
def test_every_file_stands_in_one_step(
    files: list[tuple[str | None, str | None, bool, bool, bool, bool, str | None]],
) -> None:
    flow, evaluated = _flow(files)
    assert sum(step.images for step in flow.steps) == flow.images == len(files)
    kept = [step for step in flow.steps if step.kept]
    assert sum(step.images for step in kept) == len(evaluated)
    assert all(step.images > 0 for step in flow.steps)
    unlabelled = sum(file[0] is None for file in files)
    assert sum(step.images for step in flow.steps if step.what == "without a label") == unlabelled
    if any(file[6] is None for file in files):
        assert flow.patients is None and all(step.patients is None for step in flow.steps)
    else:
        assert flow.patients == len({file[6] for file in files})


def test_the_steps_say_why_in_order() -> None:
    flow, _ = _flow(
        [
            (None, None, False, False, True, False, "a"),
            ("yes", "truncated", False, False, True, False, "a"),
            ("yes", None, True, False, True, False, "b"),
            ("no", None, False, True, True, False, "b"),
            ("no", None, False, False, False, False, "c"),
            ("no", None, False, False, True, False, "d"),
            ("yes", None, False, False, True, True, "e"),
            ("yes", None, False, False, True, True, "e"),
        ]
    )
    assert [(step.what.split(":")[0], step.images, step.patients) for step in flow.steps] == [
        ("without a label", 1, 1),
        ("not usable", 1, 1),
        ("the same content under two labels", 1, 1),
        ("training images of the given split that touch the test part", 1, 1),
        ("for training only, outside the part that is reported on", 1, 1),
        ("no network may judge them", 1, 1),
        ("the figures are about these", 2, 1),
    ]
    assert flow.steps[-1].by_class == {"yes": 2} and flow.patients == 5
