"""The command ``gpustation``: one file for each verb, which parses and prints."""
