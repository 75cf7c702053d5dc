"""Runs the command ``gpustation`` as ``python -m gpustation``."""

from gpustation.cli.app import command

if __name__ == "__main__":
    command()
