"""What every room may use: errors, files, configuration, commands. It imports no other room, and no torch."""
