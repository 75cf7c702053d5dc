"""The command ``gpustation``, with a module for each subcommand that parses and prints."""
