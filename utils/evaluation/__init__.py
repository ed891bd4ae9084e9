"""Scores of networks: metrics, scoring, reports and plots."""
