"""The parts screens are made of. None of them knows the release, SQL or another part."""
