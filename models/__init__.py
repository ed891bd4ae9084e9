"""The networks, their trainers and their weights files."""
