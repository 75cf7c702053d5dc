"""Role of acceptance runs, which show on AWS what an embedded AWS cannot."""
