"""The words of records: the query language of the search box and its index on both databases."""
