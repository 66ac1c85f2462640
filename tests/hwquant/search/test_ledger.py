"""Each configuration is evaluated once."""

from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.search.ledger import Ledger


class Backwards:
    """Workers that answer in the reverse order, and remember what they were asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, configurations):
        self.asked += configurations
        for index in reversed(range(len(configurations))):
            yield index, Outcome({"accuracy": configurations[index][0] / 8})


def outcomes(ledger):
    return [(key, value.measures["accuracy"]) for key, value in ledger.outcomes.items()]


def make(journal=None, watch=None, measured=("accuracy",)):
    workers = Backwards()
    return workers, Ledger(workers, journal or Journal(None, {}, 1, False), measured, watch)


def test_outcomes_are_in_the_order_of_asking():
    workers, ledger = make()
    answers = ledger.evaluate([(4,), (8,), (4,), (2,)])
    assert [item.measures["accuracy"] for item in answers] == [0.5, 1.0, 0.5, 0.25]
    assert outcomes(ledger) == [((4,), 0.5), ((8,), 1.0), ((2,), 0.25)]
    assert workers.asked == [(4,), (8,), (2,)]


def test_nothing_is_asked_twice():
    workers, ledger = make()
    ledger.evaluate([(4,), (8,)])
    assert ledger.new([(8,), (2,), (2,)]) == [(2,)]
    ledger.evaluate([(8,), (2,)])
    assert workers.asked == [(4,), (8,), (2,)]


def test_what_the_journal_holds_is_not_evaluated_and_changes_no_order(tmp_path):
    with Journal(tmp_path / "journal", {}, 1, False) as journal:
        make(journal)[1].evaluate([(2,), (8,)])
    workers, ledger = make(Journal(tmp_path / "journal", {}, 1, True))
    ledger.evaluate([(4,), (8,), (2,)])
    assert workers.asked == [(4,)]
    assert outcomes(ledger) == [((4,), 0.5), ((8,), 1.0), ((2,), 0.25)]


def test_outcomes_that_lack_a_measure_are_evaluated_again_but_not_failures():
    journal = Journal(None, {}, 1, False)
    journal.add((2,), Outcome({"cycles": 7}))
    journal.add((4,), Outcome(error="does not fit"))
    workers, ledger = make(journal)
    ledger.evaluate([(2,), (4,)])
    assert workers.asked == [(2,)]


def test_outcomes_are_kept_and_shown_as_they_come():
    journal, seen = Journal(None, {}, 1, False), []

    def watch(configuration, outcome, done):
        seen.append((configuration, done, configuration in journal.outcomes))

    make(journal, watch)[1].evaluate([(4,), (8,)])
    assert seen == [((8,), 1, True), ((4,), 2, True)]
