"""``python -m gpustation.plan``: the plan in plain words, with an exit status for each kind."""

from __future__ import annotations

import argparse

from botocore.exceptions import BotoCoreError

from gpustation.aws.session import explain, make_session
from gpustation.console.interrupts import end, leave, listening, say, warn
from gpustation.plan.judgement import Effect
from gpustation.plan.make import PlanError, make_plan

FAILED = 1


def _parser() -> argparse.ArgumentParser:
    statuses = "\n".join(f"  {one.status:3}  {one.word}: {one.meaning}" for one in Effect)
    parser = argparse.ArgumentParser(
        prog="python -m gpustation.plan",
        description="Says what a deploy would do to the workstation. Nothing is changed.",
        epilog=f"exit status:\n{statuses}\n    1  no answer\n    2  wrong usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c",
        "--context",
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="a setting, as for `cdk deploy`; may be repeated",
    )
    parser.add_argument("-a", "--app", default="", help="the app, or its cloud assembly")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=[one.word for one in Effect if one not in (Effect.NOTHING, Effect.REFUSED)],
        help="end with 0 for this answer too; may be repeated",
    )
    return parser


def _assignment(text: str) -> str:
    key, equals, _ = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no KEY=VALUE, and the CDK CLI would ignore it; e.g. -c disk_gib=100"
        )
    return text


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(words)
    with listening():
        try:
            plan = make_plan(make_session(), app=args.app, context=args.context)
        except KeyboardInterrupt as interrupt:
            return end("plan", interrupt)
        except PlanError as error:
            warn(f"plan: {error}")
            return FAILED
        except BotoCoreError as error:
            warn(f"plan: {explain(error)}")
            return FAILED
    say(str(plan))
    return 0 if plan.effect.word in args.allow else plan.effect.status


if __name__ == "__main__":
    leave(main())
