"""`./dev try-install`: docs/install.md, command by command, on three bare Debian 12 machines."""
