"""The stacks that can be deployed, composed of the constructs of gpustation."""
