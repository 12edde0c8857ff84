"""The commands `llem-cli study ...`, one file each."""
