"""What the constructs share at synth: assets, functions, user data, acknowledgements."""
