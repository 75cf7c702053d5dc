"""Reaching the machine: its host keys, SSH over two routes, tunnels, and the rules of port 22."""
