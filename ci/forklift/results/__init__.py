"""What a result looks like to a reader: lines, tables, reports, bundles."""
