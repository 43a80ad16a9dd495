//! Interactive Connectivity Establishment (RFC 8445): a sans-IO agent with trickle, consent and restarts
