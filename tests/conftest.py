"""Guards the layout before anything imports CDK, then holds what the suites share."""

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = ("tests.tiers",)

# A shell's background job, and nohup, ignore some; what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

ROOT = Path(__file__).parent.parent
os.environ |= {"GIT_CONFIG_GLOBAL": str(ROOT / "tests/gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}

if (ROOT / "constructs" / "__init__.py").exists():
    pytest.exit(
        "delete constructs/__init__.py: it hides the PyPI package constructs, which aws-cdk-lib "
        "needs (docs/decisions/0001-constructs-is-a-source-root.md)",
        returncode=4,
    )

from localaws.isolation import isolate  # noqa: E402

isolate()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
