"""Packages that pyproject.toml cannot express: userdata/ is installed as gpustation.userdata."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("constructs"), "gpustation.userdata"],
    package_dir={"": "constructs", "gpustation.userdata": "userdata"},
    package_data={
        "gpustation": ["py.typed", "catalog/*.csv", "leftovers/*.csv", "cli/schemas/*.json"],
        "gpustation.userdata": ["*", "**/*"],
    },
    exclude_package_data={"gpustation.userdata": ["**/__pycache__/*"]},
)
