"""Code imported from a source folder, where superdyn is no installed distribution, says so in its records."""

import importlib.metadata
import json
import subprocess
import sys

from superdyn.installed import installed_version, named_version

NOT_INSTALLED = """
import importlib.metadata, json
real = importlib.metadata.distribution

def without_superdyn(name):
    if name == "superdyn":
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)

importlib.metadata.distribution = without_superdyn
from superdyn.runs.drift import drift_of
from superdyn.runs.environment import describe_environment
assert not drift_of({"run": describe_environment({})})
print(json.dumps(describe_environment({})["versions"]))
"""


def test_versions_are_those_of_the_metadata():
    assert installed_version("numpy") == importlib.metadata.version("numpy")
    assert named_version("none", installed_version("no-such-distribution")) == "none not installed"


def test_a_run_from_a_source_folder_records_that_superdyn_is_not_installed():
    # In a process of its own: what is known of the code is kept for the life of a process.
    done = subprocess.run([sys.executable, "-c", NOT_INSTALLED], capture_output=True, text=True, check=True)
    versions = json.loads(done.stdout)
    assert versions["superdyn"] is None
    assert versions["torch"] == importlib.metadata.version("torch")
