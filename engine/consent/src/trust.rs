//! Whose word counts: pinned anchors, certificate chains, revocation.
