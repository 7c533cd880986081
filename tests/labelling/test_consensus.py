"""Review over people, people over the machine, later over earlier; a majority decides, and a tie is never decided."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples.decisions import digest, say

from tasks.labelling.consensus import Verdict, verdicts
from tasks.labelling.decision import Decision
from tasks.labelling.settings import AgreementRule

ONE, UP_TO_THREE = AgreementRule(), AgreementRule(min_labellers=2, max_labellers=3)


def verdict(*decisions: Decision, rule: AgreementRule = ONE) -> Verdict:
    return verdicts(decisions, rule)[digest("a")]


def test_one_answer_is_enough_where_one_is_asked_for() -> None:
    assert verdict(say("ann", "yes")).label == "yes"
    assert verdict(say("ann", None)).state == "rejected"
    assert verdict(say("ann", None)).why_without_label == "rejected by ann"


def test_a_person_may_think_again() -> None:
    found = verdict(say("ann", "yes"), say("ann", "no"))
    assert (found.state, found.label, len(found.votes)) == ("labelled", "no", 1)


def test_a_person_is_above_the_machine_whoever_was_later() -> None:
    machine = say("probe-1", "yes", source="machine", probability=0.99)
    found = verdict(say("ann", "no"), machine)
    assert found.label == "no" and found.suggestion is not None and found.suggestion.label == "yes"
    assert verdict(machine).state == "open"


def test_a_review_is_above_all_and_the_last_one_counts() -> None:
    both = (say("ann", "yes"), say("bob", "no"))
    assert verdict(*both).state == "disputed"
    assert verdict(*both).why_without_label == "disputed: 1 × no, 1 × yes; waits for a review"
    assert verdict(*both, say("eve", "no", review=True), say("ann", "yes")).label == "no"
    assert verdict(*both, say("eve", "no", review=True), say("eve", None, review=True)).state == "rejected"


def test_more_people_are_asked_until_there_is_a_majority() -> None:
    first = verdict(say("ann", "yes"), rule=UP_TO_THREE)
    assert (first.state, first.labellers_wanted) == ("open", 2)
    tied = verdict(say("ann", "yes"), say("bob", "no"), rule=UP_TO_THREE)
    assert (tied.state, tied.labellers_wanted) == ("open", 3)
    assert verdict(say("ann", "yes"), say("bob", "no"), say("eve", "no"), rule=UP_TO_THREE).label == "no"
    three_ways = verdict(say("ann", "a"), say("bob", "b"), say("eve", "c"), rule=UP_TO_THREE)
    assert (three_ways.state, three_ways.labellers_wanted) == ("disputed", 0)


def test_a_skip_is_no_vote() -> None:
    assert verdict(say("ann", None, answer="skip")).state == "skipped"
    found = verdict(say("ann", None, answer="skip"), say("bob", "yes"))
    assert found.label == "yes" and found.skipped_by == {"ann"}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None])), max_size=7))
def test_the_order_of_reading_changes_nothing_and_a_winner_has_more_than_half(
    answers: list[tuple[str, str | None]],
) -> None:
    decisions = [say(by, label) for by, label in answers]
    if not decisions:
        assert verdicts(decisions, UP_TO_THREE) == {}
        return
    found = verdict(*decisions, rule=UP_TO_THREE)
    for other in list(permutations(decisions))[:6]:
        assert verdict(*other, rule=UP_TO_THREE) == found
    if found.state in ("labelled", "rejected"):
        winners = [vote for vote in found.votes.values() if vote.label == found.label]
        assert 2 * len(winners) > len(found.votes) >= UP_TO_THREE.min_labellers


def test_a_rule_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="max_labellers 1 is below min_labellers 2"):
        AgreementRule(min_labellers=2, max_labellers=1)
