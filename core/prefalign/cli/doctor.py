"""`prefalign doctor`: versions, devices, known breakages and the plugins' own checks, examined in a child process."""

import argparse
import json
import subprocess
import sys

from prefalign.cli.table import render_table


def main(arguments: list[str]) -> int:
    """Print the report; the exit code is 1 if something the core needs is broken, whatever the plugins say."""
    parser = argparse.ArgumentParser(prog="prefalign doctor", description="Examine the installation and the machine.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    child = subprocess.run(
        [sys.executable, "-m", "prefalign.cli.diagnosis"], capture_output=True, text=True, check=False
    )
    findings = [json.loads(line) for line in child.stdout.splitlines()]
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        after = findings[-1]["name"] if findings else "the start"
        text = f"the examination died after {after!r} with code {child.returncode}: {last}"
        findings.append({"name": "doctor", "state": "error", "text": text})
    if options.json:
        print(json.dumps(findings, indent=2, ensure_ascii=False))
    else:
        print(render_table(("what", "state", "finding"), [(f["name"], f["state"], f["text"]) for f in findings]))
    return 1 if any(f["state"] == "error" for f in findings) else 0
