//! Whole swarms in one thread, decided by one seed.
