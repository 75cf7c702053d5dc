"""An acceptance run that nobody made, for the tests of its file and its pages."""

from __future__ import annotations

import dataclasses
from typing import Any

from acceptance.evidence import Evidence, PartResult, ProbeAnswer, Usd
from acceptance.questions import QUESTIONS

EMBEDDED = {"where": "embedded", "machine": "record"}


def evidence(**changes: Any) -> Evidence:
    """A run on AWS with two parts and one question."""
    deploy = PartResult(
        part="deploy",
        what="cdk deploy",
        verdict="shown",
        why="",
        seconds=803.4,
        usd=0.12,
        evidence={"ready": "Tesla T4, driver 580.126.09, MXNet 1.9.1", "gpus": 1},
    )
    spot = PartResult("spot", "a spot machine", "not shown", "no spot quota", 0, 0, {})
    probe = ProbeAnswer("S5", QUESTIONS["S5"].text, "no", "the agent was connected after 3 s")
    run = Evidence(
        where="aws",
        date="2026-12-01",
        region="eu-central-1",
        instance_type="g4dn.xlarge",
        framework="mxnet",
        version="0.1.0",
        commit="0123456789ab",
        machine="ec2",
        seconds=5400.5,
        usd=Usd(1.5, 4, 1.2),
        parts=(deploy, spot),
        probes=(probe,),
        leftovers=(),
        bill=(("Amazon Elastic Compute Cloud", 1.25),),
    )
    return dataclasses.replace(run, **changes)
