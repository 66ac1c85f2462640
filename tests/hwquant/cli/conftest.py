"""Running commands in the test's own process."""

import json

import pytest
from click.testing import CliRunner

from hwquant.cli import main
from hwquant.cli.outcome import KINDS


class Outcome:
    """What a command left: status, the JSON object of ``--json``, text of stdout and stderr."""

    def __init__(self, result):
        self.status, self.stdout, self.stderr = result.exit_code, result.stdout, result.stderr
        self.exception = result.exception

    @property
    def json(self):
        return json.loads(self.stdout)

    def fails(self, message, kind=None):
        """Asserts one error line with ``message``, status 2, and nothing on stdout but the JSON of it.

        No fault of hwquant's own, unless it is the ``kind`` that is wanted.
        """
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.stderr
        assert message in errors[0]
        assert kind == "internal" or "fault of its own" not in errors[0]
        assert self.status == 2
        if self.stdout:
            assert set(self.json) == {"error"}
            assert self.json["error"]["message"] == errors[0].removeprefix("error: ")
            assert self.json["error"]["kind"] in ([kind] if kind else set(KINDS) - {"internal"})
        return self


@pytest.fixture(scope="session")
def hwquant():
    """``hwquant("evaluate", path, ...)``; the outcome."""

    def run(*arguments):
        result = CliRunner().invoke(main, [str(item) for item in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result)

    return run


@pytest.fixture(scope="session")
def network(digits_qgraph, tmp_path_factory):
    """net.hwq of the demo network."""
    from hwquant import hwq

    path = tmp_path_factory.mktemp("network") / "net.hwq"
    hwq.save(digits_qgraph, path)
    return path
