"""Machines that boot: real systemd and cloud-init in Linux namespaces, for root on Linux."""
