//! What makes a message recognisable: as the same one, and as ours.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::transition::{Step, identity};

/// The header with a message's id: the same each time that the same message is sent.
pub const DELIVERY: &str = "x-faultline-delivery";
/// The header with the HMAC-SHA256 of a message's body: `sha256=<hex>`.
pub const SIGNATURE: &str = "x-faultline-signature";

/// The id of a message: 128 bits of a hash of receiver, incident and what it tells.
#[must_use]
pub fn delivery(receiver: &str, step: &Step) -> String {
    let mut hash = Sha256::new();
    hash.update(receiver.as_bytes());
    hash.update([0]);
    hash.update(identity(step).as_bytes());
    hex::encode(&hash.finalize()[..16])
}

/// Signs bodies with a secret that the receiver has as well.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// A signer with this secret, of any length; `None` where the algorithm does not take it.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        Hmac::new_from_slice(secret.as_bytes()).ok().map(Self)
    }

    /// The value of the [`SIGNATURE`] header for a body.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        let mut code = self.0.clone();
        code.update(body);
        format!("sha256={}", hex::encode(code.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(***)")
    }
}

#[cfg(test)]
mod tests {
    use faultline_contracts::incident::{Incident, IncidentStatus};

    use super::*;
    use crate::webhook::{
        message::tests::incident,
        settings::Format,
        transition::{Now, steps},
    };

    #[test]
    fn signatures_are_hmac_sha256() {
        // RFC 4231, test cases 2 and 6 (a key longer than a block).
        let sign = |secret: &str, body: &[u8]| Signer::new(secret).unwrap().sign(body);
        assert_eq!(
            sign("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_ne!(sign(&"k".repeat(131), b"x"), sign(&"k".repeat(130), b"x"));
    }

    #[test]
    fn a_message_keeps_its_id_until_it_tells_something_else() {
        let id = |receiver, incident: &Incident, cause| {
            let step = steps(Format::Json, None, Now { incident, cause, retracted: false }).remove(0);
            delivery(receiver, &step)
        };
        let open = incident();
        let grown = Incident { evidence_count: 2_000, ..open.clone() };
        assert_eq!(id("ops", &open, None), id("ops", &grown, None), "counts are no news");
        assert_eq!(id("ops", &open, None).len(), 32);
        let over = Incident { status: IncidentStatus::Resolved, ..open.clone() };
        let others = [id("dev", &open, None), id("ops", &over, None), id("ops", &open, Some("deployment:a:1"))];
        assert!(!others.contains(&id("ops", &open, None)));
    }
}
