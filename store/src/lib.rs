//! Stands empty until its first file.
