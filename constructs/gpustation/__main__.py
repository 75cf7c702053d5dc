"""``python -m gpustation``, the same as the command ``gpustation``."""

from gpustation.cli.app import command

if __name__ == "__main__":
    command()
