"""Deployable units; they compose the constructs of gpustation and know where userdata/ is."""
