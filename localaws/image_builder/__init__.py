"""EC2 Image Builder as the construct GpuImage uses it, with its interpreter of components."""
