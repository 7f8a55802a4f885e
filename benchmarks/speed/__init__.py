"""Speed: what a bundle costs on this machine, where the time goes, and what bounds it."""
