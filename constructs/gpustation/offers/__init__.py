"""What AWS offers in a region: prices, zones, quotas."""
