"""The component documents of EC2 Image Builder, and an interpreter that runs them on a machine."""
