//! The bodies of the fuzz targets, which stable tests replay.
