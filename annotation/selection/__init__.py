"""Selection of the candidates on each slate and of the order of slates: vectors, filters, k-medoids, coverage."""
