"""What flows to a client over time: events and downloads, bounded."""
