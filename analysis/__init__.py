"""What the recorded doses, days and events mean: pure functions on plain numbers and polars frames."""
