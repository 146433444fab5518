//! A scripted destination for tests.
