"""cdk-nag, the built-in validation and cfn-lint over the real app, in every variant."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import cdk_nag
import pytest

from tests.support.synthesis import make_app
from tests.support.variants import ALL_VARIANTS, IMAGE_VARIANTS, ROLE_VARIANTS, VARIANTS


def findings(app: cdk.App, folder: Path) -> list[str]:
    """Violations that are not acknowledged, without our own annotations."""
    report = folder / "validation-report.json"
    with contextlib.suppress(RuntimeError):  # raised after the report is written
        app.synth()
    unacknowledged = []
    for plugin in json.loads(report.read_text()).get("pluginReports", []):
        name = plugin.get("pluginName") or plugin["summary"]["pluginName"]
        unacknowledged += [
            f"{name}: {violation['ruleName']}: {violation.get('description', '')}"
            for violation in plugin.get("violations", [])
            if "Annotation" not in name
        ]
    return unacknowledged


@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_cdk_nag_finds_nothing_that_is_not_acknowledged(variant: str, tmp_path: Path) -> None:
    app = make_app(outdir=str(tmp_path), **ALL_VARIANTS[variant])
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks())
    assert findings(app, tmp_path) == []


def test_cdk_nag_does_look(tmp_path: Path) -> None:
    app = make_app(outdir=str(tmp_path))
    cdk.aws_ec2.Vpc(app.node.find_child("GpuWorkstation"), "Open", max_azs=1)  # type: ignore[arg-type]
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks())
    assert any("VPC7" in finding for finding in findings(app, tmp_path))


@pytest.mark.tier("all")
def test_the_built_in_validation_finds_nothing(tmp_path: Path, root: Path) -> None:
    """As ``cdk synth`` runs it: all variants in one app, default rules on."""
    program = (
        "import sys, json\n"
        "from tests.support.synthesis import make_app\n"
        "from tests.support.variants import ALL_VARIANTS\n"
        "for name, settings in ALL_VARIANTS.items():\n"
        "    make_app(outdir=f'{sys.argv[1]}/{name}', validate=True, **settings).synth()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "CloudFormation Validate" not in run.stderr


NOT_ASKED = {
    "W3005": "CDK writes dependencies that a reference already enforces",
    "E6101": "its schema calls WaitCondition's Data an object; CloudFormation returns text",
}


@pytest.mark.tier("all")
def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    for variant, settings in ALL_VARIANTS.items():
        make_app(outdir=str(tmp_path / variant), **settings).synth()
    workstations = [f"{variant}/GpuWorkstation" for variant in VARIANTS]
    images = [f"image-{variant}/assembly-Image/ImageGpuImage*" for variant in IMAGE_VARIANTS]
    roles = [f"role-{variant}/assembly-Ci/CiGpu*Role*" for variant in ROLE_VARIANTS]
    templates = [
        str(path)
        for pattern in workstations + images + roles
        for path in tmp_path.glob(f"{pattern}.template.json")
    ]
    assert len(templates) == len(ALL_VARIANTS) + len(ROLE_VARIANTS), "two roles in each of these"
    lint = "import sys; from cfnlint.runner import main; sys.exit(main())"
    options = ["--regions", "us-east-1", "--ignore-checks", *NOT_ASKED, "--"]
    run = subprocess.run(
        [sys.executable, "-c", lint, *options, *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
