//! Networks in virtual time, and the laws that every protocol machine obeys (tests only)
