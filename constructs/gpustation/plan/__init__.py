"""Predicts the effect of a deploy on the workstation, without changing anything."""
