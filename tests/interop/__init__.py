"""What other people's files and programs make of ours and we of theirs: docs/interop.md."""
