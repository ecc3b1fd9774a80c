//! The token rule: how many requests a limit still allows, and when; pure.
