"""What people decided, and which of their labels the machine had a say in."""

from support.samples.decisions import digest, say

from tasks.labelling.consensus import verdicts
from tasks.labelling.settings import AgreementRule
from tasks.labelling.standing import Standing


def test_labels_keep_how_their_images_came_to_be_asked_about() -> None:
    decisions = (
        say("ann", "yes", "drawn", reason="random", selection_probability=0.1),
        say("ann", "yes", "unsure", reason="uncertain"),
        say("ann", "no", "confirmed", reason="unlabelled", suggested="no"),
        say("ann", "no", "corrected", reason="unlabelled", suggested="yes"),
        say("ann", "no", "imported"),
        say("ann", None, "rejected", reason="uncertain"),
    )
    rule = AgreementRule()
    standing = Standing(decisions, rule, verdicts(decisions, rule))
    assert standing.chosen == {digest(name) for name in ("unsure", "confirmed", "corrected")}
    assert standing.confirmed == {digest("confirmed")}
    figures = standing.figures()
    assert figures is not None
    assert (figures.labelled, figures.at_random, figures.chosen, figures.confirmed) == (5, 1, 3, 1)
    assert "3 chosen by the machine or for a doubt, 1 suggested by the machine and confirmed" in figures.words
