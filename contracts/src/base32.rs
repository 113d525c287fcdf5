//! Crockford base32 (<https://www.crockford.com/base32.html>), the alphabet of ULIDs.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The low `5 × N` bits of `value`, most significant digit first.
pub(crate) fn encode<const N: usize>(value: u128) -> [u8; N] {
    let mut text = [b'0'; N];
    // Sixty bits at a time: shifts of 128 bits are several instructions each.
    let mut rest = value;
    for digits in text.rchunks_mut(12) {
        let mut low = rest as u64;
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(low & 31) as usize];
            low >>= 5;
        }
        rest >>= 60;
    }
    text
}

/// The value of a text of at most 26 digits; `None` for a foreign character or an overflow of 128 bits.
/// Lower case and the look-alikes `O`, `I`, `L` are accepted, as Crockford asks of decoders.
pub(crate) fn decode(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > 26 {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = match byte.to_ascii_uppercase() {
            b'O' => 0,
            b'I' | b'L' => 1,
            upper => ALPHABET.iter().position(|&known| known == upper)? as u128,
        };
        if value >> 123 != 0 { None } else { Some(value << 5 | digit) }
    })
}
