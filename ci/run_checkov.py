"""checkov over the templates of every variant: ``python -m ci.run_checkov``, in ``make check``.

checkov has an environment of its own, whose Python is the argument, because it needs other versions
than the project. It makes no network calls: it would only download texts for its findings.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.synthesis import make_app
from tests.support.variants import ALL_VARIANTS

OFFLINE = "--skip-download"
CONTROL = {"Resources": {"Open": {"Type": "AWS::S3::Bucket"}}}
"""A template with findings: without them checkov did not read the templates."""


def main(python: Path) -> int:
    """Exit status 0 if each finding is fixed or acknowledged beside its resource."""
    with tempfile.TemporaryDirectory() as folder:
        for variant, settings in ALL_VARIANTS.items():
            make_app(outdir=str(Path(folder, variant)), **settings).synth()
        control = Path(folder, "control.template.json")
        control.write_text(json.dumps(CONTROL))
        templates = sorted(Path(folder).rglob("*.template.json"))
        report = scan(python, Path(folder))
    failed = report["results"]["failed_checks"]
    ours = [row for row in failed if not row["file_path"].endswith(control.name)]
    for row in ours:
        print(f"{row['file_path']}: {row['resource']}: {row['check_id']} {row['check_name']}")
    faults = report["summary"]["parsing_errors"]
    if faults or len(failed) == len(ours):
        print(f"checkov did not read the templates: {faults} of {len(templates)} not parsed")
        return 1
    skipped = report["summary"]["skipped"]
    print(f"checkov: {len(templates) - 1} templates, {len(ours)} findings, {skipped} acknowledged")
    return 1 if ours else 0


def scan(python: Path, folder: Path) -> dict[str, Any]:
    """Checkov's report on the templates in a folder."""
    options = ["--framework", "cloudformation", "--compact", "--quiet", "--output", "json"]
    run = subprocess.run(
        [str(python), "-m", "checkov.main", "--directory", str(folder), OFFLINE, *options],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"checkov exited {run.returncode}: {run.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(run.stdout)
    return report


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
