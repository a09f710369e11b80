"""`make site`: the project as a static site, from its documents, changes and evidence. MkDocs runs in an environment of its own."""
