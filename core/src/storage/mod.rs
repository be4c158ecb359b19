//! Pieces as spans of files, disk jobs and memory budgets.
