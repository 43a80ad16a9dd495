//! STUN messages (RFC 8489) with the attributes of ICE and TURN (RFC 8445, RFC 8656), without allocation
