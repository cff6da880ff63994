//! What follows from statements: whether a site may release, bind or forget.
