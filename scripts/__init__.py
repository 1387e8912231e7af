"""One click command a file: parse, one library call, print. Ships under the import name `featstore_scripts`."""
