"""The parts of `hostile_campaign.py`: one module per group of kinds, and what they share."""
