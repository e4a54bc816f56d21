"""A reader of Holdfast vaults, written from docs/formats/ alone. See ../README.md."""
