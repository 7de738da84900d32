"""What people see: the command line and the full-screen app."""
