"""One workstation with PyTorch, in three lines."""

from aws_cdk import App, Stack

from gpustation import Framework, GpuWorkstation

app = App()
stack = Stack(app, "Research")
GpuWorkstation(stack, "Gpu", instance_type="g5.xlarge", framework=Framework.PYTORCH)
app.synth()
